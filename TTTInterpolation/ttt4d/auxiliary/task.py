"""What every auxiliary task g is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from ..network.features import Strides
from ..network.interpolator import InterpolationNetwork


@dataclass(frozen=True)
class Batch:
    """What one step of adaptation sees: the phases of one pair on the canvas, without any label.

    phases: (2, 1, k, j, i) in [0, 1], in order of time; strides: of the pyramid on this canvas.
    """

    phases: Tensor
    strides: Strides


class AuxiliaryTask(nn.Module):
    """A self-supervised task: a loss on unlabelled phases, and the parameters of its own head, if it has one.

    A new task is one file with a subclass, and one entry in `ttt4d.auxiliary.TASKS`. Without a head it works with any
    weights; a head is trained by `ttt4d train`, beside the main task.
    iterations, learning_rate: of its adaptation, where the user does not choose; measured, see the README.
    """

    iterations: int
    learning_rate: float

    @property
    def has_head(self) -> bool:
        """Whether it has parameters of its own, which training must learn and weights must bring."""
        return next(self.parameters(), None) is not None

    def loss(self, network: InterpolationNetwork, batch: Batch, generator: Generator) -> Tensor:
        """L_g of one batch, a scalar. Differentiable in f (`network.features`) and in this head; h is frozen by the
        caller.
        """
        raise NotImplementedError

    def optimizer(self, network: InterpolationNetwork, learning_rate: float) -> torch.optim.Optimizer:
        """What takes the steps: over f and this head."""
        return torch.optim.Adam([*network.features.parameters(), *self.parameters()], lr=learning_rate)
