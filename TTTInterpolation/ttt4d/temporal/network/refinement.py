"""The second part of the main head h: the confidence at full resolution, and a residual.

References
----------
.. [1] Kim et al., UVI-Net, CVPR 2024, arXiv:2404.01464: the published refinement, a residual from warped features.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...motion import warping
from .motion import TimeModulation


class Refinement(nn.Module):
    """A small U-Net over the warped phases and the warped features of f.

    It corrects the confidence, and adds a residual to the blend: tissue that moves into the slice, and the noise that
    the mean of two phases lacks.

    Parameters
    ----------
    channels : sequence of int
        Channels of f, finest level first.
    width : sequence of int
        Channels of this head's levels, finest first, at most as many as f has.
    """

    def __init__(self, channels: Sequence[int], width: Sequence[int]) -> None:
        super().__init__()
        joined = [2 * c for c in channels[:len(width)]]
        self.down = nn.ModuleList(
            nn.Conv3d((3 if n == 0 else width[n - 1]) + joined[n], w, 3, padding=1) for n, w in enumerate(width))
        self.down_same = nn.ModuleList(nn.Conv3d(w, w, 3, padding=1) for w in width)
        self.time = nn.ModuleList(TimeModulation(w) for w in width)
        self.up = nn.ModuleList(
            nn.Conv3d(width[n] + width[n + 1], width[n], 3, padding=1) for n in range(len(width) - 1))
        self.up_same = nn.ModuleList(nn.Conv3d(w, w, 3, padding=1) for w in width[:-1])
        self.leave = nn.Conv3d(width[0], 2, 3, padding=1)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            self.leave.weight *= 0.1

    def forward(self, warped: Tuple[Tensor, Tensor], features: List[Tuple[Tensor, Tensor]],
                time: Tensor) -> Tuple[Tensor, Tensor]:
        """Return the correction of the confidence and the residual, each (batch, 1, k, j, i).

        Parameters
        ----------
        warped : tuple of Tensor of shape (batch, 1, k, j, i)
            Both phases, warped to the grid at time t.
        features : list of tuple of Tensor
            The features of f of both phases, warped to the same grid, finest level first.
        time : Tensor of shape (batch,)
            In [0, 1].
        """
        x, skips = torch.cat([*warped, warped[0] - warped[1]], dim=1), []
        for n, (down, same, modulate) in enumerate(zip(self.down, self.down_same, self.time)):
            if n:
                k, j, i = features[n][0].shape[2:]
                x = F.adaptive_avg_pool3d(x, (k, j, i))
            x = F.leaky_relu(modulate(down(torch.cat([x, *[f.to(x.dtype) for f in features[n]]], dim=1)), time), 0.1)
            x = F.leaky_relu(x + same(x), 0.1)
            skips.append(x)
        for n in reversed(range(len(self.up))):
            x = warping.resize(x.float(), skips[n].shape[2:]).to(skips[n].dtype)
            x = F.leaky_relu(self.up[n](torch.cat([skips[n], x], dim=1)), 0.1)
            x = F.leaky_relu(x + self.up_same[n](x), 0.1)
        confidence, residual = self.leave(x).float().split(1, dim=1)
        return confidence, residual
