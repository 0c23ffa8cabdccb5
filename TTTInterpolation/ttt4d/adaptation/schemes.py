"""The three schemes of test-time training: naive, online, mini-batch. They differ in a few lines.

Each is a generator over the batches b_1..b_m: after the n-th `yield` the network holds the weights for b_n. Only f and
the auxiliary head g learn; h is frozen.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the section on deployment.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Generator, Tensor, nn

from ..devices import mixed_precision
from ..errors import WeightsError
from ..settings import AdaptationSettings
from ..weights.model import Model
from .task import AuxiliaryTask, Batch

StepReport = Callable[[int, int, float], None]
Numbered = Sequence[Tuple[int, Batch]]


def ignore_step(batch: int, iteration: int, loss: float) -> None:
    """Do nothing: the callback of those who do not ask for steps."""


@dataclass
class Adaptation:
    """One network on its way from the base weights w0: it takes gradient steps, and goes back.

    Parameters
    ----------
    network : nn.Module
        Holds f as `features`. It is changed in place.
    task : AuxiliaryTask
        The auxiliary task with its head g, which learns too.
    iterations : int
        Gradient steps on each batch.
    learning_rate : float
        Of these steps.
    seed : int
        Seed of the task's random draws.
    on_step : callable
        Called after every step with the number of the batch, the number of its step, and the loss before it.

    Attributes
    ----------
    losses : dict of int to list of float
        The losses of each batch.
    accepted : dict of int to bool
        For each batch, whether its steps were kept.
    held_out_losses : dict of int to tuple of float
        The held-out loss of each batch before and after its steps, that of steps that were undone too.
    """

    network: nn.Module
    task: AuxiliaryTask
    iterations: int
    learning_rate: float
    seed: int
    on_step: StepReport = ignore_step
    losses: Dict[int, List[float]] = field(default_factory=dict)
    accepted: Dict[int, bool] = field(default_factory=dict)
    held_out_losses: Dict[int, Tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.requires_grad_(False)
        self.learning = nn.ModuleList([self.task.learns(self.network), self.task]).requires_grad_(True)
        # A copy, not a reference: the published code kept a reference and so never came back to w0.
        self.w0 = copy.deepcopy(self.learning.state_dict())
        self.restart()

    @classmethod
    def of(cls, model: Model, settings: AdaptationSettings, device: torch.device, seed: int,
           on_step: StepReport = ignore_step) -> Adaptation:
        """Return the adaptation of a copy of a model's network, on a device.

        Parameters
        ----------
        model : Model
            The base weights w0; it stays as it is.
        settings : AdaptationSettings
            The task, and its iterations and learning rate where the user chooses them. Else they are those that the
            card of the weights names for the task, or the task's own.
        device : torch.device
            Where the network runs.
        seed, on_step
            As for `Adaptation`.

        Raises
        ------
        WeightsError
            The weights hold no head for the task.
        """
        check_task(model, settings)
        task = copy.deepcopy(model.tasks[settings.auxiliary]).to(device)
        best = {"iterations": task.iterations, "learning_rate": task.learning_rate,
                **model.adaptation(settings.auxiliary)}
        return cls(copy.deepcopy(model.network).to(device), task, settings.iterations or best["iterations"],
                   settings.learning_rate or best["learning_rate"], seed, on_step)

    def restart(self) -> None:
        """Go back to w0 bit for bit; the optimiser and the random draws start again too."""
        self.learning.load_state_dict(self.w0)
        self.optimizer = self.task.optimizer(self.network, self.learning_rate)
        self.generator = Generator().manual_seed(self.seed)

    def learn(self, batches: Numbered) -> None:
        """Take `iterations` passes over the batches, each step w <- w - lr * grad L_g(b).

        Afterwards the weights are restored if the task's held-out loss has not fallen by its `least_gain`, so that a
        learning rate that is too large cannot make the result worse.
        """
        before, expected = copy.deepcopy(self.learning.state_dict()), self.held_out_loss(batches)
        for _ in range(self.iterations):
            for number, batch in batches:
                self.step(number, batch)
        self.judge(batches, before, expected)

    def judge(self, batches: Numbered, before: Dict[str, Tensor], expected: float) -> None:
        """Keep the steps on some batches, or go back to the weights before them.

        Parameters
        ----------
        batches : sequence of (int, Batch)
            The batches of the steps.
        before : dict of str to Tensor
            The learning weights before the steps.
        expected : float
            The held-out loss before the steps.
        """
        reached = self.held_out_loss(batches)
        needed = max(self.task.needed_gain(batch) for _, batch in batches)
        kept = reached <= (1 - needed) * expected  # False where either is not a number
        if not kept:
            self.learning.load_state_dict(before)
            # What the optimiser remembers of these steps must not push the next batch.
            self.optimizer = self.task.optimizer(self.network, self.learning_rate)
        self.accepted.update((number, kept) for number, _ in batches)
        self.held_out_losses.update((number, (expected, reached)) for number, _ in batches)

    def state(self) -> Dict[str, Any]:
        """Return everything that further steps depend on, for `restore`."""
        return {"learning": self.learning.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state()}

    def restore(self, state: Dict[str, Any]) -> None:
        """Go on from a state; the steps after it are those that would have followed, bit for bit."""
        self.learning.load_state_dict(state["learning"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def step(self, number: int, batch: Batch) -> None:
        """Take one gradient step on a batch."""
        loss = self._of(self.task.loss, batch, self.generator)
        loss.backward()
        self.optimizer.step()
        losses = self.losses.setdefault(number, [])
        losses.append(loss.item())
        self.on_step(number, len(losses), losses[-1])

    @torch.no_grad()
    def held_out_loss(self, batches: Numbered) -> float:
        """Return the mean of the task's held-out loss over the batches.

        The draws have a fixed seed of their own and are never used for a step.
        """
        generator = Generator().manual_seed(self.seed + 1)
        losses = [self._of(self.task.held_out_loss, batch, generator) for _, batch in batches]
        return torch.stack(losses).mean().item()

    def _of(self, loss: Callable[[Any, Any, Generator], Tensor], batch: Batch, generator: Generator) -> Tensor:
        with mixed_precision(batch.device, batch.grid):
            return loss(self.network, batch, generator)


def check_task(model: Model, settings: AdaptationSettings) -> None:
    """Raise WeightsError if a model has no head for the task of the settings."""
    if settings.auxiliary not in model.tasks:
        raise WeightsError(f"These weights have no head for the task '{settings.auxiliary}': train them again, or "
                           f"choose one of {', '.join(model.tasks)}.")


def naive(adaptation: Adaptation, batches: Sequence[Batch]) -> Iterator[None]:
    """Adapt to all batches at once: w* = argmin of the sum of L_g(b_i), the same for every batch."""
    adaptation.learn(list(enumerate(batches)))
    for _ in batches:
        yield


def online(adaptation: Adaptation, batches: Sequence[Batch]) -> Iterator[None]:
    """Adapt to each batch on its own, always from w0: w_i = w0 - lr * grad L_g(b_i)."""
    for number, batch in enumerate(batches):
        adaptation.restart()
        adaptation.learn([(number, batch)])
        yield


def mini_batch(adaptation: Adaptation, batches: Sequence[Batch]) -> Iterator[None]:
    """Adapt to a stream of batches, the weights carried on: w_i = w_(i-1) - lr * grad L_g(b_i)."""
    for number, batch in enumerate(batches):
        adaptation.learn([(number, batch)])
        yield


LOOPS = {"naive": naive, "online": online, "mini-batch": mini_batch}
