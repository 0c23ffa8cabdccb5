"""What the tasks of this axis share: the honest evidence, and patches of a stack."""

from __future__ import annotations

import dataclasses
import math
from typing import Tuple

import torch
from torch import Generator, Tensor, nn

from ...adaptation.task import AuxiliaryTask
from ..inference import interpolate
from ..network.through_plane import ThroughPlaneNetwork
from ..profile import FWHM_PER_SIGMA
from ..stack import SliceStack

# Slices of a stack below which none can be held out.
LEAST_SLICES = 5
# Edge in pixels of the part of the slices that the evidence is taken from.
EVIDENCE_EDGE = 112
# Part by which an adaptation to thick slices must lower the evidence. What is held out there are thicker slices, of
# another profile: on a brain, an adaptation that lowered this error by a twentieth cost 0.4 dB.
THICK_LEAST_GAIN = 0.1
# Two neighbours at a quarter each are a Gaussian of this width, in steps.
BINOMIAL_FWHM = math.sqrt(0.5) * FWHM_PER_SIGMA


def pointwise(error: Tensor) -> Tensor:
    """Charbonnier's loss of each voxel: square up to a fifth of the range, absolute beyond."""
    return (error.square() + 0.2**2).sqrt() - 0.2


class SliceTask(AuxiliaryTask):
    """A task whose evidence is the error of acquired slices, held out and predicted at double spacing.

    An adaptation must lower that error by `needed_gain` of itself, or it is taken back.
    """

    iterations = 120
    learning_rate = 3e-4
    least_gain = 0.005

    def needed_gain(self, batch: SliceStack) -> float:
        """Return the part by which the error of held-out slices must fall: more for thick slices."""
        return THICK_LEAST_GAIN if batch.thickness else self.least_gain

    def learns(self, network: ThroughPlaneNetwork) -> nn.Module:
        """All of the network: reading between the slices changes with the patient as much as the features do."""
        return network

    @torch.no_grad()
    def held_out_loss(self, network: ThroughPlaneNetwork, stack: SliceStack, generator: Generator) -> Tensor:
        """Mean squared error of the held-out slices; no number where the stack has too few slices."""
        if len(stack.slices) < LEAST_SLICES:
            return torch.tensor(math.nan)
        coarse, positions, truth = held_out(cropped(stack, EVIDENCE_EDGE))
        return (interpolate(network, coarse, positions) - truth).square().mean()


def held_out(stack: SliceStack) -> Tuple[SliceStack, Tensor, Tensor]:
    """Return the stack at double spacing, the positions of its own slices there, and these slices, the truth.

    In `gap` every second slice is left out and looked for. In `thick` each slice first takes a quarter of either
    neighbour: slices twice as far apart and about as thick as that; all are looked for.
    """
    count = (len(stack.slices) - 1) // 2 * 2 + 1
    slices, steps = stack.slices[:count], stack.steps[:count - 1]
    ends = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    steps = steps[::2] + steps[1::2]
    positions = torch.arange(count, device=slices.device) / 2
    positions[1::2] = torch.arange(count // 2, device=slices.device) + (ends[1::2] - ends[:-1:2]) / steps
    if not stack.thickness:
        return dataclasses.replace(stack, slices=slices[::2], steps=steps), positions[1::2], slices[1::2]
    padded = torch.cat([slices[:1], slices, slices[-1:]])
    thicker = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (dataclasses.replace(stack, slices=thicker[::2], steps=steps, thickness=BINOMIAL_FWHM * stack.spacing),
            positions, slices)


def cropped(stack: SliceStack, edge: int) -> SliceStack:
    """Crop each slice to the square, at most `edge` pixels wide, in which neighbouring slices differ most."""
    change = stack.slices.diff(dim=0).square().mean(0)
    window = [min(edge, n) for n in change.shape]
    total = torch.nn.functional.avg_pool2d(change[None, None], window, stride=[max(1, n // 4) for n in window])[0, 0]
    row, column = divmod(int(total.argmax()), total.shape[1])
    top, left = row * max(1, window[0] // 4), column * max(1, window[1] // 4)
    return dataclasses.replace(stack, slices=stack.slices[:, top:top + window[0], left:left + window[1]])


def integer(low: int, high: int, generator: Generator) -> int:
    """Draw a whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def place(size: int, wanted: int, generator: Generator) -> slice:
    """Draw a window of at most `wanted` of `size` voxels."""
    wanted = min(size, wanted)
    start = integer(0, size - wanted, generator)
    return slice(start, start + wanted)


def patch(stack: SliceStack, generator: Generator, slices: int = 9, edge: int = 32) -> Tensor:
    """Draw a block (k, j, i) of the acquired slices."""
    windows = [place(n, wanted, generator) for n, wanted in zip(stack.slices.shape, (slices, edge, edge))]
    return stack.slices[tuple(windows)]
