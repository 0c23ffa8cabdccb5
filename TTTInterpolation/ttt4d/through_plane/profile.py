"""The slice profile: how far along the slice axis an acquired slice reaches, and what it makes of thin slices.

`gap`: the slices are thin and nothing was seen between them; the profile is a point. `thick`: each slice is a mean over
its thickness, which is the full width at half maximum (FWHM) of a Gaussian, or the width of a box.
"""

from __future__ import annotations

import math
from typing import Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
SHAPES = ("gaussian", "box")


def projection_matrix(fine: Tensor, centres: Tensor, thickness: float, shape: str = "gaussian") -> Tensor:
    """Return the weights of thin slices in acquired ones.

    Parameters
    ----------
    fine : Tensor of shape (n,)
        Positions of the thin slices, increasing, in any unit.
    centres : Tensor of shape (k,)
        Positions of the acquired slices, in the same unit.
    thickness : float
        FWHM of the Gaussian, or width of the box, in the same unit. 0 is a point: linear interpolation at the centres.
    shape : {"gaussian", "box"}

    Returns
    -------
    Tensor of shape (k, n)
        Each row sums to 1. Apply it with `classical.apply`.

    Examples
    --------
    >>> projection_matrix(torch.arange(5.0), torch.tensor([0.0, 4.0]), 0.0).argmax(1).tolist()
    [0, 4]
    """
    if thickness <= 0:
        return _points(fine, centres)
    # Each thin slice stands for the part of the axis that is nearest to it.
    middles = (fine[1:] + fine[:-1]) / 2
    edges = torch.cat([2 * fine[:1] - middles[:1], middles, 2 * fine[-1:] - middles[-1:]]).double()
    below = _cumulative((edges[None] - centres[:, None].double()) / thickness, shape)
    weights = below.diff(dim=1)
    return (weights / weights.sum(1, keepdim=True).clamp(min=1e-12)).to(fine.dtype)


def _cumulative(x: Tensor, shape: str) -> Tensor:
    """Return the part of a profile of width 1 that lies below x."""
    if shape == "box":
        return (x + 0.5).clamp(0, 1)
    return 0.5 * (1 + torch.erf(x * FWHM_PER_SIGMA / math.sqrt(2)))


def _points(fine: Tensor, centres: Tensor) -> Tensor:
    upper = torch.searchsorted(fine.contiguous(), centres.contiguous()).clamp(1, len(fine) - 1)
    below, above = fine[upper - 1], fine[upper]
    share = ((centres - below) / (above - below)).clamp(0, 1)
    matrix = fine.new_zeros(len(centres), len(fine))
    rows = torch.arange(len(centres))
    matrix[rows, upper - 1], matrix[rows, upper] = 1 - share, share
    return matrix


def estimated_thickness(volume: np.ndarray, spacing: Sequence[float]) -> float:
    """Estimate the slice thickness from the volume itself, in mm.

    Structures have no preferred direction on average. So the amplitude spectrum across the slices, divided by the one
    within the slices at the same spatial frequency, is the transfer function of the slice profile. A Gaussian is fitted
    to it.

    Parameters
    ----------
    volume : ndarray of shape (k, j, i)
    spacing : (k, j, i), mm

    Returns
    -------
    float
        FWHM in mm, between 0 (no blur beyond that of the plane) and twice the slice spacing.
    """
    volume = np.asarray(volume, dtype=np.float32)
    through_frequency, through = _spectrum(volume, 0, spacing[0])
    inside = [_spectrum(volume, axis, spacing[axis]) for axis in (1, 2)]
    inside_amplitude = np.mean([np.interp(through_frequency, *pair) for pair in inside], axis=0)
    top = 0.5 / spacing[0]
    # Low frequencies hold the outline of the body, the highest ones are folded back.
    chosen = (through_frequency > 0.15 * top) & (through_frequency < 0.75 * top)
    if chosen.sum() < 3:
        return 0.0
    slope = np.polyfit(through_frequency[chosen]**2, np.log(through[chosen] / inside_amplitude[chosen]), 1)[0]
    sigma = math.sqrt(max(-slope, 0.0) / (2 * math.pi**2))
    return min(sigma * FWHM_PER_SIGMA, 2 * spacing[0])


def _spectrum(volume: np.ndarray, axis: int, spacing: float) -> Tuple[np.ndarray, np.ndarray]:
    """Frequencies (cycles per mm) and the mean amplitude of all lines along an axis, windowed."""
    size = volume.shape[axis]
    shape = [1, 1, 1]
    shape[axis] = size
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    lines = (volume - volume.mean(axis=axis, keepdims=True)) * window.reshape(shape)
    amplitude = np.abs(np.fft.rfft(lines, axis=axis))
    amplitude = np.sqrt((amplitude**2).mean(axis=tuple(a for a in range(3) if a != axis)))
    return np.fft.rfftfreq(size, spacing), amplitude / np.sqrt((window**2).sum() / spacing)
