"""How alike two images are around each voxel."""

from __future__ import annotations

from typing import Sequence

import torch.nn.functional as F
from torch import Tensor

# Variance below which a window counts as flat, for intensities in [0, 1].
_FLAT = 1e-5


def local_correlation(a: Tensor, b: Tensor, window: Sequence[int]) -> Tensor:
    """Return the squared correlation (batch, 1, k, j, i) of two images in the window around each voxel: 0 to 1.

    Parameters
    ----------
    a, b : Tensor of shape (batch, 1, k, j, i)
        Intensities in [0, 1].
    window : sequence of int
        Voxels along (k, j, i), odd. A window without contrast counts as 0.
    """
    pad = [n // 2 for n in reversed(window) for _ in range(2)]

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool3d(F.pad(x, pad, mode="replicate"), tuple(window), stride=1)

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = ((mean(x * x) - m * m).clamp(min=0) for x, m in ((a, mean_a), (b, mean_b)))
    return (mean(a * b) - mean_a * mean_b).square() / (variance_a * variance_b + _FLAT)
