"""The figures that compare a computed frame with the true one, intensities in [0, 1].

They follow the definitions of the published tables [1]_. Windows that reach over the border see zeros there, as the
convolutions of the published code do; therefore volumes thinner than a window (five to seven slices) need no special
case. Sums are in double precision, with NumPy alone: MONAI's local correlation bounds each variance from below, which
gives other figures in flat background, and its SSIM leaves the border out. Where the definitions agree, the tests
compare with MONAI and scikit-image.

A new figure is one function and one entry in `METRICS`. Every table, header and JSON file follows that list.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv 2502.02341.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional

import numpy as np

from ..images.volume import Triple

NCC_WINDOW = 9
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
HIGHEST_PSNR = 100.0


@dataclass(frozen=True)
class Metric:
    """One figure: how it is computed, and how tables show it.

    Parameters
    ----------
    name : str
        Key in the JSON report, such as "psnr".
    label : str
        Name in tables, such as "PSNR".
    unit : str
        Unit in tables, such as "dB"; empty for a figure without one.
    digits : int
        Decimal places in tables.
    higher_is_better : bool
        Whether a larger value means a better frame.
    function : callable
        `function(truth, frame)` of two arrays (k, j, i), as a float.
    needs_spacing : bool
        Whether the function takes the voxel spacing as a third argument: mm along (k, j, i), or None if it is unknown.
    """

    name: str
    label: str
    unit: str
    digits: int
    higher_is_better: bool
    function: Callable[..., float]
    needs_spacing: bool = False

    @property
    def header(self) -> str:
        """Label and unit, as the head of a column."""
        return f"{self.label} {self.unit}".strip()

    def text(self, value: float) -> str:
        """Write a value with the digits of this figure."""
        return f"{value:.{self.digits}f}"

    def __call__(self, truth: np.ndarray, frame: np.ndarray, spacing: Optional[Triple] = None) -> float:
        """Compare a frame (k, j, i) with the true one."""
        return self.function(truth, frame, spacing) if self.needs_spacing else self.function(truth, frame)


def psnr(truth: np.ndarray, frame: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio in dB for a peak of 1.

    Parameters
    ----------
    truth, frame : ndarray of shape (k, j, i)
        Intensities in [0, 1].

    Returns
    -------
    float
        At most 100, since equal frames would give infinity.

    Examples
    --------
    >>> round(psnr(np.zeros((2, 2, 2)), np.full((2, 2, 2), 0.1)), 6)
    20.0
    """
    return min(HIGHEST_PSNR, -10 * float(np.log10(max(_mse(truth, frame), np.finfo(float).tiny))))


def ncc(truth: np.ndarray, frame: np.ndarray) -> float:
    """Compute the local normalised cross-correlation (LNCC).

    The squared correlation in windows of 9 x 9 x 9 voxels, averaged over all voxels [1]_. A window without contrast
    counts as 0, therefore even equal frames stay below 1 where there is flat background.

    Parameters
    ----------
    truth, frame : ndarray of shape (k, j, i)
        Intensities in [0, 1].

    Returns
    -------
    float
        Between 0 and 1.

    References
    ----------
    .. [1] Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", Medical Image Analysis
       12(1), 2008, doi:10.1016/j.media.2007.06.004; in the form of VoxelMorph, doi:10.1109/TMI.2019.2897538.
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
    """Compute the structural similarity in 3D [1]_, averaged over all voxels.

    The window is a Gaussian of 11 voxels and sigma 1.5; K1 = 0.01, K2 = 0.03.

    Parameters
    ----------
    truth, frame : ndarray of shape (k, j, i)
        Intensities in [0, 1].

    Returns
    -------
    float
        At most 1, which equal frames have.

    References
    ----------
    .. [1] Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Transactions
       on Image Processing 13(4), 2004, doi:10.1109/TIP.2003.819861.
    """
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
    """Compute the mean squared error over the mean square of the true frame, in percent.

    Parameters
    ----------
    truth, frame : ndarray of shape (k, j, i)
        Intensities in [0, 1].
    """
    return 100 * _mse(truth, frame) / float(np.mean(np.square(truth, dtype=float)))


METRICS: Dict[str, Metric] = {metric.name: metric for metric in (
    Metric("psnr", "PSNR", "dB", 2, True, psnr),
    Metric("ncc", "NCC", "", 3, True, ncc),
    Metric("ssim", "SSIM", "", 3, True, ssim),
    Metric("nmse", "NMSE", "%", 3, False, nmse),
)}


def _mse(truth: np.ndarray, frame: np.ndarray) -> float:
    if truth.shape != frame.shape:
        raise ValueError(f"A frame of {frame.shape} cannot be compared with a truth of {truth.shape}.")
    return float(np.mean(np.square(truth.astype(float) - frame)))


def _filter(array: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Convolve the array with a symmetric window along each axis, zeros beyond the border."""
    reach = len(window) // 2
    for axis in range(array.ndim):
        size = array.shape[axis]
        padded = np.pad(array, [(reach, reach) if a == axis else (0, 0) for a in range(array.ndim)])
        total = np.zeros_like(array)
        for offset, weight in enumerate(window):
            total += weight * padded[(slice(None),) * axis + (slice(offset, offset + size),)]
        array = total
    return array
