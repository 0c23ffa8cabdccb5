"""One definition of each figure, for a predicted and a true frame (k, j, i) with intensities in [0, 1]. numpy only.

They are the definitions of the published tables. Windows that reach over the border see zeros there, as the published
code's convolutions do; so a volume thinner than the window (five to seven slices) needs nothing special, and both
frames get the same zeros. Sums are in double precision.
"""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

NCC_WINDOW = 9
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
HIGHEST_PSNR = 100.0


def psnr(truth: np.ndarray, frame: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, at most 100 (equal frames would be infinite)."""
    return min(HIGHEST_PSNR, -10 * float(np.log10(max(_mse(truth, frame), np.finfo(float).tiny))))


def ncc(truth: np.ndarray, frame: np.ndarray) -> float:
    """Local normalised cross-correlation: squared, windows of 9 x 9 x 9 voxels, mean over all voxels.

    A window without contrast counts as 0, so even equal frames stay below 1 where there is plain background.
    """
    a, b = truth.astype(float), frame.astype(float)
    voxels = NCC_WINDOW**3
    box = np.ones(NCC_WINDOW)
    sum_a, sum_b = _filter(a, box), _filter(b, box)
    cross = _filter(a * b, box) - sum_a * sum_b / voxels
    variance_a = _filter(a * a, box) - sum_a**2 / voxels
    variance_b = _filter(b * b, box) - sum_b**2 / voxels
    return float(np.mean(cross**2 / (variance_a * variance_b + 1e-5)))


def ssim(truth: np.ndarray, frame: np.ndarray) -> float:
    """Structural similarity in 3D: Gaussian window of 11 voxels, sigma 1.5, K1 = 0.01, K2 = 0.03; mean over voxels."""
    a, b = truth.astype(float), frame.astype(float)
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    mean_a, mean_b = _filter(a, window), _filter(b, window)
    variance_a = _filter(a * a, window) - mean_a**2
    variance_b = _filter(b * b, window) - mean_b**2
    covariance = _filter(a * b, window) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)))


def nmse(truth: np.ndarray, frame: np.ndarray) -> float:
    """Mean squared error over the mean square of the true frame, in percent."""
    return 100 * _mse(truth, frame) / float(np.mean(np.square(truth, dtype=float)))


METRICS: Dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"psnr": psnr, "ncc": ncc, "ssim": ssim, "nmse": nmse}


def _mse(truth: np.ndarray, frame: np.ndarray) -> float:
    if truth.shape != frame.shape:
        raise ValueError(f"A frame of {frame.shape} cannot be compared with a truth of {truth.shape}.")
    return float(np.mean(np.square(truth.astype(float) - frame)))


def _filter(array: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The array convolved with a symmetric window along each axis, zeros beyond the border."""
    reach = len(window) // 2
    for axis in range(array.ndim):
        size = array.shape[axis]
        padded = np.pad(array, [(reach, reach) if a == axis else (0, 0) for a in range(array.ndim)])
        total = np.zeros_like(array)
        for offset, weight in enumerate(window):
            total += weight * padded[(slice(None),) * axis + (slice(offset, offset + size),)]
        array = total
    return array
