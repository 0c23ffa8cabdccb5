"""f: the feature extractor that the main task and the auxiliary tasks share, the stem of the sideways Y.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the shared extractor, "3D AlexNet".
"""

from __future__ import annotations

from typing import Iterable, List, Sequence, Tuple, cast

import torch.nn.functional as F
from torch import Tensor, nn

Strides = Sequence[Tuple[int, int, int]]


class FeatureExtractor(nn.Module):
    """A 3D convolutional pyramid with two 3 x 3 x 3 convolutions a level; all levels are returned.

    With channels (4, 8, 16) it is the published one (13,556 parameters) [1]_. The stride of a level is given with the
    image and not built in, so that thick slices are not halved before they are as fine as the other axes. So the same
    weights serve 10 mm cardiac slices and isotropic CT.

    Parameters
    ----------
    channels : sequence of int
        Channels of each level, finest first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        before = (1, *self.channels)
        self.down = nn.ModuleList(nn.Conv3d(a, b, 3, padding=1) for a, b in zip(before, self.channels))
        self.same = nn.ModuleList(nn.Conv3d(c, c, 3, padding=1) for c in self.channels)

    def forward(self, image: Tensor, strides: Strides) -> List[Tensor]:
        """Return one map (batch, channels, k, j, i) a level, finest first.

        Parameters
        ----------
        image : Tensor of shape (batch, 1, k, j, i)
            Intensities in [0, 1].
        strides : sequence of tuple of int
            Stride (k, j, i) of each level, finest first.
        """
        levels, x = [], 2 * image - 1
        for module, same, stride in zip(self.down, self.same, strides):
            down = cast(nn.Conv3d, module)
            x = F.leaky_relu(F.conv3d(x, down.weight, down.bias, stride, padding=1), 0.1)
            x = F.leaky_relu(same(x), 0.1)
            levels.append(x)
        return levels


def pyramid_strides(size: Sequence[int], spacing: Sequence[float], levels: int) -> List[Tuple[int, int, int]]:
    """Return the stride of each level for a grid of `size` voxels and `spacing` (any unit), both (k, j, i).

    An axis is halved while its voxels are at most twice as long as the finest ones and it keeps at least 6 of them, as
    anisotropic medical networks do.

    >>> pyramid_strides((7, 97, 97), (10.0, 1.5, 1.5), 4)
    [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)]
    >>> pyramid_strides((129, 129, 129), (1.0, 1.0, 1.0), 3)
    [(1, 1, 1), (2, 2, 2), (2, 2, 2)]
    """
    size, spacing = list(size), [float(s) for s in spacing]
    strides: List[Tuple[int, int, int]] = [(1, 1, 1)]
    for _ in range(levels - 1):
        finest = min(s for s, n in zip(spacing, size) if n > 1) if max(size) > 1 else 1.0
        stride = _triple(2 if n >= 12 and s <= 2 * finest else 1 for n, s in zip(size, spacing))
        size = [(n + s - 1) // s for n, s in zip(size, stride)]
        spacing = [a * s for a, s in zip(spacing, stride)]
        strides.append(stride)
    return strides


def patch_size(strides: Strides) -> Tuple[int, int, int]:
    """Return the voxels (k, j, i) of the finest level along one voxel of the coarsest: the product of the strides."""
    patch = (1, 1, 1)
    for stride in strides:
        patch = _triple(p * s for p, s in zip(patch, stride))
    return patch


def padded_size(size: Sequence[int], strides: Strides) -> Tuple[int, int, int]:
    """Return the smallest grid at least as large on which every level's voxels are voxels of the finer level.

    An axis that is halved n times needs m * 2**n + 1 voxels. Then the corners of all levels are the same points, and a
    field of a coarse level has no half-voxel shift on a fine one.
    """
    return _triple(n if step == 1 else -(-(n - 1) // step) * step + 1 for n, step in zip(size, patch_size(strides)))


def _triple(numbers: Iterable[int]) -> Tuple[int, int, int]:
    k, j, i = numbers
    return k, j, i
