"""Write displacement fields as vector images in mm."""

from __future__ import annotations

import os
from typing import Mapping

import numpy as np
import SimpleITK as sitk

from .files import name_for_itk, quiet
from .output_paths import temporary_file, writing
from .resampling import to_sitk
from .volume import Geometry, Volume


def write_displacement(path, geometry: Geometry, displacement: np.ndarray, metadata: Mapping[str, str] = {}) -> None:
    """Write a displacement field as an .nrrd vector image of float32 LPS mm.

    Parameters
    ----------
    path : str or path-like
        The file.
    geometry : Geometry
        The grid of the field.
    displacement : numpy.ndarray
        Shape (k, j, i, 3), in voxels along (k, j, i).
    metadata : mapping of str to str
        Entries for the header.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = os.fspath(path)
    vectors = (np.asarray(displacement, dtype=float) @ geometry.matrix.T).astype(np.float32)
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.CopyInformation(to_sitk(Volume(np.zeros(geometry.shape, np.uint8), geometry)))
    for key, value in metadata.items():
        image.SetMetaData(key, value)
    with writing(path):
        file, temporary = temporary_file(path)
        file.close()
        try:
            with quiet():
                sitk.WriteImage(image, name_for_itk(temporary), True, imageIO="NrrdImageIO")
            os.replace(temporary, path)
        except BaseException:
            os.remove(temporary)
            raise
