"""Checks of the phases: images that can be interpolated, and no label maps."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..errors import InputError
from .volume import Volume

# A label map: few whole numbers, none below 0, and most in-plane neighbours outside the background exactly equal.
# Measured on cine MR: expert labels 0.92, the images themselves 0.7 to 0.78 when cut down to 4 grey levels and 0.3 to
# 0.5 with 32.
_LABEL_VALUES = 256
_LABEL_EQUAL_NEIGHBOURS = 0.8
_LABEL_CERTAIN_VALUES = 4  # so few values are labels, however ragged
# A phantom without noise looks the same, but labels are numbered: below this value (MM-WHS uses up to 850), or in a row
# (1001 to 1035 of FreeSurfer). Water is at 1024 in a CT that is stored without a sign.
_LABEL_LARGEST = 1000


def check_phases(volumes: Sequence[Volume], cyclic: bool = False) -> None:
    """Raise `InputError` unless the volumes are images that can be interpolated, in the order given.

    Parameters
    ----------
    volumes : sequence of Volume
        The phases in order of time. Their names are used in messages.
    cyclic : bool
        Whether the last is followed by the first.
    """
    if len(volumes) < 2:
        raise InputError(f"At least two phases are needed, but there {'is one' if volumes else 'are none'}: "
                         "give two volumes or a sequence of two or more.")
    for number, volume in enumerate(volumes):
        check_image(volume.array, f"Phase {number}" + (f" ('{volume.name}')" if volume.name else ""))
    followers = [*volumes[1:], *(volumes[:1] if cyclic else [])]
    for number, (one, other) in enumerate(zip(volumes, followers)):
        if one.array.shape == other.array.shape and np.array_equal(one.array, other.array):
            raise InputError(f"Phases {number} and {(number + 1) % len(volumes)} are the same image: give two "
                             "different phases.")


def is_image(array: np.ndarray) -> bool:
    """Return whether `check_phases` accepts an array."""
    try:
        check_image(array, "")
    except InputError:
        return False
    return True


def label_map_error(name: str) -> InputError:
    """Return the refusal of a file that says that it is a label map."""
    return InputError(f"{name} is a label map (a segmentation), not an image: give the image it was drawn on.")


def check_image(array: np.ndarray, name: str) -> None:
    """Raise `InputError` unless an array is an image with content; `name` begins the message."""
    if array.ndim != 3 or 0 in array.shape or sum(size > 1 for size in array.shape) < 2:
        raise InputError(f"{name} is empty or a single line of voxels: give a volume or a slice.")
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} has voxels of type {array.dtype}: give whole or decimal numbers.")
    low, high = array.min(), array.max()  # NaN and infinity show in them
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} has voxels that are not numbers (NaN or infinite): replace them first.")
    if low == high:
        raise InputError(f"{name} has the same value in every voxel: give an image with content.")
    if is_label_map(array):
        raise InputError(f"{name} is a label map (a segmentation), not an image: give the image it was drawn on, or "
                         "a phantom without noise in Hounsfield units or in decimal numbers.")


def is_label_map(array: np.ndarray) -> bool:
    """Return whether an array holds labels: numbered regions of exactly equal values. See the constants above."""
    sample = array.ravel()[::max(1, array.size // 50000)]
    if len(np.unique(sample)) > _LABEL_VALUES:
        return False
    values, counts = np.unique(array, return_counts=True)
    if len(values) > _LABEL_VALUES or values[0] < 0 or np.any(values != np.rint(values)):
        return False
    in_a_row = np.count_nonzero(np.diff(values) == 1) >= len(values) / 2
    if len(values) > 2 and values[-1] >= _LABEL_LARGEST and not in_a_row:
        return False
    inside = array != values[counts.argmax()]
    equal = pairs = 0
    for axis in (1, 2):
        a, b = [slice(None)] * 3, [slice(None)] * 3
        a[axis], b[axis] = slice(1, None), slice(None, -1)
        either = inside[tuple(a)] | inside[tuple(b)]
        pairs += int(np.count_nonzero(either))
        equal += int(np.count_nonzero(either & (array[tuple(a)] == array[tuple(b)])))
    return len(values) <= _LABEL_CERTAIN_VALUES or equal > _LABEL_EQUAL_NEIGHBOURS * pairs
