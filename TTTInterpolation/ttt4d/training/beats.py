"""Acquired beats: what the `cardiac` weights learn from, two phases of a cycle and the acquired frame between them."""

from __future__ import annotations

import math
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .. import sampling
from ..errors import SettingsError
from .cache import Beat
from .disguises import disguised
from .draws import integer, uniform
from .samples import Sample

# Voxels by which an anatomy is bent, a standard deviation at most: knots lie 16 apart, so that folds are rare.
BEND = 3.0


def draw_phases(beat: Beat, generator: Generator) -> Tuple[int, int]:
    """The frame number of phase 0 and how many frames later phase 1 comes, at least two: half of the time ED to ES as
    at deployment, else ES to the next ED, or any part of the cycle.
    """
    count = len(beat.frames)
    kind = uniform(0, 1, generator)
    if kind < 0.55 and beat.es - beat.ed > 1:
        start, length = beat.ed, beat.es - beat.ed
    elif kind < 0.65 and (beat.ed - beat.es) % count > 1:
        start, length = beat.es, (beat.ed - beat.es) % count
    else:
        start, length = integer(0, count - 1, generator), integer(2, max(2, count // 2), generator)
    return start % count, length


def scaled_frames(beat: Beat, start: int, length: int, moment: int) -> Tensor:
    """Phase 0, phase 1, and the frame so many after phase 0, on the scale between the phases' and by its own range
    (4, k, j, i), see `Sample`.
    """
    chosen = [(start + n) % len(beat.frames) for n in (0, length, moment)]
    phase0, phase1, own = beat.frames[chosen].float() / 255
    low, high = beat.ranges[chosen].T
    truth = low[2] + (high[2] - low[2]) * own
    on0, on1 = ((truth - low[n]) / (high[n] - low[n]) for n in (0, 1))
    return torch.stack([phase0, phase1, torch.lerp(on0, on1, moment / length), own])


class BeatSampler:
    """Draws batches of augmented crops from the beats of a cache: turned, mirrored, sometimes rotated, scaled, bent, of
    another contrast; three batches in ten as another scanner shows them.
    """

    def __init__(self, beats: List[Beat], crop: int = 65, batch: int = 4) -> None:
        smallest = min(min(beat.frames.shape[2:]) for beat in beats)
        if crop > smallest:
            raise SettingsError(f"A crop of {crop} does not lie in the smallest image ({smallest} voxels): choose a "
                                "smaller one.")
        self.beats, self.crop, self.batch = beats, crop, batch

    def draw(self, generator: Generator) -> Sample:
        """Each item from another patient."""
        depth = 7 if uniform(0, 1, generator) < 0.8 else 5
        beats = [b for b in self.beats if b.frames.shape[1] >= depth] or self.beats
        depth = min(depth, min(b.frames.shape[1] for b in beats))
        items, times = [], []
        for _ in range(self.batch):
            beat = beats[integer(0, len(beats) - 1, generator)]
            start, length = draw_phases(beat, generator)
            moment = integer(1, length - 1, generator)
            times.append(moment / length)
            items.append(self._cropped(scaled_frames(beat, start, length, moment), depth, generator))
        frames = torch.stack(items)[:, :, None].unbind(1)
        upright = beat.frames[[start, (start + length) % len(beat.frames)]].float() / 255
        sample = Sample(*frames, torch.tensor(times), self._crop(upright, depth, generator)[:, None])
        return disguised(sample, 0.3, generator)

    def _cropped(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) in [0, 1] -> an augmented (n, depth, crop, crop)."""
        if uniform(0, 1, generator) < 0.65:
            crop = self._turned(frames, depth, generator)
        else:
            crop = self._crop(frames, depth, generator)
        for axis in (1, 2, 3):
            if uniform(0, 1, generator) < 0.5:
                crop = crop.flip(axis)
        if uniform(0, 1, generator) < 0.5:
            crop = crop.transpose(2, 3)
        if uniform(0, 1, generator) < 0.5:
            crop = crop.clamp(min=0) ** math.exp(uniform(-0.3, 0.3, generator))
        return crop

    def _crop(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) -> (n, depth, crop, crop), from anywhere inside."""
        k, j, i = (integer(0, max(n - c, 0), generator)
                   for n, c in zip(frames.shape[1:], (depth, self.crop, self.crop)))
        return frames[:, k:k + depth, j:j + self.crop, i:i + self.crop]

    def _turned(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """A crop seen from any angle in the plane of the slices, up to a fifth larger or smaller, and bent: another
        anatomy with the same course.
        """
        slab = integer(0, frames.shape[1] - depth, generator)
        frames = frames[:, slab:slab + depth]
        size = frames.shape[1:]
        angle, scale = uniform(-math.pi, math.pi, generator), math.exp(uniform(-0.18, 0.18, generator))
        grid = sampling.identity((size[0], self.crop, self.crop), frames)
        half = (self.crop - 1) / 2
        # The middle of the crop stays far enough inside that little of it lies beyond the image's edge.
        room = [max((n - 1) / 2 - half * scale, 0) + 4 for n in size[1:]]
        middle = [(n - 1) / 2 + uniform(-r, r, generator) for n, r in zip(size[1:], room)]
        j, i = (grid[:, 1] - half) * scale, (grid[:, 2] - half) * scale
        knots = uniform(0, BEND, generator) * torch.randn((1, 2, 5, 5), generator=generator)
        bend = F.interpolate(knots, size=(self.crop, self.crop), mode="bicubic", align_corners=True)
        j, i = j + bend[:, :1], i + bend[:, 1:]
        index = torch.stack([grid[:, 0], middle[0] + math.cos(angle) * j - math.sin(angle) * i,
                             middle[1] + math.sin(angle) * j + math.cos(angle) * i], dim=1)
        return sampling.sample(frames[None], index)[0]
