"""Reading of the label map that is carried through the frames: checked, and on the grid of the first phase."""

from __future__ import annotations

import dataclasses
from typing import List

import numpy as np

from ..errors import GeometryError, InputError
from ..images.checks import is_label_map
from ..images.files import quoted
from ..images.label_maps import LabelMap, read_label_map
from ..images.volume import Geometry
from ..motion.carry import LabelCarrier

MOST_LABELS = 254


def read_labels(path: str, geometry: Geometry, messages: List[str]) -> LabelMap:
    """Read a label map, and bring it onto the grid of the first phase.

    Parameters
    ----------
    path : str
        The file.
    geometry : Geometry
        The grid of the first phase.
    messages : list of str
        It is said here if the labels had to be resampled.

    Raises
    ------
    InputError, GeometryError
        The file is no label map, holds no label or more than 254 of them, or lies outside the grid.
    """
    labels, name = read_label_map(path), quoted(path)
    values = np.unique(labels.array)
    if not values.any():
        raise InputError(f"The label map {name} holds no label, only background (0): draw something, or give another "
                         "file.")
    if values[0] < 0 or values[-1] > np.iinfo(np.int32).max:
        raise InputError(f"The label map {name} holds the value {values[0] if values[0] < 0 else values[-1]:g}, which "
                         "is no number of a label: number its labels from 1.")
    count = np.count_nonzero(values)
    if count > MOST_LABELS:
        raise InputError(f"{name} holds {count} different values, more than the {MOST_LABELS} labels that can be "
                         "carried: give a label map, not an image, or fewer labels.")
    if not labels.metadata and not is_label_map(labels.array):
        raise InputError(f"{name} is an image, not a label map: give the segmentation that was drawn on the first "
                         "phase.")
    array = labels.array.astype(next(t for t in (np.uint8, np.int16, np.int32) if values[-1] <= np.iinfo(t).max))
    differences = geometry.differences(labels.geometry)
    if differences:
        array = _on_grid(array, labels.geometry, geometry)
        if not array.any():
            raise GeometryError(f"No label of {name} lies within the first phase: give the one that was drawn on it.")
        lost = [str(value) for value in np.setdiff1d(values, np.unique(array)) if value]
        messages.append(f"The label map {name} is on another grid than the first phase ({differences}): it was "
                        "resampled onto it" + (f", which lost label {', '.join(lost)}." if lost else "."))
    return dataclasses.replace(labels, array=array, geometry=geometry)


def _on_grid(array: np.ndarray, there: Geometry, here: Geometry) -> np.ndarray:
    """Return labels of one grid on another, background outside their own."""
    found, labels = np.zeros(here.shape, array.dtype), LabelCarrier(array, there.spacing)
    plane = np.stack(np.meshgrid([0], *map(np.arange, here.shape[1:]), indexing="ij"), axis=-1)
    for k in range(here.shape[0]):  # a slice at a time, which bounds memory
        index = there.world_to_index(here.index_to_world(plane + (k, 0, 0)))
        inside = np.all((index >= -0.5) & (index <= np.asarray(there.shape) - 0.5), axis=-1)
        found[k] = np.where(inside, labels.at(index), 0)[0]
    return found
