"""Other scanners, imitated: a repeatable suite of distribution shifts.

A shift changes all frames of a case, each in [0, 1], the same way at every run: its random numbers come from the names
of shift and case. The phases and the true frames go through it alike, so a figure says how well the frames are met that
this other scanner would have shown. The one exception is noise: every frame has its own draw, which nobody can predict
and no clinician wants, so there the truth stays clean.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Callable, Dict, Tuple

import numpy as np

from ..images.datasets import unit_range


@dataclass(frozen=True)
class Shift:
    """apply: frames (T, k, j, i) in [0, 1] and a random generator to frames.

    clean_truth: the true frames are left as they are.
    spacing: factors on the voxel spacing along (k, j, i).
    """

    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    clean_truth: bool = False
    spacing: Tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __call__(self, frames: np.ndarray, seed: str) -> Tuple[np.ndarray, np.ndarray]:
        """Frames (T, k, j, i) as this scanner shows them, and the truth for those in between: both in [0, 1] again."""
        shown = self.apply(frames, np.random.default_rng(zlib.crc32(seed.encode())))
        shown = np.stack([unit_range(frame) for frame in shown])
        return shown, frames if self.clean_truth else shown


def gamma(exponent: float) -> Shift:
    return Shift(lambda frames, random: frames**exponent)


def noise(deviation: float) -> Shift:
    """Gaussian noise, drawn for each voxel of each frame; cut off at 0 and 1, so that the scale stays the truth's."""
    return Shift(lambda frames, random: np.clip(frames + deviation * random.standard_normal(frames.shape), 0, 1),
                 clean_truth=True)


def blur(deviation: float) -> Shift:
    """A wider point spread within the slices: a Gaussian of so many voxels, edges held."""
    reach = int(np.ceil(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()

    def apply(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
        for axis in (2, 3):
            pad = [(reach, reach) if a == axis else (0, 0) for a in range(4)]
            held = np.pad(frames, pad, mode="edge")
            frames = sum(w * np.take(held, range(n, n + frames.shape[axis]), axis=axis) for n, w in enumerate(weights))
        return frames

    return Shift(apply)


def bias_field(strength: float) -> Shift:
    """Uneven receive coils: one smooth factor for all frames, a random second-order polynomial within 1 +- strength."""

    def apply(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
        k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in frames.shape[1:]), indexing="ij")
        field = sum(random.uniform(-1, 1) * term for term in (k, j, i, j * i, k * j, k * i, j * j, i * i))
        return frames * (1 + strength * field / np.abs(field).max())

    return Shift(apply)


def thick_slices() -> Shift:
    """Slices twice as thick: means of two neighbours (the last of an odd number is dropped)."""

    def apply(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
        pairs = frames.shape[1] // 2
        return (frames[:, 0:2 * pairs:2] + frames[:, 1:2 * pairs:2]) / 2 if pairs else frames

    return Shift(apply, spacing=(2.0, 1.0, 1.0))


SHIFTS: Dict[str, Shift] = {
    "gamma-0.5": gamma(0.5),
    "gamma-2": gamma(2.0),
    "inverted": Shift(lambda frames, random: 1 - frames),
    "noise": noise(0.05),
    "blur": blur(1.5),
    "bias-field": bias_field(0.5),
    "thick-slices": thick_slices(),
}
