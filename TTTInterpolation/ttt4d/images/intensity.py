"""The intensity scale on which volumes are computed, and the way back to their own units and type.

The network was trained on intensities from 0 to 1 over the range of a whole image. One spike, metal or the padding
around a CT's field of view would push all tissue into a small part of that range, so such voxels do not take part in
it. They are still warped and blended with their own values; only the network sees them clamped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .volume import Volume

# Voxels per axis that the quantiles are taken from.
_SAMPLES = 32
# The share of voxels that may be outliers, at either end of the intensities.
_TAIL = 0.005
# How far beyond the quantiles, in units of their distance, an outlier lies. The largest of 2268 cine MR frames: 3.0.
_OUTLIER_DISTANCE = 3.5
# Padding is one value below zero with at least this share of the voxels, and this far below all others. Zero itself is
# the background of many images. On a phantom, padding at 0.75 costs 0.3 dB, and at 1.0 it costs 2 dB.
_PADDING_SHARE = 0.01
_PADDING_DISTANCE = 0.7


@dataclass(frozen=True)
class Fences:
    """The intensities between which a voxel is no outlier, the same for all phases of a run.

    Parameters
    ----------
    low, high : float
        Lowest and highest intensity that is no outlier; infinite where there are no outliers.
    """

    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def of(cls, phases: Sequence[Volume]) -> Fences:
        """Find the fences of phases from the quantiles of each.

        A voxel is an outlier if it lies far beyond the quantiles of every phase, or if it is padding: one value below
        zero that many voxels of a phase share and that lies far below all others. Deciding for all phases together
        keeps their contrast equal.

        Parameters
        ----------
        phases : sequence of Volume
            The phases of one run, with finite intensities.

        Returns
        -------
        Fences
            Infinite at an end where no voxel of any phase is an outlier.

        Examples
        --------
        >>> from ttt4d.images.volume import Geometry
        >>> image = np.arange(1000.0).reshape(10, 10, 10)
        >>> Fences.of([Volume(image, Geometry(image.shape, (1.0, 1.0, 1.0)))])
        Fences(low=-inf, high=inf)
        >>> image[0, 0, 0] = 1e6
        >>> Fences.of([Volume(image, Geometry(image.shape, (1.0, 1.0, 1.0)))]).high < 1e4
        True
        """
        found = [_fences(phase.array) for phase in phases]
        low = max([min(low for low, _, _ in found), *(padding for _, padding, _ in found)])
        high = max(high for _, _, high in found)
        return cls(low if any(phase.array.min() < low for phase in phases) else -math.inf,
                   high if any(phase.array.max() > high for phase in phases) else math.inf)

    @property
    def message(self) -> str:
        """One sentence for the user and the report; empty where there are no outliers."""
        ends = [f"{words} {value:g}" for words, value in (("below", self.low), ("above", self.high))
                if math.isfinite(value)]
        return (f"Intensities {' or '.join(ends)} are outliers (padding, metal or single bright voxels): they come out "
                "with their own values, but the network does not see them." if ends else "")

    def range_of(self, array: np.ndarray) -> Tuple[float, float]:
        """Return the smallest and the largest intensity of an array within the fences; of all if none lies within."""
        inside = array
        if self != Fences():
            inside = array[(array >= self.low) & (array <= self.high)]
        return _extremes(inside if inside.size else array)


def _fences(array: np.ndarray) -> Tuple[float, float, float]:
    """Return three limits of one phase: of low outliers, of padding (-inf without any), and of high outliers."""
    lattice = [np.unique(np.linspace(0, n - 1, min(n, _SAMPLES)).round().astype(int)) for n in array.shape]
    inside = array[np.ix_(*lattice)].astype(np.float64).ravel()
    inside.sort()
    values, counts = np.unique(inside, return_counts=True)
    padding = -math.inf
    for value in values[(counts >= _PADDING_SHARE * inside.size) & (values < 0)]:
        rest = inside[np.searchsorted(inside, value, "right"):]
        if not rest.size or not value < _beyond(rest, _PADDING_DISTANCE)[0]:
            break
        inside, padding = rest, float(value + rest[0]) / 2
    low, high = _beyond(inside, _OUTLIER_DISTANCE)
    return low, padding, high


def _beyond(ordered: np.ndarray, distance: float) -> Tuple[float, float]:
    """Return the limits that lie `distance` quantile ranges beyond the quantiles of sorted intensities."""
    tail = int(_TAIL * ordered.size)
    low, high = float(ordered[tail]), float(ordered[-1 - tail])
    if low == high:  # as good as one value: nothing to measure a distance by
        return -math.inf, math.inf
    return low - distance * (high - low), high + distance * (high - low)


def _fill(image: np.ndarray, unknown: np.ndarray) -> None:
    """Give the unknown voxels of an image (k, j, i) the mean of their known neighbours, in place, ring by ring."""
    known, voxels = ~unknown, np.argwhere(unknown)
    steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    while len(voxels):
        near = tuple(np.clip(voxels[:, None] + steps, 0, np.array(image.shape) - 1).transpose(2, 0, 1))
        weight = known[near]
        count = weight.sum(axis=1)
        ready = count > 0
        if not ready.any():
            break
        ring = tuple(voxels[ready].T)
        image[ring] = (image[near] * weight).sum(axis=1)[ready] / count[ready]
        known[ring] = True
        voxels = voxels[~ready]


def _extremes(array: np.ndarray) -> Tuple[float, float]:
    return float(array.min()), float(array.max())


@dataclass(frozen=True)
class IntensityScale:
    """The scale on which phases are blended: [0, 1] over their range without outliers, and back to their own type.

    Parameters
    ----------
    low, high : float
        The intensities that become 0 and 1: the smallest and the largest that are no outliers.
    smallest, largest : float
        The smallest and the largest intensity of all, outliers too. Frames stay within these.
    dtype : np.dtype
        The scalar type of the phases.
    """

    low: float
    high: float
    smallest: float
    largest: float
    dtype: np.dtype

    @classmethod
    def of(cls, phases: Sequence[Volume], fences: Optional[Fences] = None) -> IntensityScale:
        """Return the one scale of some phases.

        Parameters
        ----------
        phases : sequence of Volume
            One phase or more, of one scalar type.
        fences : Fences, optional
            What is an outlier; by default it is decided from these phases alone.
        """
        extremes = [_extremes(phase.array) for phase in phases]
        smallest, largest = min(low for low, _ in extremes), max(high for _, high in extremes)
        if not np.isfinite([smallest, largest]).all():  # `check` refuses them
            return cls(smallest, largest, smallest, largest, phases[0].array.dtype)
        fences = Fences.of(phases) if fences is None else fences
        ranges = [fences.range_of(phase.array) for phase in phases]
        return cls(min(low for low, _ in ranges), max(high for _, high in ranges), smallest, largest,
                   phases[0].array.dtype)

    def check(self) -> None:
        """Raise InputError for a phase without a scale: constant, not finite, or too wide for exact arithmetic."""
        if not self.high > self.low or not np.isfinite([self.low, self.high]).all():
            raise InputError("A phase is constant or holds values that are not finite: give an image with contrast.")
        if (self.largest - self.smallest) / min(1.0, self.high - self.low) > float(np.finfo(np.float32).max):
            raise InputError(f"A phase holds values from {self.smallest:g} to {self.largest:g}, too far apart for "
                             "single precision: rescale it.")
        if self.dtype.kind in "iu" and max(abs(self.smallest), abs(self.largest)) > 2**53:
            raise InputError("A phase holds whole numbers beyond 2^53: rescale it.")

    def to_network(self, array: np.ndarray) -> Tensor:
        """Return an array as `to_unit` does, as the network may see it: without outliers.

        Padding is set to 0. The few voxels of a spike or of metal take the mean of the voxels around them: set to 1
        they would look like a bright organ, and the motion around it would be estimated worse.
        """
        unit = self.to_unit(array)
        if (self.low, self.high) == (self.smallest, self.largest):
            return unit
        unit.clamp_(0, 1)
        outliers = [outside for outside in (array < self.low, array > self.high)
                    if outside.mean() < _PADDING_SHARE]
        _fill(unit[0, 0].numpy(), np.logical_or.reduce(outliers, axis=0, initial=False))
        return unit

    def to_unit(self, array: np.ndarray) -> Tensor:
        """Return an array (k, j, i) as a tensor (1, 1, k, j, i) of float32: 0 at `low`, 1 at `high`."""
        if array.dtype == np.float32 or array.dtype.itemsize <= 2:
            unit = array.astype(np.float32)  # exact; half the memory of going through double
            unit -= np.float32(self.low)
            unit /= np.float32(self.high - self.low)
        else:
            unit = ((array.astype(np.float64) - self.low) / (self.high - self.low)).astype(np.float32)
        return torch.from_numpy(unit)[None, None]

    def from_unit(self, unit: Tensor) -> np.ndarray:
        """Return a tensor of this scale in the phases' own units and type.

        Values are limited to the range of the phases, and rounded to the nearest where the type holds whole numbers.
        """
        values = unit.cpu().numpy().astype(np.float64) * (self.high - self.low) + self.low
        if np.issubdtype(self.dtype, np.integer):
            values = np.rint(values)
        return np.clip(values, self.smallest, self.largest).astype(self.dtype)
