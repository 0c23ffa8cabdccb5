"""A repeatable suite of distribution shifts that imitate other scanners.

A shift changes all frames of a case, each in [0, 1], in the same way at every run: its random numbers are seeded by the
names of shift and case. The phases and the true frames are changed alike, so a figure tells how well the method finds
the frames that this other scanner would have shown. Noise is the exception: every frame has its own, which no method
can predict and nobody wants to see, so the true frames stay without noise.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Callable, Dict, Tuple

import numpy as np

from ..images.datasets import unit_range
from ..images.volume import Triple


@dataclass(frozen=True)
class Shift:
    """One distribution shift.

    Parameters
    ----------
    apply : callable
        `apply(frames, rng)` changes frames (T, k, j, i) in [0, 1], with a NumPy random generator.
    clean_truth : bool
        Whether the true frames stay as they are.
    spacing : tuple of float
        Factors on the voxel spacing along (k, j, i).
    """

    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    clean_truth: bool = False
    spacing: Triple = (1.0, 1.0, 1.0)

    def __call__(self, frames: np.ndarray, seed: str) -> Tuple[np.ndarray, np.ndarray]:
        """Return the frames as this scanner shows them, and the truth for them.

        Parameters
        ----------
        frames : ndarray of shape (T, k, j, i)
            Intensities in [0, 1].
        seed : str
            Any text; the same text gives the same random numbers.

        Returns
        -------
        tuple of ndarray of shape (T, k, j, i)
            Shifted frames and true frames, each frame in [0, 1] by its own minimum and maximum.
        """
        shifted = self.apply(frames, np.random.default_rng(zlib.crc32(seed.encode())))
        shifted = np.stack([unit_range(frame) for frame in shifted])
        return shifted, frames if self.clean_truth else shifted

    def scaled(self, spacing: Triple) -> Triple:
        """Return the voxel spacing (k, j, i) after the shift."""
        k, j, i = (s * factor for s, factor in zip(spacing, self.spacing))
        return k, j, i


def gamma(exponent: float) -> Shift:
    """Return a shift that raises intensities to a power."""
    return Shift(lambda frames, rng: frames**exponent)


def noise(sigma: float) -> Shift:
    """Return a shift that adds Gaussian noise to each frame, clipped to [0, 1] so that the scale stays the truth's."""
    return Shift(lambda frames, rng: np.clip(frames + sigma * rng.standard_normal(frames.shape), 0, 1),
                 clean_truth=True)


def blur(sigma: float) -> Shift:
    """Return a shift to a wider point spread within the slices: a Gaussian of `sigma` voxels along j and i."""

    def apply(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        import torch

        from ..images.smoothing import smooth

        image = torch.from_numpy(frames.astype(np.float64))
        for axis in (2, 3):
            image = smooth(image, axis, sigma, math.ceil(3 * sigma))
        return image.numpy()

    return Shift(apply)


def bias_field(strength: float) -> Shift:
    """Return a shift to uneven receive coils: one factor for all frames, a random polynomial within 1 +- `strength`."""

    def apply(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in frames.shape[1:]), indexing="ij")
        field = sum(rng.uniform(-1, 1) * term for term in (k, j, i, j * i, k * j, k * i, j * j, i * i))
        return frames * (1 + strength * field / np.abs(field).max())

    return Shift(apply)


def thick_slices() -> Shift:
    """Return a shift to slices twice as thick: means of two neighbours; the last of an odd number is dropped."""

    def apply(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        pairs = frames.shape[1] // 2
        return (frames[:, 0:2 * pairs:2] + frames[:, 1:2 * pairs:2]) / 2 if pairs else frames

    return Shift(apply, spacing=(2.0, 1.0, 1.0))


SHIFTS: Dict[str, Shift] = {
    "gamma-0.5": gamma(0.5),
    "gamma-2": gamma(2.0),
    "inverted": Shift(lambda frames, rng: 1 - frames),
    "noise": noise(0.05),
    "blur": blur(1.5),
    "bias-field": bias_field(0.5),
    "thick-slices": thick_slices(),
}
