"""Samples for training: two phases, a time, and the acquired frame at that time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Generator, Tensor

from .. import sampling
from .cache import Beat
from .draws import integer, uniform

# What the slices of the training data are to each other where the header does not say: 10 mm apart, 1.5 mm pixels.
SLICES = (10.0, 1.5, 1.5)


@dataclass(frozen=True)
class Sample:
    """A batch for training: phases and truth (batch, 1, k, j, i) in [0, 1]; time (batch,) of the truth between the
    phases.

    upright: two phases (2, 1, k, j, i) as acquired, neither turned nor mirrored: which way up an image is can only be
    learned from images that have a way up. spacing: of the voxels (k, j, i).
    """

    phase0: Tensor
    phase1: Tensor
    truth: Tensor
    time: Tensor
    upright: Tensor
    spacing: Tuple[float, float, float] = SLICES

    def to(self, device: torch.device) -> "Sample":
        tensors = (self.phase0, self.phase1, self.truth, self.time, self.upright)
        return Sample(*(x.to(device) for x in tensors), self.spacing)


def draw_times(beat: Beat, generator: Generator) -> Tuple[int, int, int]:
    """Frame numbers (phase 0, truth, phase 1): mostly ED to ES as at deployment, else ES to the next ED, or any part of
    the cycle.
    """
    count = len(beat.frames)
    kind = uniform(0, 1, generator)
    if kind < 0.7 and beat.es - beat.ed > 1:
        start, length = beat.ed, beat.es - beat.ed
    elif kind < 0.8 and (beat.ed - beat.es) % count > 1:
        start, length = beat.es, (beat.ed - beat.es) % count
    else:
        start, length = integer(0, count - 1, generator), integer(2, max(2, count // 2), generator)
    return start % count, (start + integer(1, length - 1, generator)) % count, (start + length) % count


class BeatSampler:
    """Draws batches of augmented crops from the beats of a cache: turned, mirrored, sometimes rotated, scaled, of
    another contrast.
    """

    def __init__(self, beats: List[Beat], crop: int = 65, batch: int = 4) -> None:
        self.beats, self.crop, self.batch = beats, crop, batch

    def draw(self, generator: Generator) -> Sample:
        """Each item from another patient."""
        depth = 7 if uniform(0, 1, generator) < 0.8 else 5
        beats = [b for b in self.beats if b.frames.shape[1] >= depth] or self.beats
        depth = min(depth, min(b.frames.shape[1] for b in beats))
        triples, times = [], []
        for _ in range(self.batch):
            beat = beats[integer(0, len(beats) - 1, generator)]
            first, middle, last = draw_times(beat, generator)
            count = len(beat.frames)
            times.append(((middle - first) % count) / ((last - first) % count or count))
            triples.append(self._cropped(beat.frames[[first, middle, last]], depth, generator))
        stack = torch.stack(triples)
        upright = self._crop(beat.frames[[first, last]], depth, generator)[:, None]
        return Sample(stack[:, 0:1], stack[:, 2:3], stack[:, 1:2], torch.tensor(times, dtype=torch.float32), upright)

    def _cropped(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) of 8 bits -> an augmented (n, depth, crop, crop) in [0, 1]."""
        if uniform(0, 1, generator) < 0.5:
            crop = self._turned(frames, depth, generator)
        else:
            crop = self._crop(frames, depth, generator)
        for axis in (1, 2, 3):
            if uniform(0, 1, generator) < 0.5:
                crop = crop.flip(axis)
        if uniform(0, 1, generator) < 0.5:
            crop = crop.transpose(2, 3)
        if uniform(0, 1, generator) < 0.5:
            crop = crop ** math.exp(uniform(-0.3, 0.3, generator))
        return crop

    def _crop(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) of 8 bits -> (n, depth, crop, crop) in [0, 1], from anywhere inside."""
        k, j, i = (integer(0, max(n - c, 0), generator)
                   for n, c in zip(frames.shape[1:], (depth, self.crop, self.crop)))
        return frames[:, k:k + depth, j:j + self.crop, i:i + self.crop].float() / 255

    def _turned(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """A crop seen from any angle in the plane of the slices, and up to a fifth larger or smaller."""
        slab = integer(0, frames.shape[1] - depth, generator)
        frames = frames[:, slab:slab + depth].float() / 255
        size = frames.shape[1:]
        angle, scale = uniform(-math.pi, math.pi, generator), math.exp(uniform(-0.18, 0.18, generator))
        grid = sampling.identity((size[0], self.crop, self.crop), frames)
        half = (self.crop - 1) / 2
        # The middle of the crop stays far enough inside that little of it lies beyond the image's edge.
        room = [max((n - 1) / 2 - half * scale, 0) + 4 for n in size[1:]]
        middle = [(n - 1) / 2 + uniform(-r, r, generator) for n, r in zip(size[1:], room)]
        j, i = (grid[:, 1] - half) * scale, (grid[:, 2] - half) * scale
        index = torch.stack([grid[:, 0], middle[0] + math.cos(angle) * j - math.sin(angle) * i,
                             middle[1] + math.sin(angle) * j + math.cos(angle) * i], dim=1)
        return sampling.sample(frames[None], index)[0]
