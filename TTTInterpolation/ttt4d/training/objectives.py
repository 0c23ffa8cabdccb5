"""What training minimises, stage by stage: the main task, and with the same f the auxiliary tasks that have a head.

Training both tasks on one f before deployment follows the published method [1]_. Unlike it, the main task is supervised
by acquired frames.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv 2502.02341.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import torch
from torch import Generator, Tensor

from ..motion import warping
from ..temporal.network.features import Strides, pyramid_strides
from ..temporal.network.interpolator import Estimate
from ..temporal.phase_pair import PhasePair
from ..weights.model import Model
from .augmentation import uniform
from .batches import TrainingBatch

# Weight of the auxiliary losses in the sum: f serves the main task first.
AUXILIARY_WEIGHT = 0.02

Loss = Tuple[Tensor, Dict[str, float]]


def strides_of(model: Model, batch: TrainingBatch) -> Strides:
    """Return the strides of the model's feature pyramid on the grid of a batch."""
    return pyramid_strides(batch.phase0.shape[2:], batch.spacing, model.network.levels)


def log_error(image: Tensor, truth: Tensor) -> Tensor:
    """Return the mean of ln(MSE) over a batch (batch, 1, k, j, i).

    PSNR is a logarithm of the error too. So no frame counts more because it is harder.
    """
    return torch.log((image - truth).square().mean(dim=(1, 2, 3, 4)) + 1e-5).mean()


def motion_loss(estimate: Estimate, batch: TrainingBatch) -> Tensor:
    """Compare the blend of the warped phases, without the residual, with the acquired frame; penalise gradients."""
    return (log_error(estimate.blend(batch.phase0, batch.phase1), batch.truth)
            + 0.01 * (warping.gradient_penalty(estimate.to0) + warping.gradient_penalty(estimate.to1)))


def main_loss(estimate: Estimate, batch: TrainingBatch) -> Tensor:
    """Compare the complete frame with the acquired one, and add half of the motion's loss.

    Without the second term the residual would replace motion that the fields can explain.
    """
    frame = estimate.frame(batch.phase0, batch.phase1)
    return log_error(frame, batch.unit_truth) + 0.5 * motion_loss(estimate, batch)


def motion(model: Model, batch: TrainingBatch, generator: Generator) -> Loss:
    """Return the loss of the first stage: motion and confidence only, at half the cost of the complete network.

    Parameters
    ----------
    model : Model
        The network and its auxiliary tasks.
    batch : TrainingBatch
        The batch to learn from, on the model's device.
    generator : Generator
        Source of every random number.

    Returns
    -------
    tuple of Tensor and dict
        The loss to minimise, and its parts by name as numbers.
    """
    both = model.network.features(torch.cat([batch.phase0, batch.phase1]), strides_of(model, batch))
    features0, features1 = zip(*(level.chunk(2) for level in both))
    loss = motion_loss(model.network.move(list(features0), list(features1), batch.time), batch)
    return _with_an_auxiliary_task(loss, model, batch, generator)


def supervised(model: Model, batch: TrainingBatch, generator: Generator) -> Loss:
    """Return the loss of the second stage, which trains the complete network; see `motion`."""
    loss = main_loss(model.network(batch.phase0, batch.phase1, batch.time, strides_of(model, batch)), batch)
    return _with_an_auxiliary_task(loss, model, batch, generator)


def _with_an_auxiliary_task(loss: Tensor, model: Model, batch: TrainingBatch, generator: Generator) -> Loss:
    """Add the loss of one auxiliary task, drawn at random among those that have a head to train."""
    heads = [name for name, task in model.tasks.items() if task.has_head]
    if not heads:
        return loss, {"main": loss.item()}
    name = heads[int(uniform(0, len(heads), generator))]
    extra = model.tasks[name].loss(model.network, PhasePair(batch.upright, strides_of(model, batch)), generator)
    return loss + AUXILIARY_WEIGHT * extra, {"main": loss.item(), name: extra.item()}


OBJECTIVES: Dict[str, Callable[[Model, TrainingBatch, Generator], Loss]] = {"motion": motion, "supervised": supervised}
