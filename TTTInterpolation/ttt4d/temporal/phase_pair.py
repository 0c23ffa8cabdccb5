"""The batch of adaptation on the axis of time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .network.features import Strides


@dataclass(frozen=True)
class PhasePair:
    """The two phases of one pair on the canvas, without any label.

    Parameters
    ----------
    phases : Tensor of shape (2, 1, k, j, i)
        Intensities in [0, 1], in order of time.
    strides : tuple of tuple of int
        Strides of the feature pyramid on this canvas, one triple (k, j, i) a level.
    """

    phases: Tensor
    strides: Strides

    @property
    def device(self) -> torch.device:
        """Device of the phases."""
        return self.phases.device

    @property
    def grid(self) -> torch.Size:
        """Size (k, j, i) of the canvas."""
        return self.phases.shape[2:]
