"""Registration of two phases by a velocity field, from displacement fields that are nearly right already.

References
----------
.. [1] Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", Medical Image Analysis 12(1),
   2008, doi:10.1016/j.media.2007.06.004: both images are warped half-way, and compared by local correlation.
"""

from __future__ import annotations

import math
from typing import Callable, List, Sequence

import torch
from torch import Tensor

from ..adaptation.adam import Adam
from ..images.smoothing import smooth
from ..progress import CancelCheck, never, stop_if
from . import warping
from .diffeomorphism import exponential, velocity_of
from .similarity import local_correlation

# Axes whose voxels are more than this many times the finest ones are left as they are where a grid is made coarser.
_THICK = 2.0
_COARSER = 2  # how many times coarser the grid of the first steps is, along fine axes
# The first steps, on the coarse grid, may find different brightness. The last ones, at full resolution, put the borders
# where they are: half a tenth of a coarse voxel would make a carried volume drift by a percent and more at each phase.
COARSE_STEPS, FINE_STEPS = 20, 6
_STEP = 0.05  # voxels of the grid, for Adam
# Weight of the squared gradient of the velocity (mm per mm) beside the similarity, and of the squared difference.
_SMOOTHNESS = 0.2
_DIFFERENCE = 50.0
_FEWEST = 6  # voxels that a coarser level keeps along each axis


def register(phases: Tensor, forward: Tensor, backward: Tensor, spacing: Sequence[float],
             cancelled: CancelCheck = never) -> Tensor:
    """Return the velocity field (1, 3, k, j, i) whose flow leads from the first phase to the second, in voxels.

    Both phases are warped half-way along the flow [1]_. Some gradient steps on a coarse grid raise their local
    correlation, some more at full resolution lower their squared difference; the velocity stays smooth.

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
    velocity = velocity_of(forward, backward)
    size = [max(min(n, _FEWEST), round(n / _COARSER)) if s <= _THICK * min(spacing) else n
            for n, s in zip(phases.shape[2:], spacing)]
    coarse_spacing = [s * (n - 1) / max(m - 1, 1) or s for s, n, m in zip(spacing, phases.shape[2:], size)]
    window = window_of(coarse_spacing)

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        return local_correlation(a, b, window).mean()

    start = warping.resize_displacement(velocity, size)
    found = _ascend(_coarser(phases, size), start, coarse_spacing, correlation, COARSE_STEPS, cancelled)
    velocity = velocity + warping.resize_displacement(found - start, phases.shape[2:])
    return _ascend(phases, velocity, spacing, _likeness, FINE_STEPS, cancelled)


def window_of(spacing: Sequence[float]) -> List[int]:
    """Return the window (k, j, i) of local correlation: five of the finest voxels, one of a thick slice.

    >>> window_of((10.0, 1.5, 1.5))
    [1, 5, 5]
    """
    return [5 if s <= _THICK * min(spacing) else 1 for s in spacing]


def _ascend(phases: Tensor, start: Tensor, spacing: Sequence[float], similarity: Callable[[Tensor, Tensor], Tensor],
            steps: int, cancelled: CancelCheck) -> Tensor:
    """Return the velocity after some steps of Adam towards more similarity of the phases."""
    velocity = start.clone().requires_grad_(True)
    optimizer = Adam([velocity], _STEP)
    for _ in range(steps):
        stop_if(cancelled)
        with torch.enable_grad():
            half_way = warping.warp(phases, exponential(torch.cat([-velocity / 2, velocity / 2])))
            loss = _SMOOTHNESS * _roughness(velocity, spacing) - similarity(half_way[:1], half_way[1:])
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return velocity.detach()


def _likeness(a: Tensor, b: Tensor) -> Tensor:
    """Return the negative of the mean squared difference, weighted."""
    return -_DIFFERENCE * (a - b).square().mean()


def _roughness(velocity: Tensor, spacing: Sequence[float]) -> Tensor:
    """Return the mean squared gradient of a velocity field, in mm per mm, summed over components and axes."""
    size = velocity.new_tensor(spacing)
    total = velocity.new_zeros(())
    for axis in range(3):
        if velocity.shape[2 + axis] > 1:
            slope = velocity.diff(dim=2 + axis) * size.view(1, 3, 1, 1, 1) / size[axis]
            total = total + slope.square().sum(dim=1).mean()
    return total


def _coarser(phases: Tensor, size: Sequence[int]) -> Tensor:
    """Return images on a grid with fewer voxels between the same corners, smoothed before."""
    for axis, (n, m) in enumerate(zip(phases.shape[2:], size), start=2):
        if m < n:
            sigma = 0.4 * (n - 1) / max(m - 1, 1)
            phases = smooth(phases, axis, sigma, math.ceil(2.5 * sigma))
    return warping.resize(phases, size)
