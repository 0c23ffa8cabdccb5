"""How deep each voxel lies in a region."""

from __future__ import annotations

from typing import Sequence

import numpy as np
import SimpleITK as sitk

_FAR = 1e6  # mm


def signed_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return how far each voxel is from the nearest one on the other side of the outline, in mm: above 0 within.

    Parameters
    ----------
    mask : ndarray of bool, two or three axes
        The region.
    spacing : sequence of float
        Voxel spacing in mm along each axis.

    Returns
    -------
    ndarray of float32
        Everywhere 1000 km, with its sign, where the region is empty or fills the array.

    Examples
    --------
    >>> signed_distance(np.array([[False, True, True, False]]), (1.0, 0.5)).tolist()
    [[-0.5, 0.5, 0.5, -0.5]]
    """
    if not mask.any() or mask.all():
        return np.full(mask.shape, _FAR if mask.any() else -_FAR, np.float32)

    def outside(region: np.ndarray) -> np.ndarray:
        image = sitk.GetImageFromArray(region.astype(np.uint8))
        image.SetSpacing([float(s) for s in reversed(spacing)])
        return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))

    return np.maximum(outside(~mask), 0) - np.maximum(outside(mask), 0)
