"""Cross-view: three predictors of three views, each taught by what the others agree on.

Acquired slices, left out, are the truth at double spacing. Nothing is the truth of a new slice; there, each view
learns from the others where these agree. The rounds rise in resolution: spacing d (acquired slices), d / 2 (new slices
from the acquired ones), d / 4 (new slices from acquired and accepted ones).

References
----------
Fang et al., Incremental cross-view mutual distillation for self-supervised medical CT synthesis, CVPR 2022.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ...adaptation.adam import Adam
from ..network.through_plane import Estimate, Sampling, ThroughPlaneNetwork
from ..network.views import VIEWS
from ..stack import SliceStack
from .slice_task import SliceTask, patch, pointwise

# Difference of two views, of a range of 1, at which they still half agree.
AGREEMENT = 0.03
ROUNDS = 3


class CrossView(SliceTask):
    """Leave-one-out truth in every round; mutual distillation on new positions from the second round on.

    Parameters
    ----------
    mutual : bool
        False leaves out the distillation, to measure what it adds.
    """

    iterations = 45
    learning_rate = 1e-4

    def __init__(self, settings: Any = None, mutual: bool = True) -> None:
        super().__init__(settings)
        self.mutual, self.steps = mutual, 0

    def optimizer(self, network: ThroughPlaneNetwork, learning_rate: float) -> Adam:
        """Return what takes the steps; the rounds begin again."""
        self.steps = 0
        return super().optimizer(network, learning_rate)

    def loss(self, network: ThroughPlaneNetwork, batch: SliceStack, generator: Generator) -> Tensor:
        """Return the error on slices left out, and from the second round on how far the views disagree."""
        slices = patch(batch, generator)
        this_round = min(ROUNDS - 1, self.steps * ROUNDS // self.iterations)
        self.steps += 1
        loss = left_out(network, slices, batch.sampling)
        if self.mutual and this_round:
            loss = loss + distillation(network, slices, batch.sampling, this_round)
        return loss


def separate(network: ThroughPlaneNetwork, slices: Tensor, positions: Tensor, sampling: Sampling) -> Estimate:
    """Return the estimate of each view when it knows nothing of the others."""
    estimates = [network(slices[None], positions, sampling, (view,)) for view in VIEWS]
    return Estimate(estimates[0].base, torch.cat([e.residuals for e in estimates]),
                    torch.cat([e.logits for e in estimates]))


def coarser(sampling: Sampling, factor: float) -> Sampling:
    """Return the sampling of slices `factor` times as far apart, as thick as these."""
    return Sampling(sampling.ratios * factor, sampling.thickness / factor)


def left_out(network: ThroughPlaneNetwork, slices: Tensor, sampling: Sampling) -> Tensor:
    """Return the error of all views, alone and together, on every second slice."""
    given, truth = slices[::2], slices[1:-1:2] if len(slices) % 2 else slices[1::2][:len(slices[::2]) - 1]
    positions = torch.arange(len(given) - 1, device=slices.device) + 0.5
    sampling = Sampling(sampling.ratios * 2, torch.zeros_like(sampling.thickness))
    alone = separate(network, given, positions, sampling)
    together = network(given[None], positions, sampling)
    return pointwise(alone.views - truth).mean() + pointwise(together.fused - truth).mean()


def distillation(network: ThroughPlaneNetwork, slices: Tensor, sampling: Sampling, this_round: int) -> Tensor:
    """Disagreement of each view with the mean of the others on new slices, weighted by how far these agree."""
    if this_round == 2:
        slices, sampling = accepted(network, slices, sampling), coarser(sampling, 0.5)
    positions = torch.arange(len(slices) - 1, device=slices.device) + 0.5
    views = separate(network, slices, positions, sampling).views
    total = views.new_zeros(())
    for n in range(len(VIEWS)):
        others = torch.cat([views[:n], views[n + 1:]]).detach()
        weight = torch.exp(-((others[0] - others[1]) / AGREEMENT)**2)
        total = total + (weight * pointwise(views[n] - others.mean(0))).mean()
    return total / len(VIEWS)


@torch.no_grad()
def accepted(network: ThroughPlaneNetwork, slices: Tensor, sampling: Sampling) -> Tensor:
    """Return the acquired slices with one new slice, of all views together, between each two."""
    positions = torch.arange(2 * len(slices) - 1, device=slices.device) / 2
    result = network(slices[None], positions, sampling).fused[0]
    if not float(sampling.thickness):
        result[::2] = slices
    return result
