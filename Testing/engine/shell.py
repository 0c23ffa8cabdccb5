"""What tests of the command line and of the worker share: small images, and what lies in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
import SimpleITK as sitk

from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry, Volume

SMALL = Geometry((5, 24, 24), (8.0, 5.0, 5.0), (-60.0, -60.0, -16.0))
OBLIQUE = ((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0))


def files_in(folder) -> List[str]:
    """Every file and folder under a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def thick_volume(shape=(5, 20, 22), spacing=(6.0, 1.5, 1.2), dtype="int16", axis=0, seed=0,
                 direction=OBLIQUE) -> Volume:
    """Smooth structures over noise, their slices along an array axis."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    values = np.exp(-3 * ((j - 0.4 * k) ** 2 + (i + 0.3 * k) ** 2)) + 0.05 * rng.standard_normal(shape)
    values = np.moveaxis(100 * values.clip(0), 0, axis).astype(dtype)
    spacing = tuple(np.moveaxis(np.array(spacing)[:, None, None], 0, axis).ravel()) if axis == 0 else tuple(
        np.insert(spacing[1:], axis, spacing[0]))
    return Volume(values, Geometry(values.shape, tuple(map(float, spacing)), (-40.0, 10.0, 7.0), direction))


def written(path: str, **options) -> str:
    sitk.WriteImage(to_sitk(thick_volume(**options)), path)
    return path
