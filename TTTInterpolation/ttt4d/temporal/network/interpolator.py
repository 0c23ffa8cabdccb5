"""The whole network: f feeds the motion and the refinement, so that what adaptation changes in f reaches both.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the sideways Y; there f feeds the
   refinement only.
.. [2] Kim et al., UVI-Net, CVPR 2024, arXiv:2404.01464: blend and residual.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor, nn

from ...motion import warping
from .features import FeatureExtractor, Strides
from .motion import Motion
from .refinement import Refinement


@dataclass(frozen=True)
class NetworkSettings:
    """The widths of the network, stored with the weights.

    Parameters
    ----------
    features, motion, refinement : tuple of int
        Channels of each level of f and of the two parts of h, finest first.
    """

    features: Tuple[int, ...] = (8, 16, 32, 48)
    motion: Tuple[int, ...] = (24, 48, 64)
    refinement: Tuple[int, ...] = (8, 16, 32)

    def to_json(self) -> Dict[str, Any]:
        """Return the settings as a weights file stores them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Dict[str, Any]) -> "NetworkSettings":
        """Return the settings that a weights file stores."""
        return cls(**{name: tuple(widths) for name, widths in values.items()})


@dataclass(frozen=True)
class Estimate:
    """What the network estimates for some times on the canvas: all that frames of any resolution need.

    Parameters
    ----------
    to0, to1 : Tensor of shape (batch, 3, k, j, i)
        Displacements from the grid at time t to each phase, in voxels of the canvas.
    weight : Tensor of shape (batch, 1, k, j, i)
        Weight of warped phase 0 in the blend, in [0, 1].
    residual : Tensor of shape (batch, 1, k, j, i)
        Added to the blend, in the intensities of the canvas.
    """

    to0: Tensor
    to1: Tensor
    weight: Tensor
    residual: Tensor

    def item(self, number: int) -> Estimate:
        """Return one item of the batch, as a batch of one."""
        return Estimate(*(x[number:number + 1] for x in vars(self).values()))

    def blend(self, phase0: Tensor, phase1: Tensor) -> Tensor:
        """Return the weighted mean (batch, 1, k, j, i) of the warped phases."""
        warped1 = warping.warp(phase1, self.to1)
        return warped1 + self.weight * (warping.warp(phase0, self.to0) - warped1)

    def frame(self, phase0: Tensor, phase1: Tensor) -> Tensor:
        """Return the frame I_t = blend + residual [2]_."""
        return self.blend(phase0, phase1) + self.residual


class InterpolationNetwork(nn.Module):
    """f and h of the sideways Y; the auxiliary heads g live with their tasks."""

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.features = FeatureExtractor(settings.features)
        self.motion = Motion(settings.features, settings.motion)
        self.refinement = Refinement(settings.features, settings.refinement)
        for module in self.modules():
            # Without normalisation layers, torch's own start shrinks the signal by half a layer and training crawls.
            if isinstance(module, nn.Conv3d) and module.out_channels > 2:
                nn.init.kaiming_normal_(module.weight, a=0.1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.motion.start_still()

    @property
    def levels(self) -> int:
        """Levels of the feature pyramid f."""
        return len(self.settings.features)

    def forward(self, phase0: Tensor, phase1: Tensor, time: Tensor, strides: Strides) -> Estimate:
        """Estimate motion, confidence and residual.

        Parameters
        ----------
        phase0, phase1 : Tensor of shape (batch, 1, k, j, i)
            Intensities in [0, 1], on a canvas of `padded_size`.
        time : Tensor of shape (batch,)
            In [0, 1].
        strides : sequence of tuple of int
            Of the pyramid, see `pyramid_strides`.
        """
        # One batch for both phases: a batch of one falls to a slow 3D convolution on the CPU.
        both = self.features(torch.cat([phase0, phase1]), strides)
        features0, features1 = zip(*(level.chunk(2) for level in both))
        return self.estimate(phase0, phase1, list(features0), list(features1), time)

    def estimate(self, phase0: Tensor, phase1: Tensor, features0: List[Tensor], features1: List[Tensor],
                 time: Tensor) -> Estimate:
        """Estimate the same from features, which all times of one pair share."""
        estimate = self.move(features0, features1, time)
        return self.refine(estimate, phase0, phase1, features0, features1, time)

    def move(self, features0: List[Tensor], features1: List[Tensor], time: Tensor) -> Estimate:
        """Estimate motion and confidence, with a residual of zero."""
        to0, to1, confidence = self.motion(features0, features1, time)
        odds = torch.logit(1 - time.float(), eps=1e-4).view(-1, 1, 1, 1, 1)
        return Estimate(to0, to1, torch.sigmoid(odds + confidence), torch.zeros_like(confidence))

    def refine(self, estimate: Estimate, phase0: Tensor, phase1: Tensor, features0: List[Tensor],
               features1: List[Tensor], time: Tensor) -> Estimate:
        """Return an estimate with its confidence corrected at full resolution, and with a residual."""
        warped = warping.warp(phase0, estimate.to0), warping.warp(phase1, estimate.to1)
        features = []
        for a, b in list(zip(features0, features1))[:len(self.settings.refinement)]:
            size = a.shape[2:]
            features.append((warping.warp(a, warping.resize_displacement(estimate.to0, size)),
                             warping.warp(b, warping.resize_displacement(estimate.to1, size))))
        confidence, residual = self.refinement(warped, features, time)
        weight = torch.sigmoid(torch.logit(estimate.weight, eps=1e-6) + confidence)
        return Estimate(estimate.to0, estimate.to1, weight, residual)
