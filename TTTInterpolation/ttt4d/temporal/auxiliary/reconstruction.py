"""Reconstruction: a 3D masked autoencoder over f.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the auxiliary task 3D-MAE.
"""

from __future__ import annotations

from typing import List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...adaptation.task import AuxiliaryTask
from ...motion import warping
from ..network.features import Strides, patch_size
from ..network.interpolator import InterpolationNetwork, NetworkSettings
from ..phase_pair import PhasePair


class Reconstruction(AuxiliaryTask):
    """Hides 80 % of the patches of the image from f; the loss is the mean squared error on the hidden voxels only.

    A patch is a voxel of the coarsest level of f, so that patches follow size and slice thickness of the volume.
    """

    masked_fraction = 0.8
    iterations = 20
    learning_rate = 5e-5

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__(settings)
        coarse_first = settings.features[::-1]
        self.enter = nn.ModuleList(nn.Conv3d(c, 16, 3, padding=1) for c in coarse_first)
        self.leave = nn.Conv3d(16, 1, 3, padding=1)

    def loss(self, network: InterpolationNetwork, batch: PhasePair, generator: Generator) -> Tensor:
        """Return the masked error of both phases; see `AuxiliaryTask.loss`."""
        masks = torch.cat([self.mask(batch.phases.shape[2:], batch.strides, generator) for _ in batch.phases])
        masks = masks.to(batch.phases.device)
        features = network.features(batch.phases * (1 - masks), batch.strides)
        return self.masked_error(self.decode(features), batch.phases, masks)

    def decode(self, features: List[Tensor]) -> Tensor:
        """Return the image (batch, 1, k, j, i) that all levels of f, finest first, encode."""
        x: Optional[Tensor] = None
        for enter, level in zip(self.enter, reversed(features)):
            y = enter(level)
            x = F.leaky_relu(y if x is None else y + warping.resize(x, level.shape[2:]).to(y.dtype), 0.1)
        return self.leave(x).float()

    @classmethod
    def mask(cls, size: Sequence[int], strides: Strides, generator: Generator) -> Tensor:
        """Draw a mask (1, 1, k, j, i): 1 where hidden, 0 where visible, the same fraction in every draw."""
        patch = patch_size(strides)
        grid = tuple(-(-n // p) for n, p in zip(size, patch))
        count = grid[0] * grid[1] * grid[2]
        hidden = torch.zeros(count)
        hidden[torch.randperm(count, generator=generator)[:round(cls.masked_fraction * count)]] = 1
        mask = hidden.view(grid)
        for axis, p in enumerate(patch):
            mask = mask.repeat_interleave(p, axis)
        return mask[:size[0], :size[1], :size[2]][None, None]

    @staticmethod
    def masked_error(image: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Return the mean squared error over the hidden voxels."""
        return ((image - truth).square() * mask).sum() / mask.sum()
