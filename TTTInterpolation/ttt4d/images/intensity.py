"""The intensity scale on which volumes are computed, and the way back to their own units and type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .volume import Volume


@dataclass(frozen=True)
class IntensityScale:
    """The one scale on which the phases of a pair are blended: [0, 1] over the range of both, and back to their own
    type.
    """

    low: float
    high: float
    dtype: np.dtype

    @classmethod
    def of(cls, phases: Sequence[Volume]) -> "IntensityScale":
        return cls(min(float(p.array.min()) for p in phases), max(float(p.array.max()) for p in phases),
                   phases[0].array.dtype)

    def check(self) -> None:
        """Raise InputError for a phase that has no scale: constant, not finite, or too wide for exact arithmetic."""
        if not self.high > self.low or not np.isfinite([self.low, self.high]).all():
            raise InputError("A phase is constant or holds values that are not finite: give an image with contrast.")
        if self.high - self.low > float(np.finfo(np.float32).max):
            raise InputError(f"A phase holds values from {self.low:g} to {self.high:g}, too far apart for single "
                             "precision: rescale it.")
        if self.dtype.kind in "iu" and max(abs(self.low), abs(self.high)) > 2**53:
            raise InputError("A phase holds whole numbers beyond 2^53: rescale it.")

    def to_unit(self, array: np.ndarray) -> Tensor:
        """An array (k, j, i) -> (1, 1, k, j, i), float32 in [0, 1]."""
        if array.dtype == np.float32 or array.dtype.itemsize <= 2:
            unit = array.astype(np.float32)  # exact; half the memory of going through double
            unit -= np.float32(self.low)
            unit /= np.float32(self.high - self.low)
        else:
            unit = ((array.astype(np.float64) - self.low) / (self.high - self.low)).astype(np.float32)
        return torch.from_numpy(unit)[None, None]

    def from_unit(self, unit: Tensor) -> np.ndarray:
        """Back to the phases' units and type, held within their range; integers are rounded to the nearest."""
        values = unit.clamp(0, 1).cpu().numpy().astype(np.float64) * (self.high - self.low) + self.low
        if np.issubdtype(self.dtype, np.integer):
            values = np.rint(values)
        return np.clip(values, self.low, self.high).astype(self.dtype)
