"""Random augmentation: of the appearance (contrast, noise, blur, coil), and of the orientation and shape of a crop.

The fixed suite of shifts that is measured is `ttt4d.evaluation.shifts`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..images.smoothing import smooth
from ..motion import warping
from .batches import TrainingBatch

# Largest standard deviation, in voxels, of the random deformation of an anatomy: its knots lie 16 apart, so that folds
# are rare.
DEFORMATION = 4.0


def augment_appearance(batch: TrainingBatch, probability: float, generator: Generator) -> TrainingBatch:
    """Imitate another scanner, with a given probability.

    One of seven changes is drawn: gamma, inverted gamma, noise (twice as often, since it has most to teach), blur, an
    uneven coil, a window that cuts the darkest and brightest grey values off (as images of 8 bits have), or another
    curve of grey values. Phases and truth change alike, except that noise is added to the phases only: the truth stays
    what has to be found.

    Parameters
    ----------
    batch : TrainingBatch
        The batch to change.
    probability : float
        Probability of a change.
    generator : Generator
        Source of every random number.

    Returns
    -------
    TrainingBatch
        Its phases are in [0, 1].
    """
    if uniform(0, 1, generator) >= probability:
        return batch
    kind = integer(0, 7, generator)
    if kind == 0:
        exponent = math.exp(uniform(-1.0, 1.0, generator))
        return _changed(batch, lambda x: x**exponent)
    if kind == 1:
        exponent = math.exp(uniform(-0.4, 0.4, generator))
        return _changed(batch, lambda x: (1 - x)**exponent)
    if kind in (2, 5):
        sigma = uniform(0.02, 0.09, generator)
        phase0, phase1 = (_noisy(x, sigma, generator) for x in (batch.phase0, batch.phase1))
        return dataclasses.replace(batch, phase0=phase0, phase1=phase1)
    if kind == 3:
        sigma = uniform(0.7, 2.0, generator)
        return _changed(batch, lambda x: _blurred(x, sigma))
    if kind == 6:
        low = uniform(0, 0.1, generator)
        # torch takes no quantile of more than 16 million values, and a seventh of them tells the same.
        high = torch.quantile(batch.phase0.flatten()[::7], 1 - uniform(0, 0.05, generator)).item()
        return _changed(batch, lambda x: x.clamp(min(low, high - 0.2), high))
    if kind == 7:
        rise = torch.rand(6, generator=generator) + 0.15
        return _changed(batch, lambda x: _curved(x, rise / rise.sum()))
    field = 1 + uniform(0.2, 0.7, generator) * _smooth_field(batch.phase0.shape[2:], generator)
    return _changed(batch, lambda x: x * field)


def deform(frames: Tensor, size: Tuple[int, int], max_offset: Sequence[float], angle: float, scale: float,
           generator: Generator) -> Tensor:
    """Rotate, scale and deform frames within their slices: another anatomy with the same motion.

    Parameters
    ----------
    frames : Tensor of shape (n, k, j, i)
        Frames of one patient; all change alike.
    size : tuple of int
        Size (j, i) of the result.
    max_offset : sequence of float
        Voxels along (j, i) by which the centre of the result may lie off the centre of the frames.
    angle, scale : float
        Rotation in radians, and zoom: above 1, the result shows more of the frames.
    generator : Generator
        Source of every random number.

    Returns
    -------
    Tensor of shape (n, k, *size)
        Edge values are repeated outside the frames.
    """
    grid = warping.identity((frames.shape[1], *size), frames)
    j0, i0 = ((n - 1) / 2 + uniform(-r, r, generator) for n, r in zip(frames.shape[2:], max_offset))
    j, i = ((grid[:, axis] - (n - 1) / 2) * scale for axis, n in zip((1, 2), size))
    knots = torch.randn((1, 2, *(n // 16 + 1 for n in size)), generator=generator)
    bend = F.interpolate(uniform(0, DEFORMATION, generator) * knots, size=size, mode="bicubic", align_corners=True)
    j, i = j + bend[:, :1], i + bend[:, 1:]
    index = torch.stack([grid[:, 0], j0 + math.cos(angle) * j - math.sin(angle) * i,
                         i0 + math.sin(angle) * j + math.cos(angle) * i], dim=1)
    return warping.sample(frames[None], index)[0]


def random_flip(frames: Tensor, axes: Sequence[int], generator: Generator) -> Tensor:
    """Flip frames along each of the axes with probability one half."""
    for axis in axes:
        if uniform(0, 1, generator) < 0.5:
            frames = frames.flip(axis)
    return frames


def random_gamma(frames: Tensor, generator: Generator) -> Tensor:
    """Raise intensities to a random power with probability one half."""
    if uniform(0, 1, generator) < 0.5:
        frames = frames.clamp(min=0) ** math.exp(uniform(-0.3, 0.3, generator))
    return frames


def uniform(low: float, high: float, generator: Generator) -> float:
    """Draw a number between `low` and `high`."""
    return low + (high - low) * torch.rand((), generator=generator).item()


def integer(low: int, high: int, generator: Generator) -> int:
    """Draw a whole number from `low` to `high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _changed(batch: TrainingBatch, change: Callable[[Tensor], Tensor]) -> TrainingBatch:
    """Change phases and truth alike; scale each phase to [0, 1] again, and the truth with the ranges of the phases."""
    phase0, phase1, truth, unit_truth = (
        change(x.clamp(0, 1)) for x in (batch.phase0, batch.phase1, batch.truth, batch.unit_truth))
    time = batch.time.view(-1, 1, 1, 1, 1)
    truth, unit_truth = (torch.lerp(_on_scale_of(phase0, x), _on_scale_of(phase1, x), time)
                         for x in (truth, unit_truth))
    return dataclasses.replace(batch, phase0=_on_scale_of(phase0, phase0), phase1=_on_scale_of(phase1, phase1),
                               truth=truth, unit_truth=unit_truth)


def _on_scale_of(phase: Tensor, x: Tensor) -> Tensor:
    """Scale `x` so that the range of `phase` becomes [0, 1]."""
    low = phase.amin((1, 2, 3, 4), keepdim=True)
    return (x - low) / (phase.amax((1, 2, 3, 4), keepdim=True) - low).clamp(min=1e-3)


def _noisy(x: Tensor, sigma: float, generator: Generator) -> Tensor:
    noise = torch.randn(x.shape, generator=generator).to(x)
    return (x + sigma * noise).clamp(0, 1)


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Blur within the slices."""
    radius = math.ceil(3 * sigma)
    return smooth(smooth(x, 4, sigma, radius), 3, sigma, radius)


def _curved(x: Tensor, rise: Tensor) -> Tensor:
    """Map [0, 1] to [0, 1] by straight pieces of equal width that rise by `rise`."""
    pieces = len(rise)
    start = torch.cumsum(rise, 0) - rise
    piece = (x * pieces).long().clamp(max=pieces - 1)
    return start.to(x)[piece] + rise.to(x)[piece] * (x * pieces - piece)


def _smooth_field(size: Sequence[int], generator: Generator) -> Tensor:
    """Draw a smooth field (1, 1, k, j, i) between -1 and 1."""
    knots = 2 * torch.rand((1, 1, 2, 3, 3), generator=generator) - 1
    return F.interpolate(knots, size=tuple(size), mode="trilinear", align_corners=True)
