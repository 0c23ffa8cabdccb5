"""Label maps: whole numbers that name the structure of each voxel, and segmentations of 3D Slicer stored like that."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Dict, Sequence

import numpy as np

from ..errors import InputError
from .files import quoted
from .formats import NRRD, READABLE_FILES, format_of
from .formats.text_header import read_nrrd_header
from .volume import Geometry

# Header entries of a segmentation of 3D Slicer; its segments, their names and colours are among them.
_SEGMENTATION = re.compile(r"Segment(ation|\d+)_")


@dataclass(frozen=True)
class LabelMap:
    """A label map.

    Parameters
    ----------
    array : ndarray of shape (k, j, i)
        Whole numbers, 0 for the background.
    geometry : Geometry
        Its grid.
    metadata : dict of str to str
        What its header says of a segmentation of 3D Slicer; empty for other files.
    """

    array: np.ndarray
    geometry: Geometry
    metadata: Dict[str, str]


def read_label_map(path: str) -> LabelMap:
    """Read a label map, or a `.seg.nrrd` of 3D Slicer whose segments do not overlap.

    Raises
    ------
    InputError, GeometryError
        The file is missing, damaged, or no label map.
    """
    if not os.path.isfile(path):
        raise InputError(f"There is no file {quoted(path)}: check the path of the label map.")
    image_format = format_of(path)
    if image_format is None:
        raise InputError(f"{quoted(path)} is in no format of a label map: give {READABLE_FILES}.")
    # By the reader of the images, so that labels lie where the image lies whose header they share.
    found = image_format.load().read(path)
    if len(found.phases) > 1:
        raise InputError(f"{quoted(path)} holds more than one label map (overlapping segments, or several phases): "
                         "export it as one label map.")
    array, geometry = found.phases[0].array, found.phases[0].geometry
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise InputError(f"{quoted(path)} is not a label map: its voxels are not whole numbers.")
    entries = read_nrrd_header(path).metadata if image_format is NRRD else {}
    metadata = {key: value for key, value in entries.items() if _SEGMENTATION.match(key)}
    return LabelMap(array, geometry, metadata)


def names_of(metadata: Dict[str, str]) -> Dict[int, str]:
    """Return the names of the segments of a segmentation of 3D Slicer, by the value of their label.

    Examples
    --------
    >>> names_of({"Segment0_LabelValue": "3", "Segment0_Name": "left ventricle", "Segment1_Name": "no value"})
    {3: 'left ventricle'}
    """
    found = {}
    for key, value in metadata.items():
        segment = re.fullmatch(r"(Segment\d+)_LabelValue", key)
        if segment and value.strip().isdigit():
            found[int(value)] = metadata.get(f"{segment.group(1)}_Name", "")
    return found


def metadata_on_grid(metadata: Dict[str, str], shape: Sequence[int]) -> Dict[str, str]:
    """Return the header entries of a segmentation for a grid of another shape (k, j, i); extents are the whole grid."""
    k, j, i = (size - 1 for size in shape)
    return {key: f"0 {i} 0 {j} 0 {k}" if key.endswith("_Extent") else value for key, value in metadata.items()}
