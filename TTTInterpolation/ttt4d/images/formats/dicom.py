"""The folder of one DICOM series, whose slices ITK would stack whether or not they make a volume."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import SimpleITK as sitk

from ...errors import GeometryError, InputError
from ..files import is_number, name_for_itk, quoted, reading
from ..resampling import geometry_of
from ..sequence import PhaseSequence
from ..volume import Volume
from . import READABLE


def read(path: str) -> PhaseSequence:
    """Read the volume of the one DICOM series in a folder."""
    return PhaseSequence.counted([read_dicom(path)])


def read_dicom(folder: str) -> Volume:
    """The volume of the one DICOM series in a folder, once its slices are known to be evenly spaced."""
    with reading(folder):
        named = name_for_itk(folder)
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(named)
    if not series:
        raise InputError(f"The folder {quoted(folder)} holds no DICOM series: give {READABLE}.")
    if len(series) > 1:
        raise InputError(f"The folder {quoted(folder)} holds {len(series)} DICOM series: put the one to be used in a "
                         "folder of its own.")
    with reading(folder):
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(named, series[0])
        if len(files) > 1:
            _check_slices(files, folder)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        image = reader.Execute() if len(files) > 1 else _read_single_slice(files[0])
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"The DICOM series in {quoted(folder)} is in colour: give an image with one grey value a "
                         "voxel.")
    if image.GetDimension() != 3:
        raise InputError(f"The DICOM series in {quoted(folder)} is not a volume: give a volume.")
    return Volume(sitk.GetArrayFromImage(image), geometry_of(image))


def _read_single_slice(file: str) -> sitk.Image:
    """The image of a series of one file; a single slice is as thick as it says, which ITK leaves at 1 mm."""
    image = sitk.ReadImage(file, imageIO="GDCMImageIO")
    thickness = next((image.GetMetaData(tag) for tag in ("0018|0050", "0018|0088") if image.HasMetaDataKey(tag)), "")
    if image.GetDimension() == 3 and image.GetSize()[2] == 1 and is_number(thickness) and float(thickness) > 0:
        image.SetSpacing((*image.GetSpacing()[:2], float(thickness)))
    return image


def _check_slices(files: Sequence[str], folder: str) -> None:
    """Raise `InputError` unless the slices of a series lie side by side, evenly spaced along one normal."""
    places = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(file)
        reader.ReadImageInformation()
        places.append((reader.GetOrigin(), reader.GetDirection()))
    origins = np.asarray([origin for origin, _ in places])
    directions = np.asarray([direction for _, direction in places])
    normal = directions[0].reshape(3, 3)[:, 2]
    heights = origins @ normal
    steps = np.diff(heights)
    if np.diff(np.sort(heights)).min() < 1e-3:
        raise InputError(f"The DICOM series in {quoted(folder)} holds several images at one place (a series over "
                         "time): put each phase in a folder of its own, or save it from 3D Slicer as a .seq.nrrd file.")
    if np.ptp(directions, axis=0).max() > 1e-3 or np.ptp(steps) > 0.05 * np.abs(np.median(steps)):
        raise InputError(f"The slices of the DICOM series in {quoted(folder)} are not evenly spaced (a slice is "
                         "missing, or it is not one stack): complete the series.")
    drift = np.linalg.norm(origins - origins[0] - np.outer(heights - heights[0], normal), axis=1)
    if drift.max() > 0.01 * np.abs(heights - heights[0]).max():
        raise GeometryError(f"The slices of the DICOM series in {quoted(folder)} are not stacked at right angles (a "
                            "tilted gantry): resample it to a rectangular grid first.")
