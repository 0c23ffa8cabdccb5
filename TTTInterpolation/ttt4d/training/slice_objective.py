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
# Errors of classical interpolation far below this one count less, as there is little to learn from them.
EASY = 0.01


def supervised_slices(model: Model, batch: SliceBatch, generator: Generator) -> Loss:
    """The loss of the fused slices, and a little of each view's own."""
    estimate = model.network(batch.slices, batch.positions, batch.sampling, drawn_views(generator))
    loss = error_of(estimate, batch.truth)
    return loss, {"loss": loss.item()}


def error_of(estimate: Estimate, truth: Tensor) -> Tensor:
    """Error of the fused slices and of each view, each item by how hard it is for classical interpolation."""
    weight = 2 * EASY / (_charbonnier(estimate.base - truth).detach() + EASY)
    alone = torch.stack([_charbonnier(view - truth) for view in estimate.views]).mean(0)
    return (weight * (_charbonnier(estimate.fused - truth) + ALONE * alone)).mean()


def drawn_views(generator: Generator) -> Sequence[str]:
    """Some of the views."""
    weights = torch.tensor([weight for _, weight in SUBSETS])
    return SUBSETS[int(torch.multinomial(weights, 1, generator=generator))][0]


def _charbonnier(error: Tensor) -> Tensor:
    """One number an item: square within noise, absolute beyond: the mean, not the median, of what an edge may be."""
    return (error.square() + 0.03**2).sqrt().mean((1, 2, 3)) - 0.03
