"""A beating heart made by code, whose truth is known at every time: no patient's data are in it.

The heart lives in space (LPS mm), not on a grid, so that any grid, oblique and left-handed ones too, shows the same
heart. Time 0 is end-diastole, time 1 end-systole. Tissue carries its grey value along: a frame at time t is the
end-diastolic anatomy seen through the inverse of the motion, which is known in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from ..images.volume import Geometry, Triple, Volume

CARDIAC_STACK = Geometry((10, 64, 64), (8.0, 2.0, 2.0), (-63.0, -63.0, -36.0))

_TWIST = 0.3  # radians at apex and base, opposite ways
_SHORTENING = 0.15  # rate of the long axis
_CONTRACTION = 0.45  # rate of the radius: the inner wall moves in by 30 %, the outer by 10 %, so the wall thickens


@dataclass(frozen=True)
class BeatingHeart:
    """A left and a right ventricle in a textured body.

    Parameters
    ----------
    center : tuple of float
        Middle of the left ventricle, in LPS mm.
    radius : float
        Radius in mm within which the left ventricle moves tissue; its wall lies between 0.55 and 0.9 of it.
    length : float
        Distance in mm from the middle of the left ventricle to its apex and to its base.
    axes : tuple of tuple of float, 3 x 3
        LPS unit vectors: the long axis, and two across it. The right ventricle lies along the third.
    seed : int
        Seed of texture and noise.
    s_curve : bool
        Whether the contraction is slow, fast, slow, as measured in patients; otherwise it is linear in time.
    """

    center: Triple
    radius: float
    length: float
    axes: Tuple[Triple, Triple, Triple] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    seed: int = 0
    s_curve: bool = True

    @classmethod
    def within(cls, geometry: Geometry, seed: int = 0, s_curve: bool = True) -> BeatingHeart:
        """Return a heart that fills a stack of slices across its long axis."""
        depth, height, width = np.multiply(geometry.shape, geometry.spacing)
        radius = 0.3 * min(height, width)
        first, second, third = (_triple(axis) for axis in np.asarray(geometry.direction, dtype=float).T)
        center = geometry.index_to_world((np.asarray(geometry.shape) - 1) / 2) + 0.5 * radius * np.asarray(third)
        return cls(_triple(center), radius, max(0.55 * depth, radius), (first, second, third), seed, s_curve)

    def move(self, points, start: float, end: float) -> np.ndarray:
        """Return where the tissue that is at `points` (..., 3; LPS mm) at time `start` is at time `end`."""
        local = (np.asarray(points, dtype=float) - self.center) @ np.asarray(self.axes).T
        moved = self._contract(self._relax(local, self._state(start)), self._state(end))
        return moved @ np.linalg.inv(self.axes).T + self.center

    def displacement(self, geometry: Geometry, start: float, end: float) -> np.ndarray:
        """Return the displacement (k, j, i, 3) from the grid at time `end` to time `start`, in voxels along (k, j, i).

        Warping the frame at `start` with it gives the frame at `end`.
        """
        index = _grid(geometry)
        return geometry.world_to_index(self.move(geometry.index_to_world(index), end, start)) - index

    def frame(self, geometry: Geometry, time: float, noise: float = 0.0, dtype=np.int16) -> Volume:
        """Return the heart at a time on a grid, with grey values from 0 to 1000 (to 255 or 127 in types of 8 bits).

        Parameters
        ----------
        geometry : Geometry
            Any grid.
        time : float
            0 is end-diastole, 1 end-systole.
        noise : float
            Standard deviation of Gaussian noise, as a fraction of the full scale. It differs at every time.
        dtype : numpy dtype
            Scalar type of the frame.
        """
        value = self._anatomy(self.move(geometry.index_to_world(_grid(geometry)), time, 0.0))
        if noise:
            generator = np.random.default_rng([self.seed, int(round(time * 1e6))])
            value = value + noise * generator.standard_normal(value.shape)
        dtype = np.dtype(dtype)
        value = value * (1000 if dtype.kind == "f" else min(1000, np.iinfo(dtype).max))
        if dtype.kind in "iu":
            value = np.clip(np.rint(value), np.iinfo(dtype).min, np.iinfo(dtype).max)
        return Volume(value.astype(dtype), geometry)

    def _state(self, time: float) -> float:
        """How far the contraction has gone at a time: 0 at end-diastole, 1 at end-systole."""
        return time * time * (3 - 2 * time) if self.s_curve else time

    def _chambers(self):
        """Offset across the long axis and radius of the two regions that move; they do not meet."""
        return ((0.0, 0.0), self.radius), ((0.0, -1.5 * self.radius), 0.5 * self.radius)

    def _contract(self, local: np.ndarray, state: float) -> np.ndarray:
        if state == 0:
            return local
        for offset, radius in self._chambers():
            for step in (_shorten, _squeeze, _twist):
                local = step(local, offset, radius, self.length, state)
        return local

    def _relax(self, local: np.ndarray, state: float) -> np.ndarray:
        """Undo `_contract`: the inverse of each of its steps, in the opposite order."""
        if state == 0:
            return local
        for offset, radius in reversed(self._chambers()):
            for step in (_twist, _squeeze, _shorten):
                local = step(local, offset, radius, self.length, -state)
        return local

    def _anatomy(self, points: np.ndarray) -> np.ndarray:
        """Grey value, 0 to 1, of the tissue at end-diastole."""
        local = (points - self.center) @ np.asarray(self.axes).T
        generator = np.random.default_rng(self.seed)
        z, y, x = np.moveaxis(local / self.radius, -1, 0)
        along = local[..., 0] / self.length
        coarse, fine = _texture(local / self.radius, 1.5, generator), _texture(local / self.radius, 5.0, generator)
        body = _inside(np.hypot(y / 1.9, (x + 0.4) / 2.4), 1.0, 0.05)
        value = body * (0.35 + 0.10 * coarse + 0.04 * fine)
        left = np.sqrt(y**2 + x**2 + (0.5 * along) ** 2) + 0.1 * along  # narrower to the apex
        right = np.sqrt((y / 1.3) ** 2 + (x + 1.5) ** 2 + (0.25 * along) ** 2)
        papillary = np.minimum(np.hypot(y - 0.25, x + 0.1), np.hypot(y + 0.22, x - 0.12))
        for edge, tissue in (
            (_inside(left, 0.9, 0.03), 0.22 + 0.06 * fine),
            (_inside(right, 0.36, 0.03), 0.75 + 0.05 * fine),
            (_inside(left, 0.55, 0.03), 0.85 + 0.06 * fine),
            (_inside(left, 0.5, 0.03) * _inside(papillary, 0.1, 0.03), 0.3 + 0.06 * fine),
        ):
            value = value + edge * (tissue - value)
        return value


def beating_heart(times: Sequence[float], geometry: Geometry = CARDIAC_STACK, seed: int = 0, noise: float = 0.0,
                  dtype=np.int16) -> Tuple[List[Volume], BeatingHeart]:
    """Return the frames of a beating heart at some times (0 end-diastole, 1 end-systole), and the heart with the truth.

    Examples
    --------
    >>> (first, middle, last), heart = beating_heart([0, 0.5, 1])
    >>> heart.displacement(middle.geometry, 0, 0.5).shape
    (10, 64, 64, 3)
    """
    heart = BeatingHeart.within(geometry, seed)
    return [heart.frame(geometry, time, noise, dtype) for time in times], heart


def _triple(numbers: np.ndarray) -> Triple:
    x, y, z = numbers.tolist()
    return x, y, z


def _grid(geometry: Geometry) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(size, dtype=float) for size in geometry.shape), indexing="ij"), axis=-1)


# Each step maps local points (..., 3) = (along, across, across) in closed form and is undone by the opposite state. All
# leave the outside of a cylinder about the chamber's axis alone, and none changes what its own strength depends on.


def _shorten(local, offset, radius, length, state):
    """Bring base and apex nearer to each other, most strongly on the axis."""
    rim = _rim(local, offset, radius)
    along = _logistic(np.abs(local[..., 0]) / length, _SHORTENING * state * rim) * length * np.sign(local[..., 0])
    return np.concatenate([along[..., None], local[..., 1:]], axis=-1)


def _squeeze(local, offset, radius, length, state):
    """Narrow the chamber, most strongly in the middle of its length."""
    across = local[..., 1:] - offset
    distance = np.linalg.norm(across, axis=-1, keepdims=True)
    strength = np.clip(1 - (local[..., :1] / length) ** 2, 0, None)
    # The square of the distance follows the logistic law, the distance the law of half the rate.
    ratio = np.sqrt(_logistic((distance / radius) ** 2, 2 * _CONTRACTION * state * strength)) * radius
    factor = np.divide(ratio, distance, out=np.ones_like(distance), where=distance > 1e-9)
    return np.concatenate([local[..., :1], across * factor + offset], axis=-1)


def _twist(local, offset, radius, length, state):
    """Turn apex and base in opposite directions about the axis."""
    angle = _TWIST * state * _rim(local, offset, radius) * np.clip(local[..., 0] / length, -1, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    y, x = np.moveaxis(local[..., 1:] - offset, -1, 0)
    return np.stack([local[..., 0], cos * y - sin * x + offset[0], sin * y + cos * x + offset[1]], axis=-1)


def _rim(local, offset, radius):
    """1 on a chamber's axis, smoothly 0 at its radius and beyond."""
    return np.clip(1 - np.sum((local[..., 1:] - offset) ** 2, axis=-1) / radius**2, 0, None) ** 2


def _logistic(u, rate):
    """Return u, 0 to 1, after du/ds = -u (1 - u) for a time `rate`; unchanged beyond 1."""
    shrink = np.exp(-rate)
    inside = np.minimum(u, 1)
    return np.where(u < 1, inside * shrink / (1 - inside + inside * shrink), u)


def _inside(distance, edge, width):
    """1 within an edge, 0 beyond, with a soft border."""
    return 0.5 * (1 - np.tanh((distance - edge) / width))


def _texture(points, frequency, generator):
    """Smooth random texture, about -1 to 1, with waves of one radius / frequency and longer."""
    waves = generator.normal(size=(8, 3)) * frequency
    shifts = generator.uniform(0, 2 * np.pi, 8)
    return sum(np.sin(points @ wave + shift) for wave, shift in zip(waves, shifts)) / 4
