"""What every sampler draws: two phases, a time, and the true frame at that time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor

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
