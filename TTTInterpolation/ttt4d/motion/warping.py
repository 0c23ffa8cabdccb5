"""Warping and the algebra of displacement fields, in one place.

A displacement field has shape (batch, 3, k, j, i); its components are in the order of the axes (k, j, i) and in voxels
of its own grid. It points from the output grid to where the output samples: `warp(x, u)(p) = x(p + u(p))`.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def identity(size: Sequence[int], like: Tensor) -> Tensor:
    """Return the voxel indices of a grid of `size` (k, j, i): (1, 3, k, j, i), of the type and device of `like`."""
    axes = [torch.arange(n, dtype=like.dtype, device=like.device) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def sample(image: Tensor, index: Tensor) -> Tensor:
    """Return trilinear values of `image` (batch, channel, k, j, i) at voxel indices `index` (batch, 3, ...grid).

    Beyond the edge the values of the edge are returned. The batch of `image` may be 1 where the batch of
    `index` is larger. Computed in float32 at least: half precision cannot tell neighbouring voxels of a large grid
    apart.
    """
    grid = index.float()
    scale = [2.0 / max(n - 1, 1) for n in image.shape[2:]]
    # grid_sample wants (i, j, k) in [-1, 1], the centres of the outer voxels at -1 and 1.
    grid = torch.stack([grid[:, axis] * scale[axis] - 1.0 for axis in (2, 1, 0)], dim=-1)
    image = image.to(grid.dtype)
    if image.shape[0] != grid.shape[0]:
        image = image.expand(grid.shape[0], -1, -1, -1, -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def warp(image: Tensor, displacement: Tensor) -> Tensor:
    """Sample `image` (batch, channel, k, j, i) where `displacement` (batch, 3, k, j, i; voxels of this grid) points."""
    return sample(image, identity(displacement.shape[2:], displacement.float()) + displacement.float())


def resize(field: Tensor, size: Sequence[int]) -> Tensor:
    """Resample a (batch, channel, k, j, i) map to a grid of another size with the same corner voxels, trilinear."""
    if tuple(field.shape[2:]) == tuple(size):
        return field
    return F.interpolate(field, size=tuple(size), mode="trilinear", align_corners=True)


def resize_displacement(displacement: Tensor, size: Sequence[int]) -> Tensor:
    """Resample a displacement field to a grid of another size with the same corner voxels, and into its voxels."""
    old = displacement.shape[2:]
    scale = [(new - 1) / (was - 1) if was > 1 else 1.0 for new, was in zip(size, old)]
    return resize(displacement, size) * displacement.new_tensor(scale).view(1, 3, 1, 1, 1)


def scaled(displacement: Tensor, factor: Tensor) -> Tensor:
    """Multiply a field by one factor for each item of the batch (batch,)."""
    return displacement * factor.view(-1, 1, 1, 1, 1)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """How alike `a` is to `b` at each of the 27 neighbouring voxels: cosines over the channels (batch, 27, k, j, i).

    Maps (batch, channel, k, j, i); zero beyond the edge. What tells a network which way things moved, without learning
    it.
    """
    a, b = F.normalize(a.float(), dim=1, eps=1e-3), F.pad(F.normalize(b.float(), dim=1, eps=1e-3), (1,) * 6)
    nk, nj, ni = a.shape[2:]
    return torch.stack([(a * b[:, :, k:k + nk, j:j + nj, i:i + ni]).sum(dim=1)
                        for k in range(3) for j in range(3) for i in range(3)], dim=1)


def gradients(field: Tensor) -> Tuple[Tensor, ...]:
    """Forward differences along each axis that has more than one voxel."""
    return tuple(field.diff(dim=axis) for axis in (2, 3, 4) if field.shape[axis] > 1)


def gradient_penalty(displacement: Tensor) -> Tensor:
    """Mean squared forward difference of a field, its axes averaged: the flow-gradient loss of registration."""
    terms = [d.square().mean() for d in gradients(displacement)]
    return torch.stack(terms).mean() if terms else displacement.new_zeros(())
