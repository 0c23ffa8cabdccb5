"""Learned: a loss that was trained so that descending it brings the interpolation closer to the acquired frame.

The published tasks hope that what helps to recognise or reconstruct an image also helps to interpolate it; measured, that
hope gains hundredths of a decibel. Here the hope is an objective (meta-auxiliary learning): before deployment, the head is
trained through its own descent steps on f, with the acquired in-between frame as the judge of where they lead. At deployment
it needs no label: it looks at what f makes of both phases, and says how f should change for this patient.
"""

from __future__ import annotations

from typing import Dict, List

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..network.interpolator import InterpolationNetwork, NetworkSettings
from .task import AuxiliaryTask, Batch


class Learned(AuxiliaryTask):
    """The mean square of what a small head makes of both phases and of f's features of them, level by level.

    The steps are plain gradient descent, each tensor of f at its own learned rate, held within a trust region: on an image
    unlike any seen in training a step may be wrong, but it cannot be large.
    """

    iterations = 4
    learning_rate = 1.0
    trust = 0.03

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__()
        # The phases themselves join at the finest level, so that the loss can compare features with what they stand for.
        joined = [2 * c + (2 if n == 0 else 0) for n, c in enumerate(settings.features)]
        self.enter = nn.ModuleList(nn.Conv3d(c, 16, 3, padding=1) for c in joined)
        self.leave = nn.ModuleList(nn.Conv3d(16, 8, 3, padding=1) for _ in joined)
        self.log_rates = nn.Parameter(torch.full((4 * len(settings.features),), -2.0))

    def loss(self, network: InterpolationNetwork, batch: Batch, generator: Generator) -> Tensor:
        return self.energy(network.features(batch.phases, batch.strides), batch.phases)

    def energy(self, features: List[Tensor], phases: Tensor) -> Tensor:
        """features of f, finest first, and phases (2, 1, k, j, i) of one pair -> a scalar, zero or above."""
        total = 0.0
        for n, (enter, leave, level) in enumerate(zip(self.enter, self.leave, features)):
            x = torch.cat([level, phases.to(level.dtype)], dim=1) if n == 0 else level
            # Both phases side by side in the channels, in both orders, as a batch of two: neither phase is the first.
            x = torch.cat([x, x.flip(0)], dim=1)
            total = total + leave(F.leaky_relu(enter(x), 0.1)).float().square().mean()
        return total

    def optimizer(self, network: InterpolationNetwork, learning_rate: float) -> torch.optim.Optimizer:
        return TrustedDescent(list(network.features.parameters()), self.log_rates.detach().exp().tolist(), learning_rate)

    def descended(self, parameters: Dict[str, Tensor], energy: Tensor) -> Dict[str, Tensor]:
        """The parameters of f one step further, differentiable in them and in this head: what training goes through."""
        gradients = torch.autograd.grad(energy, list(parameters.values()), create_graph=True)
        return {name: p - trusted(p, rate * g)
                for (name, p), rate, g in zip(parameters.items(), self.log_rates.exp(), gradients)}


def trusted(parameter: Tensor, step: Tensor) -> Tensor:
    """The step, shortened to a fraction of the parameter's own norm where it is longer."""
    longest = Learned.trust * (parameter.detach().norm() + 0.01)
    return step * (longest / step.norm().clamp(min=1e-12)).clamp(max=1.0)


class TrustedDescent(torch.optim.Optimizer):
    """The same steps, in place."""

    def __init__(self, parameters: List[Tensor], rates: List[float], learning_rate: float) -> None:
        super().__init__([{"params": [p], "rate": rate} for p, rate in zip(parameters, rates)], {"lr": learning_rate})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= trusted(parameter, group["lr"] * group["rate"] * parameter.grad)
