"""The slice axis of a volume, and the grid of the result: the same extent with more slices."""

from __future__ import annotations

import dataclasses
import math
from typing import List, Optional, Tuple

import numpy as np

from ..errors import GeometryError, InputError, SettingsError
from ..images.volume import Geometry

AXES = "kji"  # names of the array axes: slice, row and column of the file
# Slices at most this much thicker than a pixel is wide count as thin already: rounded headers differ by less.
_ISOTROPIC = 1.02
# Distances that differ by less than this part count as equal.
_EQUAL = 1e-3


def slice_axis(geometry: Geometry, name: Optional[str] = None) -> int:
    """Return the array axis along which the slices lie.

    Parameters
    ----------
    geometry : Geometry
        The grid of the volume.
    name : {"i", "j", "k"}, optional
        The axis as the user names it; the one with the largest spacing if left out, and `k` among equal ones.

    Examples
    --------
    >>> slice_axis(Geometry((20, 64, 64), (5.0, 1.0, 1.0))), slice_axis(Geometry((64, 64, 20), (1.0, 1.0, 5.0)))
    (0, 2)
    """
    if name is not None:
        return AXES.index(name)
    largest = max(geometry.spacing)
    return next(axis for axis in range(3) if geometry.spacing[axis] > (1 - _EQUAL) * largest)


def check_slices(name: str, geometry: Geometry, axis: int, force: bool = False) -> None:
    """Raise an error for a volume without thick slices along an axis.

    Parameters
    ----------
    name : str
        Name of the volume, in messages.
    geometry : Geometry
        Its grid.
    axis : int
        The array axis of the slices.
    force : bool
        Accept slices that are already as thin as a pixel is wide.

    Raises
    ------
    InputError
        There are fewer than three slices.
    GeometryError
        The slices are thin already.
    """
    count = geometry.shape[axis]
    if count < 3:
        raise InputError(f"{name} has only {count} slice{'s' * (count > 1)} along its axis {AXES[axis]}, where three "
                         "or more are needed: give a volume with more slices, or name the slice axis with --axis.")
    spacing, pixel = geometry.spacing[axis], max(np.delete(geometry.spacing, axis))
    if spacing <= _ISOTROPIC * pixel and not force:
        raise GeometryError(f"The slices of {name} are already thin along its axis {AXES[axis]} (spacing {spacing:.4g} "
                            f"mm, pixels of {pixel:.4g} mm): nothing is missing between them; --force fills in "
                            "slices all the same.")


def with_more_slices(geometry: Geometry, axis: int, factor: Optional[float] = None, spacing: Optional[float] = None
                     ) -> Tuple[Geometry, List[str]]:
    """Return the grid of the result: its first and last slice are those of the input, the others evenly between them.

    Parameters
    ----------
    geometry : Geometry
        The grid of the input.
    axis : int
        The array axis of the slices.
    factor : float, optional
        How many times as close the slices shall be, above 1. A whole number keeps all acquired positions.
    spacing : float, optional
        The distance of the slices wanted instead, in mm.

    Returns
    -------
    geometry : Geometry
        A whole number of equal steps from the first to the last slice.
    messages : list of str
        A sentence where the spacing is not exactly the one asked for.

    Raises
    ------
    SettingsError
        The result would have no slices in between.

    Examples
    --------
    >>> grid = Geometry((5, 8, 8), (4.0, 1.0, 1.0))
    >>> with_more_slices(grid, 0, factor=2)[0].shape
    (9, 8, 8)
    >>> result, messages = with_more_slices(grid, 0, spacing=2.8)
    >>> result.shape, round(result.spacing[0], 3), messages[0][:40]
    ((7, 8, 8), 2.667, 'The spacing of the new slices is 2.667 m')
    """
    acquired, intervals = geometry.spacing[axis], geometry.shape[axis] - 1
    if factor is not None and not (math.isfinite(factor) and factor > 1):
        raise SettingsError(f"The factor is {factor:g}: give a number above 1.")
    wanted = acquired / factor if factor is not None else spacing or 0.0
    if not (math.isfinite(wanted) and 0 < wanted < (1 - _EQUAL) * acquired):
        raise SettingsError(f"The slice spacing of {wanted:g} mm is not between 0 and the {acquired:.4g} mm of the "
                            "input: give a smaller one.")
    # A factor counts by itself: through the distance of the slices, 3 x 1.5 can come out at a little more than 4.5.
    steps = intervals * factor if factor is not None else intervals * acquired / wanted
    count = max(round(steps), intervals + 1)
    result = intervals * acquired / count
    messages = []
    if abs(result - wanted) > _EQUAL * wanted:
        messages.append(f"The spacing of the new slices is {result:.4g} mm, not {wanted:.4g} mm, so that the first and "
                        "the last slice stay where they are.")
    return dataclasses.replace(geometry, shape=_replaced(geometry.shape, axis, count + 1),
                               spacing=_replaced(geometry.spacing, axis, result)), messages


def _replaced(values: tuple, axis: int, value) -> tuple:
    return (*values[:axis], value, *values[axis + 1:])
