"""Samples of the problem: thin slices go through a random slice profile, contrast and noise; the truth stays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..through_plane import classical
from ..through_plane.network.through_plane import Sampling
from ..through_plane.profile import projection_matrix
from .augmentation import uniform
from .slice_sources import Source

FACTORS = (2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 5, 6, 8)
# Places drawn for a block; the one with most contrast is taken, as empty background teaches nothing.
TRIES = 2
# A film shorter than this at a factor is not drawn at it.
LEAST_SLICES = 4
# How often the slices themselves (the axial view) are drawn, instead of cuts across them.
AXIAL = 0.1
# How often a cut comes without its neighbours: then the task `in-plane` has none either.
ALONE = 0.15


@dataclass(frozen=True)
class SliceBatch:
    """A batch for training.

    Parameters
    ----------
    slices : Tensor of shape (batch, k, j, i)
        What was acquired. For the view "coronal" these are slabs of three rows.
    positions : Tensor of shape (n,)
        Real slice numbers.
    truth : Tensor of shape (batch, n, j, i)
        The slices there; of a slab, its middle row only.
    sampling : Sampling
        How the slices were taken.
    view : {"coronal", "axial"}
        The view that learns from this batch.
    """

    slices: Tensor
    positions: Tensor
    truth: Tensor
    sampling: Sampling
    view: str

    @property
    def grid(self) -> Sequence[int]:
        """Size of the grid that the network's convolutions run on."""
        return self.slices.shape[1:]

    def to(self, device: torch.device) -> "SliceBatch":
        """Return the same on a device."""
        sampling = Sampling(self.sampling.ratios.to(device), self.sampling.thickness.to(device))
        return SliceBatch(self.slices.to(device), self.positions.to(device), self.truth.to(device), sampling, self.view)


