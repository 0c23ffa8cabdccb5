"""What the network of the axis between slices minimises in training."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..through_plane.network.through_plane import Estimate
from ..weights.model import Model
from .objectives import Loss
from .slice_sampler import SliceBatch

# Mean squared error below which an item teaches nothing more: 45 dB.
FLOOR = 3e-5
# Weight of the confidence's own loss; only the confidence learns from it.
CONFIDENCE = 0.01


def supervised_slices(model: Model, batch: SliceBatch, generator: Generator) -> Loss:
    """Return the error of the view that a batch is for, and the likelihood of its confidence."""
    if batch.view == "coronal":
        estimate = model.network.middle_of_slab(batch.slices, batch.positions, batch.sampling)
    else:
        estimate = model.network(batch.slices, batch.positions, batch.sampling, (batch.view,))
    error = estimate.views - batch.truth
    # PSNR is a logarithm of the error: without it, hard items (wide gaps, noise) would drown thick slices, of which
    # much more can be found again.
    squared = error.square().mean(dim=(0, 2, 3, 4))
    loss = torch.log(squared + FLOOR).mean()
    return loss + CONFIDENCE * surprise(estimate, error), {"loss": loss.item()}


def surprise(estimate: Estimate, error: Tensor) -> Tensor:
    """Negative log-likelihood of an error whose inverse variance is said to be exp(confidence), less a constant.

    A softmax of these confidences over the views is then their mean weighted by inverse variance, which is the best
    mean of independent estimates.
    """
    return 0.5 * (error.detach().square() * estimate.logits.exp() - estimate.logits).mean()
