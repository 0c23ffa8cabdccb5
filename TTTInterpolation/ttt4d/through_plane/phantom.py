"""A head made by code, whose thin slices are known everywhere: no patient's data are in it.

It lives in space (LPS mm), not on a grid, so that slices of any distance show the same head.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..images.volume import Geometry, Volume

THIN_SLICES = Geometry((49, 72, 60), (1.5, 2.0, 2.0), (-59.0, -71.0, -36.0))

# Centre and half axes (x, y, z) in mm, and grey value, of ellipsoids inside the brain.
_NUCLEI = (((-14, -4, 2), (5, 22, 9), 0.15), ((14, -4, 2), (5, 22, 9), 0.15), ((-20, 4, -6), (7, 10, 8), 0.62),
           ((20, 4, -6), (7, 10, 8), 0.62), ((24, -30, 14), (5, 4, 6), 0.95), ((-26, 26, -12), (3, 3, 4), 0.95))


def head(geometry: Geometry = THIN_SLICES, noise: float = 0.01, seed: int = 0) -> Volume:
    """Return the head on a grid, in int16 from 0 to about 1000.

    Parameters
    ----------
    geometry : Geometry
        Any grid around the origin.
    noise : float
        Standard deviation of Gaussian noise, as a fraction of the full scale.
    seed : int
        Of the noise.

    Examples
    --------
    >>> head().array.shape
    (49, 72, 60)
    """
    axes = (np.arange(size, dtype=float) for size in geometry.shape)
    x, y, z = np.moveaxis(geometry.index_to_world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)), -1, 0)
    depth = 1 - np.sqrt((x / 52) ** 2 + (y / 64) ** 2 + (z / 58) ** 2)  # 0 at the skin, 1 in the middle
    value = np.zeros(geometry.shape)
    for edge, grey in ((0.0, 0.85), (0.07, 0.1), (0.13, 0.2)):  # scalp, skull, fluid
        value += _within(depth - edge) * (grey - value)
    # The folds of the cortex lean against every axis.
    folds = 0.035 * np.sin(0.28 * x + 0.17 * z) * np.sin(0.25 * y - 0.2 * z)
    folds += 0.02 * np.sin(0.3 * z + 0.2 * y - 0.1 * x)
    for edge, grey in ((0.17, 0.45), (0.25, 0.75)):  # grey and white matter
        value += _within(depth + folds - edge) * (grey - value)
    for centre, half, grey in _NUCLEI:
        place = zip((x, y, z), centre, half)
        inside = 1 - np.sqrt(sum(((p - c) / h) ** 2 for p, c, h in place))
        value += _within(inside, 0.06) * (grey - value)
    for lean, start in ((0.45, -30.0), (-0.6, 20.0)):  # vessels that cross the slices at an angle
        distance = np.hypot(x - start - lean * z, y - 10 * np.sin(z / 12))
        value += _within(depth - 0.1) * _within(1 - distance / 2.5, 0.2) * (0.95 - value)
    value += noise * np.random.default_rng(seed).standard_normal(value.shape)
    return Volume(np.rint(1000 * value).astype(np.int16), geometry)


def every(volume: Volume, step: int) -> Volume:
    """Return a volume with every so many of its slices only: thin ones with gaps between them."""
    array, (spacing, row, column) = volume.array[::step], volume.geometry.spacing
    grid = dataclasses.replace(volume.geometry, shape=array.shape, spacing=(step * spacing, row, column))
    return dataclasses.replace(volume, array=array, geometry=grid)


def _within(depth: np.ndarray, width: float = 0.012) -> np.ndarray:
    """1 inside and 0 outside of the surface where the depth is zero, with a soft edge."""
    return 0.5 * (1 + np.tanh(depth / width))