class SliceSampler:
    """Draws batches of cuts across thin slices, each of its own source, place, axis, profile, contrast and noise.

    Many small cuts of many places teach more than a few large blocks: neighbouring cuts of a block are alike.

    Parameters
    ----------
    sources : sequence of Source
        What to draw from, by their weights.
    batch, slices, width : int
        Size of a batch: cuts, acquired slices of each, pixels across.
    """

    def __init__(self, sources: Sequence[Source], batch: int = 16, slices: int = 12, width: int = 64) -> None:
        self.batch, self.slices, self.width = batch, slices, width
        groups = ([s for s in sources if s.turnable], [s for s in sources if not s.turnable])
        self.groups = [group for group in groups if group]

    def draw(self, generator: Generator) -> SliceBatch:
        """Return a batch, all of one view, one factor and one kind (gap or thick)."""
        group = self.groups[_weighted([sum(s.weight for s in group) for group in self.groups], generator)]
        view = "axial" if uniform(0, 1, generator) < AXIAL else "coronal"
        room = min(max(source.volume.shape) if source.turnable else len(source.volume) for source in group) - 1
        factors = [factor for factor in FACTORS if factor * LEAST_SLICES <= room]
        factor = factors[int(torch.randint(len(factors), (), generator=generator))]
        thick = uniform(0, 1, generator) < 0.55
        offsets = torch.arange(0 if thick else 1, factor)
        offsets = offsets[torch.randperm(len(offsets), generator=generator)[:2]]
        # As many voxels in either view: an axial block has few slices and both of its sides.
        count = min(self.slices if view == "coronal" else LEAST_SLICES + 1, room // factor + 1)
        size = (3, self.width) if view == "coronal" else (self.width // 2, self.width // 2)
        items = self.batch if view == "coronal" else max(1, self.batch // 4)
        rows = (torch.arange(count - 1)[None] * factor + offsets[:, None]).flatten()
        drawn = [_item(group, factor, count, size, rows, thick, generator) for _ in range(items)]
        slices, truth = torch.stack([item[0] for item in drawn]), torch.stack([item[1] for item in drawn])
        if view == "coronal":
            truth = truth[:, :, 1:2]
            if uniform(0, 1, generator) < ALONE:
                slices = slices[:, :, 1:2].expand(-1, -1, 3, -1)
        sampling = Sampling(torch.tensor([item[2] for item in drawn]), torch.tensor([item[3] for item in drawn]))
        return SliceBatch(slices, rows / factor, truth, sampling, view)


def _weighted(weights: Sequence[float], generator: Generator) -> int:
    return int(torch.multinomial(torch.tensor(weights), 1, generator=generator))


def _item(group: Sequence[Source], factor: int, count: int, size: Tuple[int, int], rows: Tensor, thick: bool,
          generator: Generator) -> Tuple[Tensor, Tensor, Tuple[float, float], float]:
    """Acquired slices (k, j, i), thin slices at `rows`, ratios of spacing (rows, columns), relative thickness."""
    length = (count - 1) * factor + 1
    block, margin, spacing = _block(group, length, size, factor, generator)
    block = contrasted(block, generator)
    within = block[margin:margin + length]
    ratios = factor * spacing[0] / spacing[1], factor * spacing[0] / spacing[2]
    width = thickness(factor, thick, generator)
    if width == 0:
        return noisy(within[::factor], generator), within[rows], ratios, 0.0
    shape = "box" if uniform(0, 1, generator) < 0.15 else "gaussian"
    fine = torch.arange(len(block), dtype=torch.float32)
    at = fine[margin:margin + length]
    slices = classical.apply(projection_matrix(fine, at[::factor], width, shape), block)
    if thick:
        return noisy(slices, generator), within[rows], ratios, width / factor
    return (noisy(slices, generator), classical.apply(projection_matrix(fine, at[rows], width, shape), block), ratios,
            0.0)


def _block(group: Sequence[Source], length: int, size: Tuple[int, int], factor: int, generator: Generator
           ) -> Tuple[Tensor, int, List[float]]:
    """Draw a block of thin slices with contrast in it, how many more than `length` it has at each end, its spacing."""
    best, drawn = -1.0, 0
    while drawn < TRIES:
        source = group[_weighted([s.weight for s in group], generator)]
        axes, mirrored = _turn(source, generator)
        volume = source.volume.permute(axes)
        margin = min(factor, (len(volume) - length) // 2)
        if margin < 0:  # another axis or source is long enough
            continue
        drawn += 1
        zoom = math.exp(uniform(-0.35, 0.35, generator)) if uniform(0, 1, generator) < 0.4 else 1.0
        taken = [length + 2 * margin] + [min(n, max(2, round(zoom * wanted)))
                                         for n, wanted in zip(volume.shape[1:], size)]
        start = [int(torch.randint(n - wanted + 1, (), generator=generator)) for n, wanted in zip(volume.shape, taken)]
        candidate = volume[tuple(slice(a, a + n) for a, n in zip(start, taken))].float().flip(mirrored)
        contrast = candidate.std().item()
        if contrast > best:
            best, block, chosen = contrast, candidate, margin
            spacing = [source.spacing[axes[0]]] + [source.spacing[axis] * n / wanted for axis, n, wanted
                                                   in zip(axes[1:], taken[1:], size)]
    if block.shape[1:] != size:
        block = F.interpolate(block[None], size, mode="bilinear", antialias=True)[0]
    return block, chosen, spacing


def _turn(source: Source, generator: Generator) -> Tuple[List[int], List[int]]:
    """Which axis of a source plays which, the slice axis first, and which are mirrored. A film keeps its time."""
    axes = torch.randperm(3, generator=generator).tolist()
    if not source.turnable:
        axes = [0, *(1 + a for a in torch.randperm(2, generator=generator).tolist())]
    return axes, [axis for axis in range(3) if uniform(0, 1, generator) < 0.5]


def thickness(factor: int, thick: bool, generator: Generator) -> float:
    """Width of the slice profile, in thin slices. In `gap` it blurs the truth too: slices as thick as the acquired."""
    draw = uniform(0, 1, generator)
    if thick:
        return factor * (1.0 if draw < 0.8 else uniform(0.5, 1.3, generator))
    return 0.0 if draw < 0.8 else factor * uniform(0.2, 0.9, generator)


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
    if uniform(0, 1, generator) < 0.88:
        return slices
    deviation = math.exp(uniform(math.log(0.005), math.log(0.08), generator))
    return slices + deviation * torch.randn(slices.shape, generator=generator)
