"""Batches of full images, for the last stage of training of weights whose images always look alike.

The position and the orientation of the anatomy in the image are known at deployment. A network that learns from crops
at any angle cannot use them; one that learns from full images can.
"""

from __future__ import annotations

import math
from typing import List

import torch.nn.functional as F
from torch import Generator, Tensor

from ..temporal.network.features import padded_size, pyramid_strides
from ..temporal.network.interpolator import NetworkSettings
from .augmentation import deform, integer, random_flip, random_gamma, uniform
from .batches import SLICES
from .cache import CineSequence
from .cine import CineSampler

# Probability that an image is shown nearly as it was acquired; the others are shown at any angle.
UPRIGHT = 0.5


class FullImageSampler(CineSampler):
    """Draw batches of full images, padded as at deployment. `crop` is the size of the auxiliary task's images only."""

    ED_TO_ES = 0.89
    OTHER_SCANNER = 0.35

    def _batchable(self, sequences: List[CineSequence], generator: Generator) -> List[CineSequence]:
        """Return the sequences of one image size, that of a sequence drawn at random."""
        size = sequences[integer(0, len(sequences) - 1, generator)].frames.shape[2:]
        return [sequence for sequence in sequences if sequence.frames.shape[2:] == size]

    def _augmented(self, frames: Tensor, depth: int, generator: Generator) -> Tensor:
        """Turn frames (n, k, j, i) in [0, 1] into augmented ones (n, depth, j, i), padded with their edge values."""
        first = integer(0, frames.shape[1] - depth, generator)
        frames = frames[:, first:first + depth]
        upright = uniform(0, 1, generator) < UPRIGHT
        if not upright or uniform(0, 1, generator) < 0.75:
            angle = uniform(-0.3, 0.3, generator) if upright else uniform(-math.pi, math.pi, generator)
            zoom = 0.2 if upright else 0.3
            height, width = frames.shape[2:]
            frames = deform(frames, (height, width), (6, 6), angle, math.exp(uniform(-zoom, zoom, generator)),
                            generator)
        frames = random_flip(frames, (1,) if upright else (1, 2, 3), generator)
        size = tuple(frames.shape[1:])
        padded = padded_size(size, pyramid_strides(size, SLICES, len(NetworkSettings().features)))
        pad = [n for p, s in zip(reversed(padded), reversed(size)) for n in (0, p - s)]
        return F.pad(random_gamma(frames, generator), pad, mode="replicate")
