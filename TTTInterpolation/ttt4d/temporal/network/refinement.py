"""The second part of the main head h: the confidence at full resolution, and what neither warped phase holds."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...motion import warping
from .motion import TimeModulation


class Refinement(nn.Module):
    """A small U-Net over the warped phases and the warped features of f: a correction of the confidence, and a
    residual.

    residual: added to the blend; what comes into the slice, and the noise that two phases average out.
    """

    def __init__(self, channels: Sequence[int], width: Sequence[int]) -> None:
        """channels: of f, finest first; width: of this head's levels, finest first, at most as many as f has."""
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
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            self.leave.weight *= 0.1

    def forward(self, warped: Tuple[Tensor, Tensor], features: List[Tuple[Tensor, Tensor]],
                time: Tensor) -> Tuple[Tensor, Tensor]:
        """warped: both phases on the grid at time t (batch, 1, k, j, i); features: both phases' of f there, finest
        first.

        Returns (confidence correction, residual), each (batch, 1, k, j, i).
        """
        x, skips = torch.cat([*warped, warped[0] - warped[1]], dim=1), []
        for n, (down, same, modulate) in enumerate(zip(self.down, self.down_same, self.time)):
            if n:
                x = F.adaptive_avg_pool3d(x, features[n][0].shape[2:])
            x = F.leaky_relu(modulate(down(torch.cat([x, *[f.to(x.dtype) for f in features[n]]], dim=1)), time), 0.1)
            x = F.leaky_relu(x + same(x), 0.1)
            skips.append(x)
        for n in reversed(range(len(self.up))):
            x = warping.resize(x.float(), skips[n].shape[2:]).to(skips[n].dtype)
            x = F.leaky_relu(self.up[n](torch.cat([skips[n], x], dim=1)), 0.1)
            x = F.leaky_relu(x + self.up_same[n](x), 0.1)
        return tuple(self.leave(x).float().split(1, dim=1))
