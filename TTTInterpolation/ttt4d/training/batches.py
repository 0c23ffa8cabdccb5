"""What every sampler draws: two phases, a time, and the true frame at that time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import torch
from torch import Tensor

# What the slices of the training data are to each other where the header does not say: 10 mm apart, 1.5 mm pixels.
SLICES = (10.0, 1.5, 1.5)


@dataclass(frozen=True)
class TrainingBatch:
    """A batch for training: phases (batch, 1, k, j, i) in [0, 1], and the true frame at `time` (batch,) between them.

    truth: on the scale between the phases', from which motion is learned. measured: the same frame in [0, 1] by its own
    range, as the paper's protocol measures it. The brightest voxel decides a frame's own scale and flickers by a tenth
    from frame to frame; no network can know that, and in the motion's loss it would drown the motion.

    upright: two phases (2, 1, k, j, i) as acquired, neither turned nor mirrored: which way up an image is can only be
    learned from images that have a way up. spacing: of the voxels (k, j, i).
    """

    phase0: Tensor
    phase1: Tensor
    truth: Tensor
    measured: Tensor
    time: Tensor
    upright: Tensor
    spacing: Tuple[float, float, float] = SLICES

    @property
    def grid(self) -> Sequence[int]:
        """Size of the grid that the network's convolutions run on."""
        return self.phase0.shape[2:]

    def to(self, device: torch.device) -> "TrainingBatch":
        tensors = (self.phase0, self.phase1, self.truth, self.measured, self.time, self.upright)
        return TrainingBatch(*(x.to(device) for x in tensors), self.spacing)
