"""A motion field in a file that any reader of vector images takes, in mm where the engine counts voxels."""

from __future__ import annotations

import os
from typing import Mapping

import numpy as np
import SimpleITK as sitk

from .files import name_for_itk, quiet
from .output_paths import temporary_file, writing
from .resampling import to_sitk
from .volume import Geometry, Volume


def write_displacement(path, geometry: Geometry, displacement: np.ndarray, words: Mapping[str, str] = {}) -> None:
    """Write a displacement (k, j, i, 3), in voxels along (k, j, i), as an .nrrd vector image of float32 LPS mm.

    words: for its header. Raises `OutputError`.
    """
    path = os.fspath(path)
    vectors = (np.asarray(displacement, dtype=float) @ geometry.matrix.T).astype(np.float32)
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.CopyInformation(to_sitk(Volume(np.zeros(geometry.shape, np.uint8), geometry)))
    for key, value in words.items():
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
