"""What the network is given of one patient: the acquired slices on its intensity scale, and how they were taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import torch
from torch import Tensor

from .network.through_plane import Sampling


@dataclass(frozen=True)
class SliceStack:
    """A stack of slices. It is also the batch that adaptation learns from.

    Parameters
    ----------
    slices : Tensor of shape (k, j, i)
        On the network's intensity scale (`scale.RobustScale`).
    steps : Tensor of shape (k - 1,)
        Distances of neighbouring slice centres, mm.
    pixels : (row, column) spacing, mm
    thickness : float
        Slice thickness, mm, if it is to be resolved (`thick`); 0 where new slices shall be as thick as these (`gap`).
    target : float
        Distance of the slices looked for, mm.
    """

    slices: Tensor
    steps: Tensor
    pixels: Tuple[float, float]
    thickness: float
    target: float

    @property
    def device(self) -> torch.device:
        """Device of the slices."""
        return self.slices.device

    @property
    def grid(self) -> Sequence[int]:
        """Size (k, j, i) of the acquired slices."""
        return self.slices.shape

    @property
    def spacing(self) -> float:
        """Mean distance of neighbouring slices, mm."""
        return float(self.steps.mean())

    @property
    def sampling(self) -> Sampling:
        """What the network is told, as a batch of one."""
        ratios = [[self.spacing / pixel for pixel in self.pixels]]
        return Sampling(torch.tensor(ratios, device=self.device),
                        torch.tensor([self.thickness / self.spacing], device=self.device))
