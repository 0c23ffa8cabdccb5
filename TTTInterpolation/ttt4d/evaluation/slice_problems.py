"""Problems whose answer is known: thin slices degraded, thick slices held out.

Every problem has intensities for which a peak of 1 means the same for all methods: CT -1024..3071 HU mapped to [0, 1],
MR divided by its 99.9th percentile and clipped to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Tuple

import numpy as np
import torch
from torch import Tensor

from ..through_plane import classical
from ..through_plane.profile import projection_matrix

NOISE = 0.02


@dataclass(frozen=True)
class Problem:
    """Acquired slices, and the slices to be found.

    Parameters
    ----------
    acquired : Tensor of shape (k, j, i)
    truth : Tensor of shape (n, j, i)
    positions : Tensor of shape (n,), real slice numbers of the truth
    spacing : of (k, j, i) of the acquired slices, mm
    thickness : float, mm; 0 for `gap`
    target : float, distance of the slices looked for, mm
    missing : Tensor of shape (n,), bool; the slices that figures are counted on
    """

    acquired: Tensor
    truth: Tensor
    positions: Tensor
    spacing: Tuple[float, float, float]
    thickness: float
    target: float
    missing: Tensor


def comparable(array: np.ndarray, kind: str) -> np.ndarray:
    """Intensities on the scale of the figures; kind: `ct` or `mr`."""
    if kind == "ct":
        return (np.clip(array, -1024, 3071).astype(np.float32) + 1024) / 4095
    return np.clip(array / np.percentile(array, 99.9), 0, 1).astype(np.float32)


def _degraded(volume: Tensor, spacing: Tuple[float, float, float], factor: int, thick: bool, noise: float) -> Problem:
    length = (len(volume) - 1) // factor * factor + 1
    volume = volume[:length]
    fine = torch.arange(length, dtype=torch.float32)
    acquired = classical.apply(projection_matrix(fine, fine[::factor], factor if thick else 0.0), volume)
    if noise:
        acquired = acquired + noise * torch.randn(acquired.shape, generator=torch.Generator().manual_seed(0))
    missing = torch.ones(length, dtype=torch.bool)
    if not thick:
        missing[::factor] = False
    step = spacing[0] * factor
    return Problem(acquired, volume, fine / factor, (step, *spacing[1:]), step if thick else 0.0, spacing[0], missing)


def gap(factor: int) -> Callable[[Tensor, Tuple[float, float, float]], Problem]:
    """Keep every `factor`-th slice."""
    return lambda volume, spacing: _degraded(volume, spacing, factor, False, 0.0)


def thick(factor: int, noise: float = 0.0) -> Callable[[Tensor, Tuple[float, float, float]], Problem]:
    """Slices as thick as they are far apart (Gaussian, FWHM of `factor` slices), with noise of a part of the range."""
    return lambda volume, spacing: _degraded(volume, spacing, factor, True, noise)


PROBLEMS: Dict[str, Callable[[Tensor, Tuple[float, float, float]], Problem]] = {
    "gap-2": gap(2), "gap-4": gap(4), "thick-4": thick(4), "thick-4-noise": thick(4, NOISE),
    # Truly thick slices, every second one held out: those between are as thick as the others.
    "thick": gap(2)}


def psnr(problem: Problem, result: Tensor, body: bool = False) -> float:
    """PSNR in dB for a peak of 1 over the missing slices, or over their voxels above 2 % of the range."""
    truth, result = problem.truth[problem.missing], result[problem.missing].clamp(0, 1)
    error = (truth - result).square()
    if body:
        error = error[truth > 0.02]
    return float(-10 * torch.log10(error.mean()))
