"""Whole images as a scanner gives them: what the last stage of the `cardiac` weights learns from.

At deployment the network sees the whole image, its edges included, most often the way up that is usual for its kind,
with the heart in the middle. Crops seen from every side keep that from it; here it may use it.
"""

from __future__ import annotations

import math
from typing import List

import torch.nn.functional as F
from torch import Generator, Tensor

from ..temporal.network.features import padded_size, pyramid_strides
from ..temporal.network.interpolator import NetworkSettings
from .augmentation import integer, uniform
from .batches import SLICES
from .cache import CineSequence
from .cine import CineSampler, bent, contrast, mirrored

# Of the images, those shown nearly as they were acquired; the others from any side.
UPRIGHT = 0.6


class FullImageSampler(CineSampler):
    """Draws batches of whole images, padded as at deployment; crop: of the auxiliary tasks' images alone."""

    ED_TO_ES = 0.89
    DISGUISED = 0.15

    def _alike(self, beats: List[CineSequence], generator: Generator) -> List[CineSequence]:
        """Of one size, that of a beat drawn at random."""
        size = beats[integer(0, len(beats) - 1, generator)].frames.shape[2:]
        return [beat for beat in beats if beat.frames.shape[2:] == size]

    def _shown(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """(n, k, j, i) in [0, 1] -> the augmented (n, depth, j, i), its edges held to the size the pyramid needs."""
        slab = integer(0, frames.shape[1] - depth, generator)
        frames = frames[:, slab:slab + depth]
        upright = uniform(0, 1, generator) < UPRIGHT
        if not upright or uniform(0, 1, generator) < 0.75:
            angle = uniform(-0.3, 0.3, generator) if upright else uniform(-math.pi, math.pi, generator)
            reach = 0.12 if upright else 0.18
            frames = bent(frames, tuple(frames.shape[2:]), (6, 6), angle, math.exp(uniform(-reach, reach, generator)),
                          generator)
        frames = mirrored(frames, (1,) if upright else (1, 2, 3), generator)
        size = tuple(frames.shape[1:])
        wanted = padded_size(size, pyramid_strides(size, SLICES, len(NetworkSettings().features)))
        pad = [n for w, s in zip(reversed(wanted), reversed(size)) for n in (0, w - s)]
        return F.pad(contrast(frames, generator), pad, mode="replicate")
