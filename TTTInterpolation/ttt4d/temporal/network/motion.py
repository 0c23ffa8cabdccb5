"""The first part of the main head h: motion, coarse to fine, from the features of f straight to the time asked for."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...motion import warping


class TimeModulation(nn.Module):
    """Scales and shifts a map's channels by a learned function of time: where the network keeps the timing of real
    motion.

    Real motion is not linear in time (the heart starts and ends slowly), and how it deviates depends on what moves.
    """

    def __init__(self, channels: int, hidden: int = 16) -> None:
        super().__init__()
        self.curve = nn.Sequential(nn.Linear(1, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, 2 * channels))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (batch, channels, k, j, i), time (batch,) in [0, 1]."""
        scale, shift = self.curve(2 * time[:, None] - 1).to(x.dtype)[..., None, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class MotionLevel(nn.Module):
    """One level of the pyramid: corrects both displacements where the phases, warped by what is known so far, disagree.

    What it enters with: the features of both phases, their correlation, and from the level below what it carried and
    found.
    """

    def __init__(self, features: int, carried: int, width: int, out: int) -> None:
        super().__init__()
        self.enter = nn.Conv3d(2 * features + 27 + carried + (6 if carried else 0), width, 3, padding=1)
        self.time = TimeModulation(width)
        self.middle = nn.Conv3d(width, width, 3, padding=1)
        self.leave = nn.Conv3d(width, out + 7, 3, padding=1)
        self.out = out

    def forward(self, a: Tensor, b: Tensor, below: Sequence[Tensor], time: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Returns what it carries up, the correction of both fields (batch, 6, k, j, i), and the confidence."""
        inputs = [a, b, warping.correlation(a, b), *below]
        x = self.enter(torch.cat([x.to(a.dtype) for x in inputs], dim=1))
        x = F.leaky_relu(self.time(x, time), 0.1)
        x = F.leaky_relu(x + self.middle(x), 0.1)
        carried, correction, confidence = self.leave(x).split([self.out, 6, 1], dim=1)
        return F.leaky_relu(carried, 0.1), correction.float(), confidence.float()


class Motion(nn.Module):
    """Two displacement fields, from the grid at time t to phase 0 and to phase 1, and how far to trust each.

    The coarsest level sees the features of both phases as they are; each finer level sees them warped by the fields so
    far, and adds a correction. The finest level of f (full resolution) is left to the refinement: motion of tissue is
    smooth.
    """

    def __init__(self, channels: Sequence[int], width: Sequence[int]) -> None:
        """channels: of f, finest first; width: of this head's levels, finest (the second of f) first."""
        super().__init__()
        levels = len(channels) - 1
        self.levels = nn.ModuleList(
            MotionLevel(channels[n + 1], width[n + 1] if n + 1 < levels else 0, width[n], width[n])
            for n in range(levels))

    def start_still(self) -> None:
        """Start training close to no motion, which is plain blending."""
        with torch.no_grad():
            for level in self.levels:
                level.leave.weight[level.out:] *= 0.05

    def forward(self, features0: List[Tensor], features1: List[Tensor], time: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """The features of both phases (all levels of f, finest first) and time (batch,) in [0, 1] -> two fields
        (batch, 3, k, j, i) on the grid of the finest features, in its voxels, to phase 0 and to phase 1; and the
        confidence (batch, 1, k, j, i), log-odds added to the linear weight of phase 0: zero means plain blending."""
        fields, carried = None, None
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
    """The fields that vanish at their own phase: what the levels estimate is motion a unit of time."""
    to0, to1 = fields.split(3, dim=1)
    return warping.scaled(to0, ends[:, 0]), warping.scaled(to1, ends[:, 1])
