"""The first part of the main head h: motion, coarse to fine, from the features of f to any time.

References
----------
.. [1] Kim et al., UVI-Net, CVPR 2024, arXiv:2404.01464: the published h, two fields scaled linearly in time.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...motion import warping


class TimeModulation(nn.Module):
    """Scales and shifts the channels of a map by a learned function of time.

    Here the network keeps the timing of real motion, which is not linear in time: the heart starts and ends slowly.
    """

    def __init__(self, channels: int, hidden: int = 16) -> None:
        super().__init__()
        self.curve = nn.Sequential(nn.Linear(1, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, 2 * channels))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the modulated map, for x (batch, channels, k, j, i) and time (batch,) in [0, 1]."""
        scale, shift = self.curve(2 * time[:, None] - 1).to(x.dtype)[..., None, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class MotionLevel(nn.Module):
    """One level of the pyramid: corrects both displacements where the phases, warped by them, still disagree.

    Its input is the features of both phases, their correlation, and the channels and displacements of the coarser
    level.

    Parameters
    ----------
    features : int
        Channels of f on this level.
    carried : int
        Channels that the coarser level hands on; 0 for the coarsest.
    width : int
        Channels inside the level.
    out : int
        Channels that this level hands on.
    """

    def __init__(self, features: int, carried: int, width: int, out: int) -> None:
        super().__init__()
        self.enter = nn.Conv3d(2 * features + 27 + carried + (6 if carried else 0), width, 3, padding=1)
        self.time = TimeModulation(width)
        self.middle = nn.Conv3d(width, width, 3, padding=1)
        self.leave = nn.Conv3d(width, out + 7, 3, padding=1)
        self.out = out

    def forward(self, a: Tensor, b: Tensor, below: Sequence[Tensor], time: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Return the channels handed on, the correction of both fields (batch, 6, k, j, i), and the confidence."""
        inputs = [a, b, warping.correlation(a, b), *below]
        x = self.enter(torch.cat([x.to(a.dtype) for x in inputs], dim=1))
        x = F.leaky_relu(self.time(x, time), 0.1)
        x = F.leaky_relu(x + self.middle(x), 0.1)
        carried, correction, confidence = self.leave(x).split([self.out, 6, 1], dim=1)
        return F.leaky_relu(carried, 0.1), correction.float(), confidence.float()


class Motion(nn.Module):
    """Estimates displacement fields from the grid at time t to both phases, and the confidence in each.

    The coarsest level sees the features of both phases as they are; each finer level sees them warped by the fields so
    far, and adds a correction. The finest level of f (full resolution) is left to the refinement, because the motion of
    tissue is smooth.

    Parameters
    ----------
    channels : sequence of int
        Channels of f, finest level first.
    width : sequence of int
        Channels of this head's levels, finest (the second of f) first.
    """

    def __init__(self, channels: Sequence[int], width: Sequence[int]) -> None:
        super().__init__()
        levels = len(channels) - 1
        self.levels = nn.ModuleList(
            MotionLevel(channels[n + 1], width[n + 1] if n + 1 < levels else 0, width[n], width[n])
            for n in range(levels))

    def start_still(self) -> None:
        """Scale the last layers down, so that training starts close to no motion, which is plain blending."""
        with torch.no_grad():
            for module in self.levels:
                level = cast(MotionLevel, module)
                level.leave.weight[level.out:] *= 0.05

    def forward(self, features0: List[Tensor], features1: List[Tensor], time: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Estimate the motion at some times.

        Parameters
        ----------
        features0, features1 : list of Tensor
            The features of both phases, all levels of f, finest first.
        time : Tensor of shape (batch,)
            In [0, 1].

        Returns
        -------
        Tensor, Tensor of shape (batch, 3, k, j, i)
            The displacements to phase 0 and to phase 1, on the grid of the finest features and in its voxels.
        Tensor of shape (batch, 1, k, j, i)
            The confidence: log-odds added to the linear weight of phase 0. Zero means plain blending.
        """
        fields: Any = None
        carried: Optional[Tensor] = None
        ends = torch.stack([time, 1 - time], dim=1).float()
        for n in reversed(range(len(self.levels))):
            a, b = features0[n + 1], features1[n + 1]
            size = a.shape[2:]
            if carried is None:
                carried, fields, confidence = self.levels[n](a, b, [], time)
            else:
                fields = _resized(fields, size)
                carried = warping.resize(carried.float(), size)
                to0, to1 = _ends(fields, ends)
                warped = warping.warp(a, to0), warping.warp(b, to1)
                carried, correction, confidence = self.levels[n](*warped, [carried, fields], time)
                fields = fields + correction
        size = features0[0].shape[2:]
        return (*_ends(_resized(fields, size), ends), warping.resize(confidence, size))


def _resized(fields: Tensor, size: Sequence[int]) -> Tensor:
    pair = fields.reshape(-1, 3, *fields.shape[2:])
    return warping.resize_displacement(pair, size).reshape(-1, 6, *size)


def _ends(fields: Tensor, ends: Tensor) -> Tuple[Tensor, Tensor]:
    """Scale the fields by t and 1 - t, so that each is zero at its own phase.

    So the levels estimate displacement per unit of time.
    """
    to0, to1 = fields.split(3, dim=1)
    return warping.scaled(to0, ends[:, 0]), warping.scaled(to1, ends[:, 1])
