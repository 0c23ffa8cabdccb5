"""What SimpleITK reads: the header checked first, then the voxels."""

from __future__ import annotations

import math
import re
from typing import Dict, Iterable, List, Sequence

import numpy as np
import SimpleITK as sitk

from ...errors import GeometryError, InputError
from ..checks import label_map_error
from ..files import name_for_itk, quoted
from ..marks import FRAME, FRAMES, SYNTHETIC
from ..resampling import geometry_of
from ..volume import Volume


def open_header(path: str, image_io: str) -> sitk.ImageFileReader:
    """Return a reader that has read the header of an image of three or four dimensions."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(name_for_itk(path))
    reader.ReadImageInformation()
    if reader.GetDimension() < 3:
        raise InputError(f"{quoted(path)} is an empty or two-dimensional image: give a volume.")
    if reader.GetDimension() > 4:
        raise InputError(f"{quoted(path)} has {reader.GetDimension()} dimensions: give a volume, or a sequence of "
                         "volumes.")
    return reader


def check_spacing(path: str, spacing: Iterable[float]) -> None:
    """Raise `GeometryError` for a spacing that is not above zero."""
    for value in spacing:
        if not math.isfinite(value) or value <= 0:
            raise GeometryError(f"The voxel spacing of {quoted(path)} holds {value:g}, which is not above zero: "
                                "correct the file's header.")


def metadata_of(reader: sitk.ImageFileReader) -> Dict[str, str]:
    """Return the header's entries."""
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def check_kind(path: str, metadata: Dict[str, str]) -> None:
    """Raise `InputError` for a label map that says so."""
    if metadata.get("intent_code") == "1002" or "LabelMap" in metadata.get("DataNodeClassName", ""):
        raise label_map_error(quoted(path))


def colour_error(path: str, components: int) -> InputError:
    return InputError(f"{quoted(path)} has {components} values a voxel (a colour or vector image): give an image "
                      "with one grey value a voxel.")


def phases_of(path: str, image: sitk.Image, components_are_phases: bool = False,
              marks: Sequence[str] = ()) -> List[Volume]:
    """Return the phases of an image of three or four dimensions, with the marks of its frames."""
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{quoted(path)} has complex voxels: give its magnitude image.")
    if image.GetDimension() == 4:
        frames = list(array)
    elif components_are_phases:
        frames = list(np.moveaxis(array, -1, 0))
    else:
        frames = [array]
    if len(marks) > len(frames):  # of another file
        marks = []
    marks = [*marks, *[""] * (len(frames) - len(marks))]
    geometry = geometry_of(image)
    return [Volume(np.array(frame, order="C"), geometry, mark == SYNTHETIC) for frame, mark in zip(frames, marks)]


def marks_of(metadata: Dict[str, str]) -> List[str]:
    """Of the frames of a file whether they are acquired or synthetic: by their own words, which 3D Slicer keeps right
    where frames are taken out or added, else by the list of all.
    """
    items = {int(match.group(1)): value for key, value in metadata.items()
             for match in [re.fullmatch(rf"axis \d+ item (\d+) {re.escape(FRAME)}", key)] if match}
    if items:
        return [items.get(number, "") for number in range(max(items) + 1)]
    return metadata.get(FRAMES, metadata.get(FRAME, "")).split()
