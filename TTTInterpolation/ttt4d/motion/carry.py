"""A label map of the first phase, carried to other times by the motion."""

from __future__ import annotations

import itertools
from typing import List, Tuple

import numpy as np

# Voxels carried at a time: bounds memory whatever the size of the volume.
_SLAB_VOXELS = 1_000_000


def carry_labels(labels: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Carry a label map along a displacement field.

    Each voxel takes the label that fills the largest part of the voxel around the place that it comes from. So labels
    that touch keep touching without a hole or an overlap, and no value appears that was not there. Beyond the edge of
    the grid the labels of the edge go on.

    Parameters
    ----------
    labels : ndarray of shape (k, j, i), any integer type
        On the grid that the field leads to.
    displacement : ndarray of shape (k, j, i, 3)
        From the grid of the result to the place of the same tissue in `labels`, in voxels along (k, j, i).

    Returns
    -------
    ndarray of shape (k, j, i), in the type of the labels

    Examples
    --------
    >>> labels = np.zeros((3, 3, 6), np.uint8)
    >>> labels[:, :, 1:3] = 7
    >>> shift = np.zeros((3, 3, 6, 3))
    >>> shift[..., 2] = -2
    >>> carry_labels(labels, shift)[0, 0].tolist()
    [0, 0, 0, 7, 7, 0]
    """
    carried = np.empty(displacement.shape[:3], labels.dtype)
    thickness = max(1, _SLAB_VOXELS // max(1, carried[0].size))
    for start in range(0, len(carried), thickness):
        part = displacement[start:start + thickness]
        index = np.stack(np.meshgrid(*map(np.arange, part.shape[:3]), indexing="ij"), axis=-1) + part
        index[..., 0] += start
        carried[start:start + thickness] = labels_at(labels, index)
    return carried


def labels_at(labels: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the label at voxel indices (..., 3) along (k, j, i), fractions allowed; see `carry_labels`.

    The eight voxels around a place vote, with the weights of trilinear interpolation.
    """
    values, weights = _corners(labels, index.reshape(-1, 3))
    found = values[0].copy()
    mixed = np.flatnonzero((values != found).any(axis=0))  # few: the places at a border between labels
    values, weights = values[:, mixed], weights[:, mixed]
    # Where two labels fill the voxel equally, the nearest voxel decides.
    votes = np.stack([(weights * (values == value)).sum(axis=0) for value in values]) + 1e-4 * weights
    found[mixed] = np.take_along_axis(values, votes.argmax(axis=0)[None], axis=0)[0]
    return found.reshape(index.shape[:-1])


def _corners(labels: np.ndarray, index: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the labels of the eight voxels around each place (n, 3), and their trilinear weights: both (8, n)."""
    last = np.asarray(labels.shape) - 1
    index = np.clip(index, 0, last)
    lower = np.floor(index).astype(np.intp)
    fraction = (index - lower).astype(np.float32)
    ends: List[Tuple[np.ndarray, np.ndarray]] = [(lower, 1 - fraction), (np.minimum(lower + 1, last), fraction)]
    values, weights = [], []
    for corner in itertools.product((0, 1), repeat=3):
        k, j, i = (ends[end][0][:, axis] for axis, end in enumerate(corner))
        values.append(labels[k, j, i])
        weights.append(np.prod([ends[end][1][:, axis] for axis, end in enumerate(corner)], axis=0))
    return np.stack(values), np.stack(weights)
