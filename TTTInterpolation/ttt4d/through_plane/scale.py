"""The network's intensity scale: robust against a few extreme voxels and against padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOW, HIGH = 0.005, 0.995
# A quantile of more voxels costs time and changes nothing.
SAMPLES = 200_000


@dataclass(frozen=True)
class RobustScale:
    """Maps the intensities `low` to 0 and `high` to 1; values beyond are kept, not clipped.

    Examples
    --------
    >>> scale = RobustScale(-1000.0, 1000.0)
    >>> scale.to_unit(torch.tensor([-1000.0, 0.0])).tolist()
    [0.0, 0.5]
    """

    low: float
    high: float

    @classmethod
    def of(cls, volume: Tensor) -> "RobustScale":
        """Return the scale of a volume: its 0.5 and 99.5 percentiles, the smallest value (padding) left out."""
        values = volume.flatten()
        values = values[::max(1, values.numel() // SAMPLES)].float()
        inside = values[values > values.min()]
        if inside.numel() < 2:
            return cls(float(values.min()), float(values.min()) + 1.0)
        low, high = torch.quantile(inside, torch.tensor([LOW, HIGH], device=inside.device)).tolist()
        return cls(low, high if high > low else low + 1.0)

    def to_unit(self, volume: Tensor) -> Tensor:
        """From the file's intensities to the network's."""
        return (volume.float() - self.low) / (self.high - self.low)

    def from_unit(self, volume: Tensor) -> Tensor:
        """From the network's intensities to the file's."""
        return volume * (self.high - self.low) + self.low
