"""Classical interpolation along the slice axis: linear, pchip, cubic B-spline, Lanczos.

Volumes are tensors (..., k, j, i). A position is a real slice number: 2.25 lies a quarter of the way from slice 2 to
slice 3. Positions outside the first and last slice are held at these.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

import torch
from torch import Tensor


def split(positions: Tensor, slices: int) -> Tuple[Tensor, Tensor]:
    """Split real slice numbers into the slice below and the fraction of the way to the next one.

    Parameters
    ----------
    positions : Tensor of shape (n,)
        Real slice numbers.
    slices : int
        Number of acquired slices, at least 2.

    Returns
    -------
    lower : Tensor of shape (n,), int64
        The slice below each position, at most ``slices - 2``.
    fraction : Tensor of shape (n,)
        From 0 (at the slice below) to 1 (at the next slice).

    Examples
    --------
    >>> lower, fraction = split(torch.tensor([0.0, 1.25, 3.0]), 4)
    >>> lower.tolist(), fraction.tolist()
    ([0, 1, 2], [0.0, 0.25, 1.0])
    """
    positions = positions.clamp(0, slices - 1)
    lower = positions.floor().long().clamp(max=slices - 2)
    return lower, positions - lower


def apply(matrix: Tensor, volume: Tensor) -> Tensor:
    """Combine slices linearly: row n of `matrix` (n, k) holds the weights of the acquired slices in result n."""
    *batch, slices, rows, columns = volume.shape
    flat = volume.reshape(*batch, slices, rows * columns)
    return (matrix.to(volume) @ flat).reshape(*batch, len(matrix), rows, columns)


def linear(volume: Tensor, positions: Tensor) -> Tensor:
    """Interpolate linearly between the two neighbouring slices."""
    return apply(linear_matrix(positions, volume.shape[-3]), volume)


def linear_matrix(positions: Tensor, slices: int) -> Tensor:
    """Return the weights (n, k) of linear interpolation."""
    lower, fraction = split(positions, slices)
    matrix = fraction.new_zeros(len(positions), slices)
    rows = torch.arange(len(positions))
    matrix[rows, lower] = 1 - fraction
    matrix[rows, lower + 1] += fraction
    return matrix


def bspline(volume: Tensor, positions: Tensor) -> Tensor:
    """Interpolate by a cubic B-spline through all slices, mirrored at both ends."""
    return apply(_bspline_matrix(positions, volume.shape[-3]), volume)


def _bspline_matrix(positions: Tensor, slices: int) -> Tensor:
    knots = torch.arange(slices, dtype=torch.float64)
    at_knots = _mirrored(_cubic_basis, knots, slices, 2)
    at_positions = _mirrored(_cubic_basis, positions.double().clamp(0, slices - 1), slices, 2)
    return at_positions @ torch.linalg.inv(at_knots)


def lanczos(volume: Tensor, positions: Tensor) -> Tensor:
    """Interpolate by a sinc with a Lanczos window of three slices to each side, mirrored at both ends."""
    matrix = _mirrored(_lanczos_kernel, positions.double().clamp(0, volume.shape[-3] - 1), volume.shape[-3], 3)
    return apply(matrix / matrix.sum(1, keepdim=True), volume)


def _mirrored(kernel: Callable[[Tensor], Tensor], positions: Tensor, slices: int, reach: int) -> Tensor:
    """Weights (n, k) of a kernel; what falls on a slice beyond the ends counts for its mirror image."""
    matrix = positions.new_zeros(len(positions), slices)
    first = positions.floor().long()
    period = max(2 * slices - 2, 1)
    for offset in range(1 - reach, reach + 1):
        slice_number = first + offset
        folded = slice_number.remainder(period)
        folded = torch.minimum(folded, period - folded)
        matrix.scatter_add_(1, folded[:, None], kernel(positions - slice_number)[:, None])
    return matrix


def _cubic_basis(x: Tensor) -> Tensor:
    x = x.abs()
    return torch.where(x < 1, 2 / 3 - x**2 + x**3 / 2, (2 - x).clamp(min=0)**3 / 6)


def _lanczos_kernel(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


def pchip(volume: Tensor, positions: Tensor, steps: Optional[Tensor] = None) -> Tensor:
    """Interpolate by piecewise cubic Hermite polynomials that never overshoot.

    Parameters
    ----------
    volume : Tensor of shape (..., k, j, i)
    positions : Tensor of shape (n,)
        Real slice numbers.
    steps : Tensor of shape (k - 1,), optional
        Distances of neighbouring slices, in any unit; all equal if left out.

    References
    ----------
    Fritsch and Butland, A method for constructing local monotone piecewise cubic interpolants, SIAM J. Sci. Stat.
    Comput. 5(2), 1984.
    """
    slices = volume.shape[-3]
    steps = volume.new_ones(slices - 1) if steps is None else steps.to(volume)
    slopes = pchip_slopes(volume, steps)
    lower, fraction = split(positions.to(volume.device), slices)
    return hermite(volume, slopes, steps, lower, fraction)


def pchip_slopes(volume: Tensor, steps: Tensor) -> Tensor:
    """Return the derivative (..., k, j, i) at each slice.

    It is the weighted harmonic mean of the secants at its two sides, and zero where these differ in sign.
    """
    height = steps.view(-1, 1, 1)
    secants = volume.diff(dim=-3) / height
    if secants.shape[-3] == 1:
        return torch.cat([secants, secants], dim=-3)
    before, after = secants[..., :-1, :, :], secants[..., 1:, :, :]
    weight_before, weight_after = 2 * height[1:] + height[:-1], height[1:] + 2 * height[:-1]
    product = before * after
    # w1 + w2 over (w1 / before + w2 / after), without a division by zero.
    denominator = weight_before * after + weight_after * before
    inner = torch.where(product > 0, (weight_before + weight_after) * product / torch.where(
        product > 0, denominator, torch.ones_like(denominator)), torch.zeros_like(product))
    first = _end_slope(secants[..., :1, :, :], secants[..., 1:2, :, :], height[0], height[1])
    last = _end_slope(secants[..., -1:, :, :], secants[..., -2:-1, :, :], height[-1], height[-2])
    return torch.cat([first, inner, last], dim=-3)


def _end_slope(nearest: Tensor, next_one: Tensor, h0: Tensor, h1: Tensor) -> Tensor:
    slope = ((2 * h0 + h1) * nearest - h0 * next_one) / (h0 + h1)
    slope = torch.where(slope * nearest > 0, slope, torch.zeros_like(slope))
    overshoots = (nearest * next_one < 0) & (slope.abs() > 3 * nearest.abs())
    return torch.where(overshoots, 3 * nearest, slope)


def hermite(volume: Tensor, slopes: Tensor, steps: Tensor, lower: Tensor, fraction: Tensor) -> Tensor:
    """Evaluate the cubic Hermite polynomials of values and slopes (..., k, j, i) at split positions (n,)."""
    t, h = fraction.to(volume).view(-1, 1, 1), steps[lower].view(-1, 1, 1)
    y0, y1 = volume.index_select(-3, lower), volume.index_select(-3, lower + 1)
    d0, d1 = slopes.index_select(-3, lower), slopes.index_select(-3, lower + 1)
    bend = t * (1 - t)
    return y0 + t * (y1 - y0) + bend * ((1 - t) * (d0 * h - (y1 - y0)) - t * (d1 * h - (y1 - y0)))


METHODS: Dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": linear, "pchip": pchip, "bspline": bspline, "lanczos": lanczos}
