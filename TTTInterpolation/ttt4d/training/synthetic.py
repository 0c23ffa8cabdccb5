"""Batches of generated anatomies in motion, from which the `general` weights learn without any patient's data.

An anatomy is a set of nested smooth random shapes, each with its own grey value and texture [1]_. Around some points it
contracts or expands, on top of a smooth random drift, along an S-curve of time. More than half of the anatomies hold a
heart that beats (`ttt4d.training.hearts`), as sharp and of as much contrast as cine images are. In some regions an
anatomy turns into another one on the way, as blood does that flows in and tissue that moves through a thick slice:
motion cannot explain such regions, so they must be blended, and the network has to learn where. The truth is exact:
every frame is the anatomy at its time, sampled once and without noise.

References
----------
.. [1] Hoffmann et al., "SynthMorph: learning contrast-invariant registration without acquired images", IEEE
   Transactions on Medical Imaging 41(3), 2022, doi:10.1109/TMI.2021.3116879.
"""

from __future__ import annotations

import math
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..images.volume import Triple
from ..motion import warping
from ..motion.diffeomorphism import jacobian_determinant
from .augmentation import augment_appearance, integer, uniform
from .batches import SLICES, TrainingBatch
from .hearts import Size, beat, draw_heart, paint

ISOTROPIC: Triple = (1.0, 1.0, 1.0)
# Probability that a batch imitates another scanner.
OTHER_SCANNER = 0.3
# Share of the anatomies that hold a heart.
HEARTS = 0.6


