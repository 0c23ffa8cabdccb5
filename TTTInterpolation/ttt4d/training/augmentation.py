"""Another scanner, drawn at random: the same beat with another contrast, noise, blur or coil.

For training; the fixed suite that measures is `ttt4d.evaluation.shifts`.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .batches import TrainingBatch


def augment_appearance(sample: TrainingBatch, chance: float, generator: Generator) -> TrainingBatch:
    """With a chance, the sample as one of five other scanners shows it, the noisy one twice as often: it has most to
    teach. Noise falls on the phases only: the truth stays what is looked for.
    """
    if uniform(0, 1, generator) >= chance:
        return sample
    kind = integer(0, 5, generator)
    if kind == 0:
        exponent = math.exp(uniform(-1.0, 1.0, generator))
        return _changed(sample, lambda x: x**exponent)
    if kind == 1:
        exponent = math.exp(uniform(-0.4, 0.4, generator))
        return _changed(sample, lambda x: (1 - x)**exponent)
    if kind in (2, 5):
        deviation = uniform(0.02, 0.09, generator)
        noisy = [_noisy(x, deviation, generator) for x in (sample.phase0, sample.phase1)]
        return dataclasses.replace(sample, phase0=noisy[0], phase1=noisy[1])
    if kind == 3:
        deviation = uniform(0.7, 2.0, generator)
        return _changed(sample, lambda x: _blurred(x, deviation))
    field = 1 + uniform(0.2, 0.7, generator) * _smooth_field(sample.phase0.shape[2:], generator)
    return _changed(sample, lambda x: x * field)


def _changed(sample: TrainingBatch, change) -> TrainingBatch:
    """Phases and truth alike; each phase in [0, 1] again, the truth on the scale between theirs."""
    phase0, phase1, truth, measured = (
        change(x.clamp(0, 1)) for x in (sample.phase0, sample.phase1, sample.truth, sample.measured))
    time = sample.time.view(-1, 1, 1, 1, 1)
    truth, measured = (torch.lerp(_on_scale_of(phase0, x), _on_scale_of(phase1, x), time) for x in (truth, measured))
    return dataclasses.replace(sample, phase0=_on_scale_of(phase0, phase0), phase1=_on_scale_of(phase1, phase1),
                               truth=truth, measured=measured)


def _on_scale_of(phase: Tensor, x: Tensor) -> Tensor:
    low = phase.amin((1, 2, 3, 4), keepdim=True)
    return (x - low) / (phase.amax((1, 2, 3, 4), keepdim=True) - low).clamp(min=1e-3)


def _noisy(x: Tensor, deviation: float, generator: Generator) -> Tensor:
    draw = torch.randn(x.shape, generator=generator).to(x)
    return (x + deviation * draw).clamp(0, 1)


def _blurred(x: Tensor, deviation: float) -> Tensor:
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2).to(x)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, 1, -1)
    x = F.conv3d(F.pad(x, (reach, reach, 0, 0, 0, 0), mode="replicate"), kernel)
    return F.conv3d(F.pad(x, (0, 0, reach, reach, 0, 0), mode="replicate"), kernel.transpose(3, 4))


def _smooth_field(size, generator: Generator) -> Tensor:
    """(1, 1, k, j, i) within -1 and 1, a random bow over the image."""
    knots = 2 * torch.rand((1, 1, 2, 3, 3), generator=generator) - 1
    return F.interpolate(knots, size=tuple(size), mode="trilinear", align_corners=True)


def uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def integer(low: int, high: int, generator: Generator) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
