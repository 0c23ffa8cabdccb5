"""What training minimises: first the main task with the published auxiliary tasks, then adaptation itself."""

from __future__ import annotations

from typing import Dict, List, Tuple

import torch
from torch import Generator, Tensor
from torch.func import functional_call

from .. import sampling
from ..auxiliary.task import Batch
from ..network.features import Strides, pyramid_strides
from ..network.interpolator import Estimate
from ..weights import Model
from .disguises import disguised
from .draws import uniform
from .samples import Sample

# Of the auxiliary losses in the sum: f serves the main task first.
AUXILIARY_WEIGHT = 0.02
PUBLISHED = ("rotation", "reconstruction")

Loss = Tuple[Tensor, Dict[str, float]]


def strides_of(model: Model, sample: Sample) -> Strides:
    return pyramid_strides(sample.phase0.shape[2:], sample.spacing, len(model.network.settings.features))


def log_error(image: Tensor, truth: Tensor) -> Tensor:
    """Mean over the batch of ln(MSE): what PSNR measures, so that no frame counts more for being harder."""
    return torch.log((image - truth).square().mean(dim=(1, 2, 3, 4)) + 1e-5).mean()


def motion_loss(estimate: Estimate, sample: Sample) -> Tensor:
    """Supervised by the acquired frame: the blend of the warped phases alone."""
    return (log_error(estimate.blend(sample.phase0, sample.phase1), sample.truth)
            + 0.01 * (sampling.roughness(estimate.to0) + sampling.roughness(estimate.to1)))


def main_loss(estimate: Estimate, sample: Sample) -> Tensor:
    """The whole frame, and half of the blend alone, so that the motion goes on carrying what is motion."""
    return log_error(estimate.frame(sample.phase0, sample.phase1), sample.truth) + 0.5 * motion_loss(estimate, sample)


def motion(model: Model, sample: Sample, generator: Generator) -> Loss:
    """The first stage: motion and confidence, at half the cost of the whole."""
    both = model.network.features(torch.cat([sample.phase0, sample.phase1]), strides_of(model, sample))
    features0, features1 = zip(*(level.chunk(2) for level in both))
    loss = motion_loss(model.network.move(list(features0), list(features1), sample.time), sample)
    return _with_published_tasks(loss, model, sample, generator)


def supervised(model: Model, sample: Sample, generator: Generator) -> Loss:
    """The second stage: the whole network."""
    loss = main_loss(model.network(sample.phase0, sample.phase1, sample.time, strides_of(model, sample)), sample)
    return _with_published_tasks(loss, model, sample, generator)


def _with_published_tasks(loss: Tensor, model: Model, sample: Sample, generator: Generator) -> Loss:
    """The published auxiliary tasks learn beside the main task, in the same f."""
    name = PUBLISHED[int(uniform(0, len(PUBLISHED), generator))]
    extra = model.tasks[name].loss(model.network, Batch(sample.upright, strides_of(model, sample)), generator)
    return loss + AUXILIARY_WEIGHT * extra, {"main": loss.item(), name: extra.item()}


def adapted(model: Model, sample: Sample, generator: Generator) -> Loss:
    """The main task before and after the descent of the learned task, which is differentiated through.

    sample: several times of one pair. Half the draws of what is adapted to are disguised as another scanner's;
    the base weights see only what was acquired.
    """
    strides, f = strides_of(model, sample), dict(model.network.features.named_parameters())
    base = main_loss(_estimate(model, f, sample, strides), sample)
    target = disguised(sample, generator) if uniform(0, 1, generator) < 0.5 else sample
    task = model.tasks["learned"]
    phases = torch.cat([target.phase0[:1], target.phase1[:1]])
    for _ in range(task.iterations):
        f = task.descended(f, task.energy(functional_call(model.network.features, f, (phases, strides)), phases))
    after = main_loss(_estimate(model, f, target, strides), target)
    name = "adapted" if target is sample else "disguised"
    return base + after, {"base": base.item(), name: after.item(), **({"gain": (base - after).item()} if target is sample else {})}


def _estimate(model: Model, f: Dict[str, Tensor], sample: Sample, strides: Strides) -> Estimate:
    """For a sample of one pair at several times: f sees the pair once."""
    count = len(sample.time)
    both = functional_call(model.network.features, f, (torch.cat([sample.phase0[:1], sample.phase1[:1]]), strides))
    features0: List[Tensor] = [level[:1].expand(count, -1, -1, -1, -1) for level in both]
    features1: List[Tensor] = [level[1:].expand(count, -1, -1, -1, -1) for level in both]
    return model.network.estimate(sample.phase0, sample.phase1, features0, features1, sample.time)


OBJECTIVES = {"motion": motion, "supervised": supervised, "adapted": adapted}