class SyntheticAnatomySampler:
    """Draw batches of generated anatomies in motion: stacks of thick slices, or isotropic volumes.

    Parameters
    ----------
    crop : int
        Edge of a stack within the slice, in voxels; isotropic volumes have about half of it.
    batch : int
        Pairs in a batch.
    """

    def __init__(self, crop: int = 65, batch: int = 4) -> None:
        self.crop, self.batch = crop, batch

    def draw(self, generator: Generator) -> TrainingBatch:
        """Draw a batch; each pair is another anatomy, on grids of one size."""
        size, spacing = self._grid(generator)
        pairs = [self._pair(size, generator) for _ in range(self.batch)]
        parts = {name: torch.cat([getattr(pair, name) for pair in pairs])
                 for name in ("phase0", "phase1", "truth", "unit_truth", "time")}
        batch = TrainingBatch(**parts, upright=pairs[0].upright, spacing=spacing)
        return augment_appearance(batch, OTHER_SCANNER, generator)

    def _grid(self, generator: Generator) -> Tuple[Size, Triple]:
        if uniform(0, 1, generator) < 0.6:
            return (integer(5, 8, generator), self.crop, self.crop), SLICES
        edge = (self.crop // 2 // 8) * 8 + 1
        return (edge, edge, edge), ISOTROPIC

    def _pair(self, size: Size, generator: Generator) -> TrainingBatch:
        """Draw one anatomy in motion, as a batch of one."""
        anatomy, motion = _anatomy(size, generator), _motion(size, generator)
        if uniform(0, 1, generator) < HEARTS:
            heart = draw_heart(size, generator)
            anatomy = paint(heart, anatomy, generator)
            motion = _not_folding(uniform(0, 0.3, generator) * motion + beat(heart, generator))
        anatomy = _window(anatomy, generator)
        change = uniform(0, 1, generator) * _change(anatomy, generator)
        time = torch.rand(1, generator=generator) * 0.9 + 0.05
        course = _s_curve(time, generator)
        truth = warping.warp(anatomy + change * course, warping.scaled(motion, course))
        noise = uniform(0, 0.03, generator) if uniform(0, 1, generator) < 0.5 else 0.0
        phases = torch.cat([anatomy, warping.warp(anatomy + change, motion)])
        phases = (phases + noise * torch.randn(phases.shape, generator=generator)).clamp(0, 1)
        return TrainingBatch(phases[:1], phases[1:], truth, truth, time, upright=phases)


def _smooth(size: Size, channels: int, knots: int, generator: Generator) -> Tensor:
    """Draw a smooth map (1, channels, k, j, i) with about `knots` knots along the longest axis, deviation near 1."""
    coarse = tuple(min(n, max(2, round(knots * n / max(size)))) for n in size)
    draw = torch.randn((1, channels, *coarse), generator=generator)
    return F.interpolate(draw, size=size, mode="trilinear", align_corners=True)


def _anatomy(size: Size, generator: Generator) -> Tensor:
    """Draw an image (1, 1, k, j, i) in [0, 1] of nested shapes with texture and soft edges."""
    image = uniform(0, 1, generator) + 0.1 * _smooth(size, 1, 6, generator)
    for _ in range(integer(4, 10, generator)):
        level = _smooth(size, 1, integer(2, 10, generator), generator) + _ball(size, generator)
        inside = torch.sigmoid((level - uniform(-0.3, 1.0, generator)) * math.exp(uniform(1.5, 4.5, generator)))
        grey = uniform(0, 1, generator) + uniform(0, 0.2, generator) * _smooth(
            size, 1, integer(6, 24, generator), generator)
        if uniform(0, 1, generator) < 0.3:  # its border alone: a vessel, a layer of fat
            inside = 4 * inside * (1 - inside)
        image = image + inside * (grey - image)
    image = image + uniform(0, 0.03, generator) * torch.randn(image.shape, generator=generator)
    low, high = image.min(), image.max()
    return (image - low) / (high - low)


def _window(image: Tensor, generator: Generator) -> Tensor:
    """Scale an image to [0, 1] by its range, or cut its darkest and brightest part off, as scanners export it."""
    cut = uniform(0, 0.05, generator) if uniform(0, 1, generator) < 0.5 else 0.0
    low, high = torch.quantile(image, cut), torch.quantile(image, 1 - cut)
    return ((image - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)


def _change(anatomy: Tensor, generator: Generator) -> Tensor:
    """Draw what is added to the anatomy (1, 1, k, j, i) from phase 0 to phase 1: another anatomy in some regions."""
    nk, nj, ni = anatomy.shape[2:]
    size = (nk, nj, ni)
    level = _smooth(size, 1, integer(2, 12, generator), generator)
    region = torch.sigmoid((level - uniform(0.0, 1.5, generator)) * uniform(3, 20, generator))
    everywhere = uniform(0, 0.15, generator)
    other = _anatomy(size, generator)
    return (everywhere + uniform(0, 1, generator) * region).clamp(max=1) * (other - anatomy)


def _ball(size: Size, generator: Generator) -> Tensor:
    """Draw a map that is positive inside a random ellipsoid, so that closed organs are as common as bands."""
    grid = warping.identity(size, torch.zeros(()))
    total = torch.zeros(())
    for axis, n in enumerate(size):
        radius = max(uniform(0.1, 0.4, generator) * n, 1.0)
        total = total + ((grid[:, axis:axis + 1] - uniform(0.2, 0.8, generator) * n) / radius)**2
    return 1.5 - 1.5 * total.clamp(max=2)


def _motion(size: Size, generator: Generator) -> Tensor:
    """Draw a displacement (1, 3, k, j, i) from the grid of phase 1 into phase 0, in voxels.

    It is at most about a seventh of the longest edge and folds nowhere.
    """
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
    return _not_folding(motion)


def _not_folding(motion: Tensor) -> Tensor:
    """Shrink a displacement (1, 3, k, j, i) until it folds nowhere."""
    while float(jacobian_determinant(motion).min()) < 0.2:
        motion = 0.85 * motion
    return motion


def _s_curve(time: Tensor, generator: Generator) -> Tensor:
    """Draw a course of the motion: its progress at a time, even or slow at both ends, early or late in the middle."""
    bend, skew = uniform(0, 1, generator), math.exp(uniform(-0.3, 0.3, generator))
    time = time**skew
    return (1 - bend) * time + bend * time * time * (3 - 2 * time)
