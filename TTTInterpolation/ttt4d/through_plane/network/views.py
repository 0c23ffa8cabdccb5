"""The views of a volume: 2D images that a 2D network can look at, and the way back.

A `coronal` cut holds the slice axis and the columns, a `sagittal` cut the slice axis and the rows; an `axial` image is
an acquired slice. Features are kept channels last, (batch, k, j, i, channel), so that every view is a copy of runs of
channels and convolutions meet the memory layout they are fastest with.
"""

from __future__ import annotations

import torch
from torch import Tensor

VIEWS = ("coronal", "sagittal", "axial")
# The views that take part by default: the slices themselves cost half as much again and add nothing measurable.
CUTS = VIEWS[:2]
# The order of (k, j, i) in which a view's images are (image number, row, column).
_ORDER = {"coronal": (1, 0, 2), "sagittal": (2, 0, 1), "axial": (0, 1, 2)}
_BACK = {"coronal": (1, 0, 2), "sagittal": (1, 2, 0), "axial": (0, 1, 2)}


def to_images(features: Tensor, view: str) -> Tensor:
    """(batch, k, j, i, channel) -> (batch * image, channel, row, column), channels last in memory."""
    axes = [1 + axis for axis in _ORDER[view]]
    moved = features.permute(0, *axes, 4)
    return moved.reshape(-1, *moved.shape[2:]).permute(0, 3, 1, 2)


def from_images(images: Tensor, view: str, batch: int) -> Tensor:
    """Undo `to_images`."""
    last = images.permute(0, 2, 3, 1)
    stacked = last.reshape(batch, -1, *last.shape[1:])
    return stacked.permute(0, *(1 + axis for axis in _BACK[view]), 4)


def with_neighbours(volume: Tensor, view: str) -> Tensor:
    """Stack each voxel with the same voxel of the images before and after its own, edge held.

    (batch, k, j, i) becomes (batch, k, j, i, 3).
    """
    axis = 1 + _ORDER[view][0]
    before = torch.cat([volume.narrow(axis, 0, 1), volume.narrow(axis, 0, volume.shape[axis] - 1)], dim=axis)
    after = torch.cat([volume.narrow(axis, 1, volume.shape[axis] - 1), volume.narrow(axis, volume.shape[axis] - 1, 1)],
                      dim=axis)
    return torch.stack([before, volume, after], dim=-1)
