"""Volumes as SimpleITK images and back, and from one grid onto another: the one place where the order of axes turns."""

from __future__ import annotations

import dataclasses
from typing import List

import numpy as np
import SimpleITK as sitk

from ..errors import GeometryError, InputError
from .checks import is_image
from .volume import Geometry, Volume

# Grey levels that a volume must keep when it is rounded to another type: an error of half a percent.
LEAST_LEVELS = 100


def resample_to(volume: Volume, geometry: Geometry) -> Volume:
    """Resample a volume onto another grid (linear, edge values outside its own), in its own scalar type.

    A volume whose grid already agrees keeps its voxels untouched. Raises `GeometryError` where the two share no space.
    """
    if not volume.geometry.differences(geometry):
        return dataclasses.replace(volume, geometry=geometry)
    if not coverage(volume.geometry, geometry):
        raise GeometryError("The phases do not overlap in space: check that both belong to one patient and one scan.")
    resample = sitk.ResampleImageFilter()
    resample.SetSize([int(size) for size in geometry.shape[::-1]])
    resample.SetOutputSpacing(geometry.spacing[::-1])
    resample.SetOutputOrigin(geometry.origin)
    resample.SetOutputDirection(_sitk_direction(geometry))
    resample.SetInterpolator(sitk.sitkLinear)
    resample.UseNearestNeighborExtrapolatorOn()
    resample.SetOutputPixelType(sitk.sitkFloat64)  # ITK cuts the fraction off when it resamples to integers
    array = sitk.GetArrayFromImage(resample.Execute(to_sitk(volume)))
    dtype = volume.array.dtype
    if dtype.kind in "iu":
        array = np.clip(np.rint(array), volume.array.min(), volume.array.max())
    return dataclasses.replace(volume, array=array.astype(dtype), geometry=geometry)


def coverage(one: Geometry, other: Geometry) -> float:
    """Return the share of the other grid that lies inside the one, 0 to 1.

    Counted by the centres of up to 48 voxels along each axis: all of them would take gigabytes.
    """
    axes = [np.unique(np.linspace(0, size - 1, min(size, 48)).round()) for size in other.shape]
    index = one.world_to_index(other.index_to_world(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)))
    edge = 0.5 + 1e-6
    return np.all((index >= -edge) & (index <= np.asarray(one.shape) - 1 + edge), axis=-1).mean()


def to_sitk(volume: Volume) -> sitk.Image:
    """Return the volume as a SimpleITK image (a copy)."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing[::-1])
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(_sitk_direction(volume.geometry))
    return image


def _sitk_direction(geometry: Geometry) -> List[float]:
    return np.asarray(geometry.direction, dtype=float)[:, ::-1].ravel().tolist()


def to_type(dtype: np.dtype, volume: Volume, number: int, messages: List[str]) -> Volume:
    """Return the volume in the first phase's scalar type, rounded where that takes whole numbers, never clipped."""
    if volume.array.dtype == dtype:
        return volume
    array = volume.array
    if dtype.kind in "iu":
        array = np.rint(array)
        low, high = float(array.min()), float(array.max())
        if low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
            raise InputError(f"Phase {number} has values from {low:g} to {high:g}, which phase 0's type {dtype} cannot "
                             "hold: convert both to one type.")
        if not np.array_equal(array, volume.array) and (high - low < LEAST_LEVELS or not is_image(array)):
            raise InputError(f"Phase {number} would lose its content if it were rounded to phase 0's type {dtype}: "
                             "convert both to one type, or rescale it.")
    messages.append(f"Phase {number} was converted from {volume.array.dtype} to phase 0's type {dtype}.")
    return dataclasses.replace(volume, array=array.astype(dtype))
