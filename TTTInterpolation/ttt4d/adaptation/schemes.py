"""The three schemes of test-time training (paper, deployment): naive, online, mini-batch. They differ in these few
lines.

Each is a generator over the batches b_1..b_m: after the n-th `yield` the network holds the weights to interpolate b_n
with. Only f and the auxiliary head g learn; h is frozen.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Generator, Tensor, nn

from ..devices import mixed_precision
from ..errors import WeightsError
from ..settings import AdaptationSettings
from ..weights.model import Model
from .task import AuxiliaryTask, Batch

StepReport = Callable[[int, int, float], None]
Numbered = Sequence[Tuple[int, Batch]]


@dataclass
class Adaptation:
    """The network on its way from w0: it knows one gradient step, and the way back."""

    network: nn.Module
    task: AuxiliaryTask
    iterations: int
    learning_rate: float
    seed: int
    on_step: StepReport = lambda batch, iteration, loss: None
    losses: Dict[int, List[float]] = field(default_factory=dict)
    accepted: Dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network.requires_grad_(False)
        self.learning = nn.ModuleList([self.task.learns(self.network), self.task]).requires_grad_(True)
        # A copy, not a reference: the published code kept a reference and so never came back to w0.
        self.w0 = copy.deepcopy(self.learning.state_dict())
        self.restart()

    @classmethod
    def of(cls, model: Model, chosen: AdaptationSettings, device: torch.device, seed: int,
           on_step: StepReport = lambda batch, iteration, loss: None) -> "Adaptation":
        """Of copies of a model's network and of the task chosen, on a device; the model stays as it is.

        Raises WeightsError where the weights hold no head for the task.
        """
        if chosen.auxiliary not in model.tasks:
            raise WeightsError(f"These weights have no head for the task '{chosen.auxiliary}': train them again, or "
                               f"choose one of {', '.join(model.tasks)}.")
        task = copy.deepcopy(model.tasks[chosen.auxiliary]).to(device)
        return cls(copy.deepcopy(model.network).to(device), task, chosen.iterations or task.iterations,
                   chosen.learning_rate or task.learning_rate, seed, on_step)

    def restart(self) -> None:
        """Back to w0 bit for bit; the optimiser and the random draws start again too."""
        self.learning.load_state_dict(self.w0)
        self.optimizer = self.task.optimizer(self.network, self.learning_rate)
        self.generator = Generator().manual_seed(self.seed)

    def learn(self, batches: Numbered) -> None:
        """`iterations` passes over the batches, each step w <- w - lr * grad L_g(b).

        Taken back where the task's held-out loss did not fall: a step too long must not cost the patient's images.
        """
        before, expected = copy.deepcopy(self.learning.state_dict()), self.held_out_loss(batches)
        for _ in range(self.iterations):
            for number, batch in batches:
                self.step(number, batch)
        # False where either is not a number.
        kept = self.held_out_loss(batches) <= (1 - self.task.least_gain) * expected
        if not kept:
            self.learning.load_state_dict(before)
            # What the optimiser remembers of these steps must not push the next batch.
            self.optimizer = self.task.optimizer(self.network, self.learning_rate)
        self.accepted.update((number, kept) for number, _ in batches)

    def step(self, number: int, batch: Batch) -> None:
        loss = self._of(self.task.loss, batch, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        losses = self.losses.setdefault(number, [])
        losses.append(loss.item())
        self.on_step(number, len(losses), losses[-1])

    @torch.no_grad()
    def held_out_loss(self, batches: Numbered) -> float:
        """Mean of the task's held-out loss over the batches; its draws are the same at every call."""
        generator = Generator().manual_seed(self.seed + 1)
        losses = [self._of(self.task.held_out_loss, batch, generator) for _, batch in batches]
        return torch.stack(losses).mean().item()

    def _of(self, loss: Callable[[nn.Module, Batch, Generator], Tensor], batch: Batch, generator: Generator) -> Tensor:
        with mixed_precision(batch.device, batch.grid):
            return loss(self.network, batch, generator)


def naive(adaptation: Adaptation, batches: Sequence[Batch]) -> Iterator[None]:
    """w* = argmin of the sum of L_g over all batches; every prediction with the one w*."""
    adaptation.learn(list(enumerate(batches)))
    for _ in batches:
        yield


def online(adaptation: Adaptation, batches: Sequence[Batch]) -> Iterator[None]:
    """w_i = w0 - lr * grad L_g(b_i): each batch on its own, always from w0."""
    for number, batch in enumerate(batches):
        adaptation.restart()
        adaptation.learn([(number, batch)])
        yield


def mini_batch(adaptation: Adaptation, batches: Sequence[Batch]) -> Iterator[None]:
    """w_i = w_(i-1) - lr * grad L_g(b_i): a stream, each batch seen once, the weights carried on."""
    for number, batch in enumerate(batches):
        adaptation.learn([(number, batch)])
        yield


LOOPS = {"naive": naive, "online": online, "mini-batch": mini_batch}
