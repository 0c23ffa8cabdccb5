"""Samples of the problem: thin slices go through a random slice profile, contrast and noise; the truth stays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..through_plane import classical
from ..through_plane.network.through_plane import Sampling
from ..through_plane.profile import projection_matrix
from .augmentation import uniform
from .slice_sources import Source

FACTORS = (2, 2, 3, 4, 4, 4, 5, 6, 8)
# Places drawn for a block; the one with most contrast is taken, as empty background teaches nothing.
TRIES = 2
# A film shorter than this at a factor is not drawn at it.
LEAST_SLICES = 4


@dataclass(frozen=True)
class SliceBatch:
    """A batch for training.

    slices : (batch, k, j, i), what was acquired; positions : (n,), real slice numbers; truth : (batch, n, j, i).
    """

    slices: Tensor
    positions: Tensor
    truth: Tensor
    sampling: Sampling

    @property
    def grid(self) -> Sequence[int]:
        """Size of the grid that the network's convolutions run on."""
        return self.slices.shape[1:]

    def to(self, device: torch.device) -> "SliceBatch":
        """Return the same batch on a device."""
        sampling = Sampling(self.sampling.ratios.to(device), self.sampling.thickness.to(device))
        return SliceBatch(self.slices.to(device), self.positions.to(device), self.truth.to(device), sampling)


def _weighted(weights: Sequence[float], generator: Generator) -> int:
    return int(torch.multinomial(torch.tensor(weights), 1, generator=generator))


class SliceSampler:
    """Draws batches of small blocks from sources of thin slices.

    Parameters
    ----------
    sources : what to draw from, by their weights
    batch, slices, edge : size of a batch: items, acquired slices of each, voxels along rows and columns
    """

    def __init__(self, sources: Sequence[Source], batch: int = 4, slices: int = 8, edge: int = 28) -> None:
        self.batch, self.slices, self.edge = batch, slices, edge
        groups = ([s for s in sources if s.turnable], [s for s in sources if not s.turnable])
        self.groups = [group for group in groups if group]

    def draw(self, generator: Generator) -> SliceBatch:
        """All items of one factor and one kind, each of its own source, axis, profile, contrast and noise."""
        group = self.groups[_weighted([sum(s.weight for s in group) for group in self.groups], generator)]
        room = min(max(source.volume.shape) if source.turnable else len(source.volume) for source in group) - 1
        factors = [factor for factor in FACTORS if factor * LEAST_SLICES <= room]
        factor = factors[int(torch.randint(len(factors), (), generator=generator))]
        count = min(self.slices, room // factor + 1)
        thick = uniform(0, 1, generator) < 0.5
        offsets = torch.arange(0 if thick else 1, factor)
        offsets = offsets[torch.randperm(len(offsets), generator=generator)[:2]]
        items = [self._item(group, factor, count, thick, generator) for _ in range(self.batch)]
        rows = (torch.arange(count - 1)[None] * factor + offsets[:, None]).flatten()
        return SliceBatch(torch.stack([item[0] for item in items]), rows / factor,
                      torch.stack([item[1][rows] for item in items]),
                      Sampling(torch.tensor([item[2] for item in items]), torch.tensor([item[3] for item in items])))

    def _item(self, group: Sequence[Source], factor: int, count: int, thick: bool, generator: Generator
              ) -> Tuple[Tensor, Tensor, Tuple[float, float], float]:
        """Acquired slices (k, j, i), thin slices, ratios of spacing (rows, columns), relative thickness."""
        length = (count - 1) * factor + 1
        block, margin, spacing = self._block(group, length, factor, generator)
        block = contrasted(block, generator)
        width = thickness(factor, thick, generator)
        shape = "box" if uniform(0, 1, generator) < 0.3 else "gaussian"
        fine = torch.arange(len(block), dtype=torch.float32)
        blurred = classical.apply(projection_matrix(fine, fine[margin:margin + length], width, shape), block)
        truth = block[margin:margin + length] if thick else blurred
        ratios = factor * spacing[0] / spacing[1], factor * spacing[0] / spacing[2]
        return noisy(blurred[::factor], generator), truth, ratios, width / factor if thick else 0.0

    def _block(self, group: Sequence[Source], length: int, factor: int, generator: Generator
               ) -> Tuple[Tensor, int, List[float]]:
        """Draw a block of thin slices with contrast in it.

        Returns the block, how many slices more than `length` it has at each end, and its spacing.
        """
        drawn: List[Any] = []
        while len(drawn) < TRIES:
            source = group[_weighted([s.weight for s in group], generator)]
            volume, spacing = turned(source, generator)
            margin = min(factor, (len(volume) - length) // 2)
            if margin < 0:  # another axis or source is long enough
                continue
            zoom = math.exp(uniform(-0.35, 0.35, generator)) if uniform(0, 1, generator) < 0.5 else 1.0
            size = [length + 2 * margin] + [min(n, max(2, round(self.edge * zoom))) for n in volume.shape[1:]]
            start = [int(torch.randint(n - wanted + 1, (), generator=generator))
                     for n, wanted in zip(volume.shape, size)]
            block = volume[tuple(slice(a, a + n) for a, n in zip(start, size))].float()
            drawn.append((block.std().item(), block, margin, spacing, size))
        _, block, margin, spacing, size = max(drawn, key=lambda one: one[0])
        spacing = [spacing[0]] + [s * n / self.edge for s, n in zip(spacing[1:], size[1:])]
        if block.shape[1:] != (self.edge, self.edge):
            block = F.interpolate(block[None], (self.edge, self.edge), mode="bilinear", antialias=True)[0]
        return block, margin, spacing



def turned(source: Source, generator: Generator) -> Tuple[Tensor, List[float]]:
    """Return the volume of a source with another axis as the slice axis, mirrored at random."""
    axes = torch.randperm(3, generator=generator).tolist()
    if not source.turnable:
        axes = [0, *(1 + a for a in torch.randperm(2, generator=generator).tolist())]
    volume = source.volume.permute(axes)
    flips = [axis for axis in range(3) if uniform(0, 1, generator) < 0.5]
    return volume.flip(flips) if flips else volume, [source.spacing[a] for a in axes]


def thickness(factor: int, thick: bool, generator: Generator) -> float:
    """Draw the width of the slice profile, in thin slices; in `gap` it blurs the truth too, to slices as thick."""
    draw = uniform(0, 1, generator)
    if thick:
        return factor * (1.0 if draw < 0.5 else uniform(0.5, 1.3, generator))
    return 0.0 if draw < 0.7 else factor * uniform(0.2, 0.9, generator)


def contrasted(block: Tensor, generator: Generator) -> Tensor:
    """Another gamma, a narrower intensity window, inverted intensities, each at times."""
    if uniform(0, 1, generator) < 0.4:
        block = block.clamp(0, 1.5) ** math.exp(uniform(-0.6, 0.6, generator))
    if uniform(0, 1, generator) < 0.15:
        low, high = uniform(0, 0.3, generator), uniform(0.5, 1.0, generator)
        block = ((block - low) / (high - low)).clamp(0, 1)
    return 1 - block if uniform(0, 1, generator) < 0.25 else block


def noisy(slices: Tensor, generator: Generator) -> Tensor:
    """Slices with Gaussian noise, at times: the truth has none of it."""
    if uniform(0, 1, generator) < 0.8:
        return slices
    deviation = math.exp(uniform(math.log(0.005), math.log(0.08), generator))
    return slices + deviation * torch.randn(slices.shape, generator=generator)
