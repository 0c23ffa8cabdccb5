"""Gaussian smoothing along one axis: before a grid is made coarser, and to imitate a wider point spread."""

from __future__ import annotations

import torch
from torch import Tensor


def smooth(image: Tensor, axis: int, sigma: float, radius: int) -> Tensor:
    """Convolve an image with a Gaussian along one axis, edge values repeated outside.

    Parameters
    ----------
    image : Tensor
        Any shape, floating point.
    axis : int
        The axis to smooth along.
    sigma : float
        Standard deviation in voxels of this axis.
    radius : int
        Voxels on each side at which the Gaussian is cut off; the weights left are scaled to a sum of 1.

    Returns
    -------
    Tensor
        A new tensor of the same shape and type.

    Examples
    --------
    >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0])
    >>> [round(value, 2) for value in smooth(step, 0, sigma=0.5, radius=1).tolist()]
    [0.0, 0.11, 0.89, 1.0]
    """
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    total, size = torch.zeros_like(image), image.shape[axis]
    for offset, weight in zip(range(-radius, radius + 1), kernel.tolist()):
        index = torch.arange(offset, offset + size, device=image.device).clamp(0, size - 1)
        total.add_(image.index_select(axis, index), alpha=weight)
    return total
