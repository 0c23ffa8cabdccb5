"""A label map drawn on the acquired slices, carried onto the slices between them."""

from __future__ import annotations

from typing import Callable, Iterator, Tuple

import numpy as np
import torch

from ..images.distance import signed_distance
from . import classical

# Pixels around a label within which its distance is computed.
_MARGIN = 3
_FAR = 1e6  # mm


def interpolate_labels(labels: np.ndarray, numbers: np.ndarray, pixels: Tuple[float, float],
                       on_label: Callable[[float], None] = lambda fraction: None) -> np.ndarray:
    """Return the label map at real slice numbers, by shape-based interpolation.

    The signed distance to the outline of each label is interpolated from slice to slice (cubic, without overshoot), and
    each voxel gets the label that it lies deepest in. So there are neither holes nor overlaps between labels. A label
    that a slice does not show tapers, and ends half-way to it.

    Parameters
    ----------
    labels : ndarray of shape (k, j, i), any integer type
        On the acquired slices.
    numbers : sequence of float, length n
        Real slice numbers of the result, 0 to k - 1. A whole number is an acquired slice, which stays as it is.
    pixels : (row, column) spacing, mm
    on_label : callable
        Called with the fraction done after each label; may raise `Cancelled`.

    Returns
    -------
    ndarray of shape (n, j, i), in the type of the input

    References
    ----------
    Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE Trans. Med. Imaging 9(1), 1990.

    Examples
    --------
    >>> square = np.zeros((2, 9, 9), np.uint8)
    >>> square[0, 1:8, 1:8], square[1, 3:6, 3:6] = 5, 5
    >>> interpolate_labels(square, [0, 0.5, 1], (1.0, 1.0)).any(axis=1).sum(axis=1).tolist()
    [7, 5, 3]
    """
    places = torch.as_tensor(np.asarray(numbers, dtype=np.float32))
    lower, fraction = classical.split(places, len(labels))
    result = np.zeros((len(places), *labels.shape[1:]), labels.dtype)
    deepest = np.full(result.shape, -np.inf, np.float32)
    values = np.unique(labels)
    for done, value in enumerate(values, start=1):
        for window, depth in _depths(labels == value, pixels):
            steps = torch.ones(len(depth) - 1)
            slopes = classical.pchip_slopes(depth, steps)
            for n in range(len(places)):
                here = classical.hermite(depth, slopes, steps, lower[n:n + 1], fraction[n:n + 1])[0].numpy()
                best = deepest[n][window]
                inside = here > best
                best[inside] = here[inside]
                result[n][window][inside] = value
        on_label(done / len(values))
    for n in torch.where((fraction == 0) | (fraction == 1))[0].tolist():
        result[n] = labels[int(places[n])]
    return result


def _depths(mask: np.ndarray, pixels: Tuple[float, float]) -> Iterator[Tuple[Tuple[slice, ...], torch.Tensor]]:
    """Yield where a label lies within the slices, and how deep each pixel there lies in it, mm, negative outside.

    A slice without the label is as far outside everywhere as the deepest pixel of its neighbours lies inside.
    """
    window = tuple(slice(max(0, int(used[0]) - _MARGIN), int(used[-1]) + _MARGIN + 1)
                   for used in (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1))))
    mask = mask[(slice(None), *window)]
    depth = np.stack([signed_distance(plane, pixels) for plane in mask])
    shown = np.asarray(mask.any(axis=(1, 2)))
    deepest = depth.max(axis=(1, 2))
    for k in np.flatnonzero(~shown):
        beside = [deepest[n] for n in (k - 1, k + 1) if 0 <= n < len(mask) and shown[n]]
        depth[k] = -max(beside, default=_FAR)
    yield window, torch.from_numpy(depth)
