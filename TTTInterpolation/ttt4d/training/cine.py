"""Acquired beats: what the `cardiac` weights learn from, two phases of a cycle and the acquired frame between them."""

from __future__ import annotations

import math
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..errors import SettingsError
from ..motion import warping
from .augmentation import augment_appearance, integer, uniform
from .batches import TrainingBatch
from .cache import CineSequence

# Voxels by which an anatomy is bent, a standard deviation at most: knots lie 16 apart, so that folds are rare.
BEND = 3.0


def draw_phases(beat: CineSequence, ed_to_es: float, generator: Generator) -> Tuple[int, int]:
    """The frame number of phase 0 and how many frames later phase 1 comes, at least two: a share of the time ED to ES
    as at deployment, else ES to the next ED, or mostly any part of the cycle.
    """
    count = len(beat.frames)
    kind = uniform(0, 1, generator)
    if kind < ed_to_es and beat.es - beat.ed > 1:
        start, length = beat.ed, beat.es - beat.ed
    elif kind < ed_to_es + 0.22 * (1 - ed_to_es) and (beat.ed - beat.es) % count > 1:
        start, length = beat.es, (beat.ed - beat.es) % count
    else:
        start, length = integer(0, count - 1, generator), integer(2, max(2, count // 2), generator)
    return start % count, length


def scaled_frames(beat: CineSequence, start: int, length: int, moment: int) -> Tensor:
    """Phase 0, phase 1, and the frame so many after phase 0, on the scale between the phases' and by its own range
    (4, k, j, i), see `TrainingBatch`.
    """
    chosen = [(start + n) % len(beat.frames) for n in (0, length, moment)]
    phase0, phase1, own = beat.frames[chosen].float() / 255
    low, high = beat.ranges[chosen].T
    truth = low[2] + (high[2] - low[2]) * own
    on0, on1 = ((truth - low[n]) / (high[n] - low[n]) for n in (0, 1))
    return torch.stack([phase0, phase1, torch.lerp(on0, on1, moment / length), own])


class CineSampler:
    """Draws batches of augmented crops from the beats of a cache: turned, mirrored, sometimes rotated, scaled, bent, of
    another contrast; three batches in ten as another scanner shows them.
    """

    # Shares: of the pairs that go from ED to ES, and of the batches that another scanner shows.
    ED_TO_ES = 0.55
    DISGUISED = 0.3

    def __init__(self, beats: List[CineSequence], crop: int = 65, batch: int = 4) -> None:
        smallest = min(min(beat.frames.shape[2:]) for beat in beats)
        if crop > smallest:
            raise SettingsError(f"A crop of {crop} does not lie in the smallest image ({smallest} voxels): choose a "
                                "smaller one.")
        self.beats, self.crop, self.batch = beats, crop, batch

    def draw(self, generator: Generator) -> TrainingBatch:
        """Each item from another patient."""
        depth = 7 if uniform(0, 1, generator) < 0.8 else 5
        beats = self._alike([b for b in self.beats if b.frames.shape[1] >= depth] or self.beats, generator)
        depth = min(depth, min(b.frames.shape[1] for b in beats))
        items, times = [], []
        for _ in range(self.batch):
            beat = beats[integer(0, len(beats) - 1, generator)]
            start, length = draw_phases(beat, self.ED_TO_ES, generator)
            moment = integer(1, length - 1, generator)
            times.append(moment / length)
            items.append(self._shown(scaled_frames(beat, start, length, moment), depth, generator))
        frames = torch.stack(items)[:, :, None].unbind(1)
        upright = beat.frames[[start, (start + length) % len(beat.frames)]].float() / 255
        sample = TrainingBatch(*frames, torch.tensor(times), self._crop(upright, depth, generator)[:, None])
        return augment_appearance(sample, self.DISGUISED, generator)

    def _alike(self, beats: List[CineSequence], generator: Generator) -> List[CineSequence]:
        """Those of the beats that can share a batch."""
        return beats

    def _shown(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) in [0, 1] -> an augmented (n, depth, crop, crop)."""
        if uniform(0, 1, generator) < 0.65:
            crop = self._turned(frames, depth, generator)
        else:
            crop = self._crop(frames, depth, generator)
        crop = mirrored(crop, (1, 2, 3), generator)
        if uniform(0, 1, generator) < 0.5:
            crop = crop.transpose(2, 3)
        return contrast(crop, generator)

    def _crop(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) -> (n, depth, crop, crop), from anywhere inside."""
        k, j, i = (integer(0, max(n - c, 0), generator)
                   for n, c in zip(frames.shape[1:], (depth, self.crop, self.crop)))
        return frames[:, k:k + depth, j:j + self.crop, i:i + self.crop]

    def _turned(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """A crop seen from any angle in the plane of the slices, up to a fifth larger or smaller, and bent."""
        slab = integer(0, frames.shape[1] - depth, generator)
        angle, scale = uniform(-math.pi, math.pi, generator), math.exp(uniform(-0.18, 0.18, generator))
        # The middle of the crop stays far enough inside that little of it lies beyond the image's edge.
        room = [max((n - 1) / 2 - (self.crop - 1) / 2 * scale, 0) + 4 for n in frames.shape[2:]]
        return bent(frames[:, slab:slab + depth], (self.crop, self.crop), room, angle, scale, generator)


def bent(frames: Tensor, size: Tuple[int, int], room: Sequence[float], angle: float, scale: float,
         generator: Generator) -> Tensor:
    """(n, k, j, i) -> (n, k, *size): turned and scaled within the slices, and bent: another anatomy with the same
    course.

    room: voxels along (j, i) by which the middle may lie off the image's.
    """
    grid = warping.identity((frames.shape[1], *size), frames)
    j0, i0 = ((n - 1) / 2 + uniform(-r, r, generator) for n, r in zip(frames.shape[2:], room))
    j, i = ((grid[:, axis] - (n - 1) / 2) * scale for axis, n in zip((1, 2), size))
    knots = torch.randn((1, 2, *(n // 16 + 1 for n in size)), generator=generator)
    bend = F.interpolate(uniform(0, BEND, generator) * knots, size=size, mode="bicubic", align_corners=True)
    j, i = j + bend[:, :1], i + bend[:, 1:]
    index = torch.stack([grid[:, 0], j0 + math.cos(angle) * j - math.sin(angle) * i,
                         i0 + math.sin(angle) * j + math.cos(angle) * i], dim=1)
    return warping.sample(frames[None], index)[0]


def mirrored(frames: Tensor, axes: Sequence[int], generator: Generator) -> Tensor:
    """Along each of the axes, every second time."""
    for axis in axes:
        if uniform(0, 1, generator) < 0.5:
            frames = frames.flip(axis)
    return frames


def contrast(frames: Tensor, generator: Generator) -> Tensor:
    """Every second time with another gamma."""
    if uniform(0, 1, generator) < 0.5:
        frames = frames.clamp(min=0) ** math.exp(uniform(-0.3, 0.3, generator))
    return frames
