"""What the network of the axis between slices minimises in training."""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Generator, Tensor

from ..through_plane.network.through_plane import Estimate
from ..through_plane.network.views import CUTS, VIEWS
from ..weights.model import Model
from .objectives import Loss
from .slice_sampler import SliceBatch

# Which views see a batch, and how often: mostly the cuts, whose mean is the default, and each view as a predictor of
# its own, for the tasks that need one.
SUBSETS = ((CUTS, 0.75), (VIEWS, 0.08), (CUTS[:1], 0.10), (("axial",), 0.07))
# Share of each view alone in the loss of a batch that several see.
ALONE = 0.1
# Errors up to about this part of the range count squared, larger ones absolute. With a smaller one the network learns
# medians, which at an edge that may lie here or there is too little of a step: 0.3 dB lower for thick slices.
SQUARED = 0.2


def supervised_slices(model: Model, batch: SliceBatch, generator: Generator) -> Loss:
    """Return the loss of the fused slices, and a little of each view's own."""
    estimate = model.network(batch.slices, batch.positions, batch.sampling, drawn_views(generator))
    loss = error_of(estimate, batch.truth)
    return loss, {"loss": loss.item()}


def error_of(estimate: Estimate, truth: Tensor) -> Tensor:
    """Return the error of the fused slices, and a little of each view's."""
    return _charbonnier(estimate.fused - truth) + ALONE * _charbonnier(estimate.views - truth)


def drawn_views(generator: Generator) -> Sequence[str]:
    """Draw some of the views."""
    weights = torch.tensor([weight for _, weight in SUBSETS])
    return SUBSETS[int(torch.multinomial(weights, 1, generator=generator))][0]


def _charbonnier(error: Tensor) -> Tensor:
    return (error.square() + SQUARED**2).sqrt().mean() - SQUARED
