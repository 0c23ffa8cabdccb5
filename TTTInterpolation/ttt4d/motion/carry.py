"""A label map of the first phase, carried to other times by the motion."""

from __future__ import annotations

import itertools
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch

from ..images.distance import signed_distance
from ..images.smoothing import smooth

# Voxels carried at a time: bounds memory whatever the size of the volume.
_SLAB_VOXELS = 1_000_000
# The outline of a label runs smoothly between its voxels and not along their faces: standard deviation of the smoothing
# of its distance, in units of the finest voxels, and how deep a voxel lies in its own label at least.
_SMOOTHING = 1.5
_LEAST_DEPTH = 0.05
_MARGIN = 5  # voxels kept around a label

Window = Tuple[slice, slice, slice]


class LabelCarrier:
    """Carries a label map along displacement fields.

    Each voxel takes, of the labels around the place that it comes from, the one that the place lies deepest in. So
    labels that touch keep touching without a hole or an overlap, and no value appears that was not there. Where nothing
    moves, every voxel keeps its label. Beyond the edge of the grid, the labels of the edge go on.

    Parameters
    ----------
    labels : ndarray of shape (k, j, i), any integer type
        The label map, 0 for the background.
    spacing : sequence of float
        Voxel spacing in mm along (k, j, i).

    Examples
    --------
    >>> labels = np.zeros((3, 3, 6), np.uint8)
    >>> labels[:, :, 1:3] = 7
    >>> shift = np.zeros((3, 3, 6, 3))
    >>> shift[..., 2] = -2
    >>> LabelCarrier(labels, (8.0, 1.5, 1.5)).carry(shift)[0, 0].tolist()
    [0, 0, 0, 7, 7, 0]
    """

    def __init__(self, labels: np.ndarray, spacing: Sequence[float]) -> None:
        self._labels, self._spacing = labels, tuple(float(s) for s in spacing)
        self._depths: Dict[int, Tuple[Window, np.ndarray]] = {}

    def carry(self, displacement: np.ndarray) -> np.ndarray:
        """Return the label map (k, j, i) on the grid of a displacement field.

        Parameters
        ----------
        displacement : ndarray of shape (k, j, i, 3)
            From the grid of the result to the place of the same tissue in the label map, in voxels along (k, j, i).
        """
        carried = np.empty(displacement.shape[:3], self._labels.dtype)
        thickness = max(1, _SLAB_VOXELS // carried[0].size)
        for start in range(0, len(carried), thickness):
            part = displacement[start:start + thickness]
            index = np.stack(np.meshgrid(*map(np.arange, part.shape[:3]), indexing="ij"), axis=-1) + part
            index[..., 0] += start
            carried[start:start + thickness] = self.at(index)
        return carried

    def at(self, index: np.ndarray) -> np.ndarray:
        """Return the labels at voxel indices (..., 3) along (k, j, i), fractions allowed."""
        places = np.clip(index.reshape(-1, 3), 0, np.asarray(self._labels.shape) - 1)
        around = np.stack([self._labels[corner] for corner, _ in _corners(places, self._labels.shape)])
        found = around[0].copy()
        border = np.flatnonzero((around != found).any(axis=0))  # few: the places between two labels
        around, places = around[:, border], places[border]
        deepest = np.full(len(border), -np.inf, np.float32)
        for label in np.unique(around):
            here = np.flatnonzero((around == label).any(axis=0))
            depth = self._depth(int(label), places[here])
            better = depth > deepest[here]
            deepest[here[better]] = depth[better]
            found[border[here[better]]] = label
        return found.reshape(index.shape[:-1])

    def _depth(self, label: int, places: np.ndarray) -> np.ndarray:
        """Return how deep places (n, 3) lie in a label, in mm: trilinear between the voxels around them."""
        if label not in self._depths:
            self._depths[label] = self._depth_map(label)
        window, depth = self._depths[label]
        places = places - [part.start for part in window]
        return sum(depth[corner] * weight for corner, weight in _corners(places, depth.shape))

    def _depth_map(self, label: int) -> Tuple[Window, np.ndarray]:
        """Return the box around a label, and how deep each voxel there lies in it, in mm, negative outside."""
        mask = self._labels == label
        k, j, i = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
        window = tuple(slice(max(0, int(used[0]) - _MARGIN), int(used[-1]) + _MARGIN + 1) for used in (k, j, i))
        mask = mask[window]
        depth = torch.from_numpy(signed_distance(mask, self._spacing))
        finest = min(self._spacing)
        for axis, size in enumerate(self._spacing):
            sigma = _SMOOTHING * finest / size
            if sigma > 0.2:
                depth = smooth(depth, axis, sigma, 4)
        if not mask.all():  # smoothing moves curved outlines inwards: as many voxels as before lie within
            outside = int(np.count_nonzero(~mask))
            depth = depth - sum(depth.flatten().kthvalue(outside + n).values for n in (0, 1)) / 2
        least = _LEAST_DEPTH * finest
        depth = torch.where(torch.from_numpy(mask), depth.clamp(min=least), depth.clamp(max=-least))
        return (window[0], window[1], window[2]), depth.numpy()


def _corners(places: np.ndarray, shape: Sequence[int]) -> List[Tuple[Tuple[np.ndarray, ...], np.ndarray]]:
    """Return the indices of the eight voxels around each place (n, 3), and their trilinear weights (n,)."""
    last = np.asarray(shape) - 1
    lower = np.minimum(places.astype(np.intp), last)
    fraction = (places - lower).astype(np.float32)
    ends = (lower, 1 - fraction), (np.minimum(lower + (fraction > 0), last), fraction)
    return [(tuple(ends[end][0][:, axis] for axis, end in enumerate(corner)),
             np.prod([ends[end][1][:, axis] for axis, end in enumerate(corner)], axis=0))
            for corner in itertools.product((0, 1), repeat=3)]
