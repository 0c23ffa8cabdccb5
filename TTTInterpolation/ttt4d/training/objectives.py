"""What training minimises, stage by stage: the main task, and in the same f the auxiliary tasks with a head."""

from __future__ import annotations

from typing import Dict, Tuple

import torch
from torch import Generator, Tensor

from ..motion import warping
from ..temporal.network.features import Strides, pyramid_strides
from ..temporal.network.interpolator import Estimate
from ..temporal.phase_pair import PhasePair
from ..weights.model import Model
from .augmentation import uniform
from .batches import TrainingBatch

# Of the auxiliary losses in the sum: f serves the main task first.
AUXILIARY_WEIGHT = 0.02

Loss = Tuple[Tensor, Dict[str, float]]


def strides_of(model: Model, sample: TrainingBatch) -> Strides:
    return pyramid_strides(sample.phase0.shape[2:], sample.spacing, len(model.network.settings.features))


def log_error(image: Tensor, truth: Tensor) -> Tensor:
    """Mean over the batch of ln(MSE): what PSNR measures, so that no frame counts more for being harder."""
    return torch.log((image - truth).square().mean(dim=(1, 2, 3, 4)) + 1e-5).mean()


def motion_loss(estimate: Estimate, sample: TrainingBatch) -> Tensor:
    """Supervised by the acquired frame: the blend of the warped phases alone."""
    return (log_error(estimate.blend(sample.phase0, sample.phase1), sample.truth)
            + 0.01 * (warping.gradient_penalty(estimate.to0) + warping.gradient_penalty(estimate.to1)))


def main_loss(estimate: Estimate, sample: TrainingBatch) -> Tensor:
    """The whole frame as it will be measured, and half of the blend alone, so that the motion goes on carrying what is
    motion.
    """
    frame = estimate.frame(sample.phase0, sample.phase1)
    return log_error(frame, sample.measured) + 0.5 * motion_loss(estimate, sample)


def motion(model: Model, sample: TrainingBatch, generator: Generator) -> Loss:
    """The first stage: motion and confidence, at half the cost of the whole."""
    both = model.network.features(torch.cat([sample.phase0, sample.phase1]), strides_of(model, sample))
    features0, features1 = zip(*(level.chunk(2) for level in both))
    loss = motion_loss(model.network.move(list(features0), list(features1), sample.time), sample)
    return _with_an_auxiliary_task(loss, model, sample, generator)


def supervised(model: Model, sample: TrainingBatch, generator: Generator) -> Loss:
    """The second stage: the whole network."""
    loss = main_loss(model.network(sample.phase0, sample.phase1, sample.time, strides_of(model, sample)), sample)
    return _with_an_auxiliary_task(loss, model, sample, generator)


def _with_an_auxiliary_task(loss: Tensor, model: Model, sample: TrainingBatch, generator: Generator) -> Loss:
    """The auxiliary tasks that have a head learn it beside the main task, in the same f, one drawn a step."""
    heads = [name for name, task in model.tasks.items() if task.has_head]
    name = heads[int(uniform(0, len(heads), generator))]
    extra = model.tasks[name].loss(model.network, PhasePair(sample.upright, strides_of(model, sample)), generator)
    return loss + AUXILIARY_WEIGHT * extra, {"main": loss.item(), name: extra.item()}


OBJECTIVES = {"motion": motion, "supervised": supervised}
