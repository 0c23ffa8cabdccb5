"""Registration of two phases by a velocity field, from displacement fields that are nearly right already."""

from __future__ import annotations

from typing import List, Sequence

from torch import Tensor

from ..progress import CancelCheck, never
from .diffeomorphism import velocity_of

# Axes whose voxels are more than this many times the finest ones are left as they are where a grid is made coarser.
_THICK = 2.0


def register(phases: Tensor, forward: Tensor, backward: Tensor, spacing: Sequence[float],
             cancelled: CancelCheck = never) -> Tensor:
    """Return the velocity field (1, 3, k, j, i) whose flow leads from the first phase to the second, in voxels.

    Parameters
    ----------
    phases : Tensor of shape (2, 1, k, j, i)
        Intensities in [0, 1].
    forward, backward : Tensor of shape (1, 3, k, j, i)
        Displacements to start from: from the grid of the first phase to the second, and the other way, in voxels.
    spacing : sequence of float
        Voxel spacing in mm along (k, j, i).
    cancelled : callable
        Asked before every step.
    """
    return velocity_of(forward, backward)


def window_of(spacing: Sequence[float]) -> List[int]:
    """Return the window (k, j, i) of local correlation: five of the finest voxels, one of a thick slice.

    >>> window_of((10.0, 1.5, 1.5))
    [1, 5, 5]
    """
    return [5 if s <= _THICK * min(spacing) else 1 for s in spacing]
