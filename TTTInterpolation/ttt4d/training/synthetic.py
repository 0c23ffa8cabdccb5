"""Generated anatomies in motion: what the `general` weights learn from, free of any data licence and of any one
contrast.

An anatomy is a nest of smooth random shapes, each with its own grey value and texture; around some points it contracts
or expands, on top of a smooth random drift, along an S-curve of time. Here and there it turns into another anatomy on
the way, as blood does that flows in and tissue that passes through a thick slice: what motion cannot explain must be
blended, and the network has to learn where. The truth is exact: every frame is the anatomy of its time sampled once,
without noise.
"""

from __future__ import annotations

import math
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..motion import warping
from .augmentation import augment_appearance, integer, uniform
from .batches import SLICES, TrainingBatch

ISOTROPIC = (1.0, 1.0, 1.0)


class SyntheticAnatomySampler:
    """Draws batches of generated beats: stacks of thick slices, or isotropic volumes; half of the batches as another
    scanner shows them.
    """

    def __init__(self, crop: int = 65, batch: int = 4) -> None:
        self.crop, self.batch = crop, batch

    def draw(self, generator: Generator) -> TrainingBatch:
        """Each item another anatomy, all of one shape of grid."""
        size, spacing = self._grid(generator)
        beats = [self._beat(size, generator) for _ in range(self.batch)]
        parts = [torch.cat([getattr(beat, name) for beat in beats])
                 for name in ("phase0", "phase1", "truth", "measured", "time")]
        sample = TrainingBatch(*parts, beats[0].upright, spacing)
        return augment_appearance(sample, 0.5, generator)

    def _grid(self, generator: Generator) -> Tuple[Tuple[int, int, int], Tuple[float, float, float]]:
        if uniform(0, 1, generator) < 0.6:
            return (integer(5, 8, generator), self.crop, self.crop), SLICES
        edge = (self.crop // 2 // 8) * 8 + 1
        return (edge, edge, edge), ISOTROPIC

    def _beat(self, size: Tuple[int, int, int], generator: Generator) -> TrainingBatch:
        anatomy, motion = _anatomy(size, generator), _motion(size, generator)
        change = _change(anatomy, generator)
        time = torch.rand(1, generator=generator) * 0.9 + 0.05
        course = _s_curve(time, generator)
        truth = warping.warp(anatomy + change * course, warping.scaled(motion, course))
        noise = uniform(0, 0.04, generator) if uniform(0, 1, generator) < 0.7 else 0.0
        phases = torch.cat([anatomy, warping.warp(anatomy + change, motion)])
        phases = (phases + noise * torch.randn(phases.shape, generator=generator)).clamp(0, 1)
        return TrainingBatch(phases[:1], phases[1:], truth, truth, time, phases)


def _smooth(size: Tuple[int, int, int], channels: int, knots: int, generator: Generator) -> Tensor:
    """(1, channels, k, j, i): a random map that bends about `knots` times along each long axis, standard deviation near
    1.
    """
    coarse = tuple(min(n, max(2, round(knots * n / max(size)))) for n in size)
    draw = torch.randn((1, channels, *coarse), generator=generator)
    return F.interpolate(draw, size=size, mode="trilinear", align_corners=True)


def _anatomy(size: Tuple[int, int, int], generator: Generator) -> Tensor:
    """(1, 1, k, j, i) in [0, 1]: shapes inside shapes, texture, a soft edge between them."""
    image = uniform(0, 1, generator) + 0.1 * _smooth(size, 1, 6, generator)
    for _ in range(integer(4, 10, generator)):
        level = _smooth(size, 1, integer(2, 10, generator), generator) + _ball(size, generator)
        inside = torch.sigmoid((level - uniform(-0.3, 1.0, generator)) * uniform(4, 25, generator))
        grey = uniform(0, 1, generator) + uniform(0, 0.2, generator) * _smooth(
            size, 1, integer(6, 24, generator), generator)
        image = image + inside * (grey - image)
    image = image + uniform(0, 0.06, generator) * torch.randn(image.shape, generator=generator)
    low, high = image.min(), image.max()
    return (image - low) / (high - low)


def _change(anatomy: Tensor, generator: Generator) -> Tensor:
    """(1, 1, k, j, i) to add to the anatomy of phase 0 on the way to phase 1: in some regions, more or less of another.
    """
    size = tuple(anatomy.shape[2:])
    level = _smooth(size, 1, integer(2, 12, generator), generator)
    region = torch.sigmoid((level - uniform(0.0, 1.5, generator)) * uniform(3, 20, generator))
    everywhere = uniform(0, 0.15, generator)
    other = _anatomy(size, generator)
    return (everywhere + uniform(0, 1, generator) * region).clamp(max=1) * (other - anatomy)


def _ball(size: Tuple[int, int, int], generator: Generator) -> Tensor:
    """Positive inside a random ellipsoid, so that closed organs are as common as bands."""
    grid = warping.identity(size, torch.zeros(()))
    total = 0.0
    for axis, n in enumerate(size):
        radius = max(uniform(0.1, 0.4, generator) * n, 1.0)
        total = total + ((grid[:, axis:axis + 1] - uniform(0.2, 0.8, generator) * n) / radius)**2
    return 1.5 - 1.5 * total.clamp(max=2)


def _motion(size: Tuple[int, int, int], generator: Generator) -> Tensor:
    """(1, 3, k, j, i) voxels, from phase 1's grid to phase 0: up to a seventh of the edge, folding nowhere."""
    reach = uniform(0.02, 0.14, generator) * max(size)
    motion = 0.35 * _smooth(size, 3, integer(2, 5, generator), generator)
    grid = warping.identity(size, motion)
    extent = torch.tensor([float(n) for n in size]).view(1, 3, 1, 1, 1)
    for _ in range(integer(1, 3, generator)):
        centre = torch.tensor([uniform(0.3, 0.7, generator) * n for n in size]).view(1, 3, 1, 1, 1)
        offset = (grid - centre) / extent.max()
        spread = uniform(0.1, 0.3, generator)
        bump = torch.exp(-(offset**2).sum(1, keepdim=True) / (2 * spread**2))
        motion = motion + uniform(-0.5, 1.0, generator) * offset / spread * bump * 1.6
    motion = motion * reach * (extent / extent.max()).clamp(min=0.03)
    # A backward field folds where its derivative reaches -1: stay well below.
    steepest = max(float(d.abs().max()) for d in warping.gradients(motion))
    return motion * min(1.0, 0.7 / max(steepest, 1e-6))


def _s_curve(time: Tensor, generator: Generator) -> Tensor:
    """How far the motion has come at a time: from even to slow at both ends, its middle early or late."""
    bend, skew = uniform(0, 1, generator), math.exp(uniform(-0.3, 0.3, generator))
    time = time**skew
    return (1 - bend) * time + bend * time * time * (3 - 2 * time)
