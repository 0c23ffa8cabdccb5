"""Agreement: both phases, brought to one moment, should show the same tissue.

It acts on the motion itself, through the frozen head h: f learns to show h in this patient's images what it can follow.
"""

from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...adaptation.task import AuxiliaryTask
from ...motion.warping import gradient_penalty, warp
from ..network.features import patch_size
from ..network.interpolator import InterpolationNetwork
from ..phase_pair import PhasePair


class Agreement(AuxiliaryTask):
    """Local correlation of the phases, warped to a random moment; fields held smooth. No head of its own.

    Correlation, not difference: what brightens or fades on the way must not be mistaken for motion, and the same step
    means the same in every contrast. Few steps, and in f alone: the whole network, pulled until the phases do agree,
    forgets what it knows of the time between them.

    Small windows and moments up to the phases themselves were chosen because there the task's gradient lies closest to
    that of the true frames: `Testing/benchmarks/alignment.py`.
    """

    smoothness = 0.2
    iterations = 6
    learning_rate = 2e-4

    def loss(self, network: InterpolationNetwork, batch: PhasePair, generator: Generator) -> Tensor:
        moment = 0.05 + 0.9 * torch.rand((), generator=generator).item()
        # Phase 0 to 1 as the first item of the batch, 1 to 0 as the second: one moment, reached from both sides.
        features = network.features(batch.phases, batch.strides)
        estimate = network.move(features, [level.flip(0) for level in features],
                                batch.phases.new_tensor([moment, 1 - moment]))
        fine = [patch > 1 for patch in patch_size(batch.strides)]  # slices that are never halved are thick
        phases = structure(batch.phases, [3 if f else 1 for f in fine])
        alike = lncc(warp(phases, estimate.to0), warp(phases.flip(0), estimate.to1),
                                  [5 if f else 3 for f in fine])
        return 1 - alike + self.smoothness * (gradient_penalty(estimate.to0) + gradient_penalty(estimate.to1))


def structure(image: Tensor, window: Sequence[int]) -> Tensor:
    """An image (batch, 1, k, j, i), each voxel the mean of the window (odd, k, j, i) about it, edge held: noise and
    speckle, which differ from phase to phase, must not be brought to agree.
    """
    pad = [n // 2 for n in reversed(window) for _ in range(2)]
    return F.avg_pool3d(F.pad(image, pad, mode="replicate"), tuple(window), stride=1)


def lncc(a: Tensor, b: Tensor, window: Sequence[int]) -> Tensor:
    """The mean of the squared correlation of two images (batch, 1, k, j, i) within windows of (k, j, i) voxels, at
    every second voxel of each plane.
    """
    window = tuple(min(n, w) for n, w in zip(a.shape[2:], window))

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool3d(x, window, stride=(1, 2, 2))

    mean_a, mean_b = mean(a), mean(b)
    variances = (mean(a * a) - mean_a * mean_a).clamp(min=0) * (mean(b * b) - mean_b * mean_b).clamp(min=0)
    return ((mean(a * b) - mean_a * mean_b).square() / (variances + 1e-5)).mean()
