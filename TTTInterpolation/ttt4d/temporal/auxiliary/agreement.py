"""Agreement (LNCC consistency): both phases, warped to one time, should show the same tissue.

The task acts on the motion itself, through the frozen head h: f learns to extract from the images of this patient the
features that h can follow. It is not one of the published tasks.

References
----------
.. [1] Balakrishnan et al., "VoxelMorph: A Learning Framework for Deformable Medical Image Registration", IEEE TMI 2019,
   arXiv:1809.05231: local normalised cross-correlation (LNCC) and the penalty on the gradient of the field.
"""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...adaptation.task import AuxiliaryTask
from ...motion.warping import gradient_penalty, warp
from ..network.features import patch_size
from ..network.interpolator import InterpolationNetwork
from ..phase_pair import PhasePair

# Power of the difference by which one box is drawn more often than another.
PREFERENCE = 6


class Agreement(AuxiliaryTask):
    """Squared LNCC of the two phases, warped to a random time, with a penalty on rough fields. It has no head.

    Correlation is used rather than intensity difference because it ignores brightness changes between the phases and
    does not depend on contrast. Only f is trained, for few steps: training the whole network until the phases match
    makes it forget the motion at intermediate times.

    Small windows, and times up to the phases themselves, were chosen because there the gradient of the task is closest
    to that of the true frames: see `Testing/benchmarks/alignment.py`.
    """

    smoothness = 0.2
    iterations = 2
    learning_rate = 3e-4
    # Time of the held-out loss; it is reached from both phases, so 1 - time counts too.
    evidence = 0.35

    def loss(self, network: InterpolationNetwork, batch: PhasePair, generator: Generator) -> Tensor:
        """Return 1 - LNCC and the penalty; see `AuxiliaryTask.loss`."""
        moment = 0.05 + 0.9 * torch.rand((), generator=generator).item()
        return self.disagreement(network, where_they_differ(batch, generator), moment)

    def held_out_loss(self, network: InterpolationNetwork, batch: PhasePair, generator: Generator) -> Tensor:
        """Return the loss at a fixed time and place; see `AuxiliaryTask.held_out_loss`."""
        return self.disagreement(network, where_they_differ(batch), self.evidence)

    def disagreement(self, network: InterpolationNetwork, batch: PhasePair, moment: float) -> Tensor:
        """Return 1 - LNCC and the penalty at one moment, which is reached from both phases."""
        features = network.features(batch.phases, batch.strides)
        # Phase 0 to 1 as the first item of the batch, 1 to 0 as the second.
        estimate = network.move(features, [level.flip(0) for level in features],
                                batch.phases.new_tensor([moment, 1 - moment]))
        fine = [patch > 1 for patch in patch_size(batch.strides)]  # slices that are never halved are thick
        phases = structure(batch.phases, [3 if f else 1 for f in fine])
        alike = lncc(warp(phases, estimate.to0), warp(phases.flip(0), estimate.to1), [5 if f else 3 for f in fine])
        return 1 - alike + self.smoothness * (gradient_penalty(estimate.to0) + gradient_penalty(estimate.to1))


def where_they_differ(batch: PhasePair, generator: Optional[Generator] = None) -> PhasePair:
    """Return the pair in a box in which its phases differ, two thirds as wide along every axis that f halves.

    Where they are alike there is little motion to learn from, at the same cost.

    Parameters
    ----------
    batch : PhasePair
        The whole pair.
    generator : Generator, optional
        Draws the box: the more its phases differ, the more often, so that the network learns all of the motion. By
        default it is the box in which they differ most.
    """
    patch, size = patch_size(batch.strides), batch.grid
    box = [n if p == 1 else -(-2 * (n - 1) // (3 * p)) * p + 1 for n, p in zip(size, patch)]
    difference = F.avg_pool3d((batch.phases[1:] - batch.phases[:1]).abs(), box, stride=patch)[0, 0].cpu()
    if generator is None or not difference.any():
        drawn = int(difference.argmax())
    else:
        chances = (difference / difference.max()).flatten()**PREFERENCE
        drawn = int(torch.multinomial(chances, 1, generator=generator))
    corner = [n * p for n, p in zip(np.unravel_index(drawn, difference.shape), patch)]
    k, j, i = (slice(n, n + width) for n, width in zip(corner, box))
    return PhasePair(batch.phases[:, :, k, j, i], batch.strides)


def structure(image: Tensor, window: Sequence[int]) -> Tensor:
    """Return an image (batch, 1, k, j, i) smoothed by the mean in a window of (k, j, i) voxels, all odd.

    Noise and speckle differ from phase to phase: the task must not try to make them agree.
    """
    pad = [n // 2 for n in reversed(window) for _ in range(2)]
    return F.avg_pool3d(F.pad(image, pad, mode="replicate"), tuple(window), stride=1)


def lncc(a: Tensor, b: Tensor, window: Sequence[int]) -> Tensor:
    """Return the mean squared local normalised cross-correlation of two images (batch, 1, k, j, i).

    The windows have (k, j, i) voxels, and there is one for every second voxel of each plane.
    """
    window = [min(n, w) for n, w in zip(a.shape[2:], window)]

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool3d(x, window, stride=(1, 2, 2))

    mean_a, mean_b = mean(a), mean(b)
    variances = (mean(a * a) - mean_a * mean_a).clamp(min=0) * (mean(b * b) - mean_b * mean_b).clamp(min=0)
    return ((mean(a * b) - mean_a * mean_b).square() / (variances + 1e-5)).mean()
