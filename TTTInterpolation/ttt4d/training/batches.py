"""What every sampler draws: two phases, a time, and the true frame at that time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Sequence

import torch
from torch import Tensor

from ..images.volume import Triple

# Spacing (k, j, i) in mm of training data whose header does not tell it: slices 10 mm apart, pixels of 1.5 mm.
SLICES: Triple = (10.0, 1.5, 1.5)


@dataclass(frozen=True)
class TrainingBatch:
    """A batch of pairs of phases with the true frame between them.

    Two truths are needed. The brightest voxel decides the range of a frame, and it changes by a tenth from frame to
    frame. No network can know that, and in the loss of the motion it would hide the motion.

    Parameters
    ----------
    phase0, phase1 : Tensor of shape (batch, 1, k, j, i)
        The phases, intensities in [0, 1].
    truth : Tensor of shape (batch, 1, k, j, i)
        The frame at `time`, on the intensity range between those of the two phases. The motion is learned from it.
    unit_truth : Tensor of shape (batch, 1, k, j, i)
        The same frame in [0, 1] by its own range, as the protocol of the published tables measures it.
    time : Tensor of shape (batch,)
        Times between 0 (phase 0) and 1 (phase 1).
    upright : Tensor of shape (2, 1, k, j, i)
        Two phases as acquired, neither rotated nor flipped: an auxiliary task can learn the orientation of an image
        only from images that have one.
    spacing : tuple of float
        Voxel spacing in mm along (k, j, i).
    """

    phase0: Tensor
    phase1: Tensor
    truth: Tensor
    unit_truth: Tensor
    time: Tensor
    upright: Tensor
    spacing: Triple = SLICES

    @property
    def grid(self) -> Sequence[int]:
        """Size of the grid that the network's convolutions run on."""
        return self.phase0.shape[2:]

    def to(self, device: torch.device) -> "TrainingBatch":
        """Return the batch on a device."""
        return dataclasses.replace(
            self, phase0=self.phase0.to(device), phase1=self.phase1.to(device), truth=self.truth.to(device),
            unit_truth=self.unit_truth.to(device), time=self.time.to(device), upright=self.upright.to(device))
