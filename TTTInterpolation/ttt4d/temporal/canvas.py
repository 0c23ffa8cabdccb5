"""The canvas, which is the network's grid: from native volumes to the canvas, and back.

The canvas covers the native grid corner to corner: same axes, same corner voxels, fewer voxels where the native grid is
too fine for the device. It is padded at the far ends with edge values, to the size that the network's pyramid needs.
Nothing that the user gets is resampled: only motion, confidence and residual come back from the canvas, and the voxels
that are warped are the native ones.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the experiments' protocol, each frame
   scaled to [0, 1] by its own minimum and maximum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images.smoothing import smooth
from ..images.volume import Geometry
from ..motion import warping
from .network.features import Strides, padded_size, pyramid_strides
from .network.interpolator import Estimate

Size = Tuple[int, int, int]

# Native voxels brought back at a time: bounds memory whatever the size of the volume.
SLAB_VOXELS = 2_000_000
# How far a warped intensity may lie outside [0, 1] by rounding alone.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Canvas:
    """The network's grid for one native grid.

    Parameters
    ----------
    native : tuple of int
        Size (k, j, i) of the native grid.
    inner : tuple of int
        Size of the canvas over the same extent.
    padded : tuple of int
        Size of the canvas with its padding.
    strides : sequence of tuple of int
        Stride (k, j, i) of each level of the network's pyramid, finest first.
    """

    native: Size
    inner: Size
    padded: Size
    strides: Strides

    @classmethod
    def fit(cls, geometry: Geometry, levels: int, voxels: int, edge: Optional[int] = None) -> Canvas:
        """Return the finest canvas within some limits, never finer than the native grid.

        The finest axes are coarsened first, so that thick slices stay as they are.

        Parameters
        ----------
        geometry : Geometry
            The native grid.
        levels : int
            Levels of the network's pyramid.
        voxels : int
            Largest number of voxels, without padding.
        edge : int, optional
            Longest edge in voxels, without padding.
        """
        size, spacing = geometry.shape, geometry.spacing

        def coarsened(target: float) -> Size:
            # At least two voxels stay of every axis that has them: a grid needs both its corners.
            k, j, i = (n if s >= target or n == 1 else max(2, min(n, 1 + round((n - 1) * s / target)))
                       for n, s in zip(size, spacing))
            return k, j, i

        def fits(target: float) -> bool:
            inner = coarsened(target)
            return inner[0] * inner[1] * inner[2] <= voxels and (edge is None or max(inner) <= edge)

        low, high = 0.0, max(n * s for n, s in zip(size, spacing))
        if not fits(low):
            for _ in range(40):
                middle = (low + high) / 2
                low, high = (low, middle) if fits(middle) else (middle, high)
            low = high
        inner = coarsened(low)
        step = [s * (n - 1) / max(m - 1, 1) or s for n, m, s in zip(size, inner, spacing)]
        strides = pyramid_strides(inner, step, levels)
        return cls((size[0], size[1], size[2]), inner, padded_size(inner, strides), strides)

    def scaled_phase(self, native: Tensor) -> Tensor:
        """Return a phase on the canvas, scaled to [0, 1] by its own minimum and maximum [1]_.

        Parameters
        ----------
        native : Tensor of shape (1, 1, k, j, i)
            The phase on the native grid.

        Returns
        -------
        Tensor of shape (1, 1, k, j, i)
            Of the size `padded`.
        """
        low, high = native.min(), native.max()
        image = native
        for axis, (n, m) in enumerate(zip(self.native, self.inner), start=2):
            if m < n:
                factor = (n - 1) / max(m - 1, 1)
                sigma = 0.4 * max(factor - 1, 1e-3) ** 0.5 * factor ** 0.5
                image = smooth(image, axis, sigma, max(1, math.ceil(2.5 * sigma)))
        image = (warping.resize(image, self.inner) - low) / (high - low)
        pad = [p - m for m, p in zip(self.inner, self.padded)]
        return F.pad(image, (0, pad[2], 0, pad[1], 0, pad[0]), mode="replicate")

    def native_displacement(self, displacement: Tensor) -> Tensor:
        """Return a displacement field (1, 3, k, j, i) of the canvas on the native grid, in native voxels."""
        k, j, i = self.inner
        return warping.resize_displacement(displacement[:, :, :k, :j, :i], self.native)

    def restore(self, estimate: Estimate, native0: Tensor, native1: Tensor) -> Iterator[Tuple[slice, Tensor]]:
        """Yield a frame at native resolution in slabs: the native phases are warped once, blended and refined.

        Parameters
        ----------
        estimate : Estimate
            Of one time, a batch of 1, on the canvas.
        native0, native1 : Tensor of shape (1, 1, k, j, i)
            The phases on the native grid, on one intensity scale.

        Yields
        ------
        slice
            The slices k of the slab.
        Tensor of shape (k, j, i)
            The slab of the frame, on the same intensity scale.
        """
        # One gather brings everything back: components scaled to native voxels first.
        ratio = estimate.to0.new_tensor([(n - 1) / (m - 1) if m > 1 else 1.0 for n, m in zip(self.native, self.inner)])
        ratio = ratio.view(1, 3, 1, 1, 1)
        maps = torch.cat([estimate.to0 * ratio, estimate.to1 * ratio, estimate.weight, estimate.residual], dim=1)
        maps = maps[:, :, :self.inner[0], :self.inner[1], :self.inner[2]]
        thickness = max(1, SLAB_VOXELS // (self.native[1] * self.native[2]))
        for start in range(0, self.native[0], thickness):
            stop = min(start + thickness, self.native[0])
            here = warping.identity((stop - start, *self.native[1:]), maps)
            here[:, 0] += start
            there = maps[:, :, start:stop] if self.inner == self.native else warping.sample(maps, here / ratio)
            to0, to1, weight, residual = there.split([3, 3, 1, 1], dim=1)
            warped1 = warping.sample(native1, here + to1)
            blend = warped1 + weight * (warping.sample(native0, here + to0) - warped1)
            # The network knows nothing of what lies beyond its range: padding and metal come out as they went in.
            outlier = (blend < -_ROUNDING) | (blend > 1 + _ROUNDING)
            yield slice(start, stop), (blend + residual.masked_fill(outlier, 0))[0, 0]
