"""The interface of the auxiliary tasks g, the same on both axes.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the section on auxiliary tasks.
"""

from __future__ import annotations

from typing import Any, Protocol, Sequence

import torch
from torch import Generator, Tensor, nn

from .adam import Adam


class Batch(Protocol):
    """What one step of adaptation sees of the patient, without any label. Each axis has its own."""

    @property
    def device(self) -> torch.device:
        """Device of its tensors."""

    @property
    def grid(self) -> Sequence[int]:
        """Size of the grid that the network's convolutions run on."""


class AuxiliaryTask(nn.Module):
    """A self-supervised task: a loss on the unlabelled images, and the parameters of its own head, if it has one.

    A new task is one file with a subclass and one entry in the `TASKS` of its axis, such as `ttt4d.temporal.auxiliary`.
    A subclass sets `iterations` and `learning_rate` and defines `loss`. A task without a head works with any weights. A
    head takes its shape from the network's settings and is trained by `ttt4d train`, beside the main task.

    Parameters
    ----------
    settings : object
        The settings of the network that the task adapts, such as `NetworkSettings`.

    Attributes
    ----------
    iterations : int
        Gradient steps of one adaptation where the user does not choose.
    learning_rate : float
        Learning rate of these steps where the user does not choose.
    least_gain : float
        Part of the held-out loss by which an adaptation must lower it at least, or it is taken back.
    """

    iterations: int
    learning_rate: float
    least_gain = 0.0

    def __init__(self, settings: Any = None) -> None:
        super().__init__()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in ("iterations", "learning_rate"):
            if not hasattr(cls, name):
                raise TypeError(f"The auxiliary task {cls.__name__} has no {name}: set it in the class.")

    @property
    def has_head(self) -> bool:
        """Whether it has parameters of its own, which training must learn and a weights file must hold."""
        return next(self.parameters(), None) is not None

    def loss(self, network: Any, batch: Any, generator: Generator) -> Tensor:
        """Return the auxiliary loss L_g of one batch.

        Parameters
        ----------
        network : nn.Module
            The network of the axis; all of it but f (`network.features`) is frozen by the caller.
        batch : Batch
            What the axis adapts to.
        generator : Generator
            Source of every random number.

        Returns
        -------
        Tensor
            A scalar, differentiable in f and in this head.
        """
        raise NotImplementedError

    def needed_gain(self, batch: Any) -> float:
        """Return the part of the held-out loss of a batch by which an adaptation must lower it, or it is undone."""
        return self.least_gain

    def held_out_loss(self, network: Any, batch: Any, generator: Generator) -> Tensor:
        """Return the loss, a scalar, that an adaptation has to lower; otherwise its steps are undone.

        Here it is the mean auxiliary loss over four random draws.
        """
        return torch.stack([self.loss(network, batch, generator) for _ in range(4)]).mean()

    def learns(self, network: Any) -> nn.Module:
        """Return the part of the network that learns: f."""
        return network.features

    def optimizer(self, network: Any, learning_rate: float) -> Adam:
        """Return the optimiser that takes the steps: Adam over the part that learns and this head."""
        return Adam([*self.learns(network).parameters(), *self.parameters()], learning_rate)
