"""The training loop: f, h and the auxiliary heads g together, resumable, on a CPU or on GPUs (`torchrun`)."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, Sequence

import torch
import torch.distributed as distributed
from torch import Generator, nn

from ..devices import mixed_precision
from ..errors import InputError, SettingsError
from ..images.output_paths import writing
from ..temporal.models import new_model
from ..weights.model import Model
from .objectives import Loss


class Batch(Protocol):
    """What a sampler of either axis draws."""

    @property
    def grid(self) -> Sequence[int]:
        """Size of the grid that the network's convolutions run on."""

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on a device."""


Draw = Callable[[Generator], Batch]
Objective = Callable[[Model, Any, Generator], Loss]


def mixed(usual: Draw, other: Draw, part: float) -> Draw:
    """Return a sampler that draws a given part of its batches, at random, from another one."""
    return lambda generator: (other if torch.rand((), generator=generator).item() < part else usual)(generator)


@dataclass(frozen=True)
class TrainingSettings:
    """What one training run does.

    Parameters
    ----------
    steps : int
        Steps of Adam. The learning rate rises over the first 200 steps.
    learning_rate : float
        The highest learning rate.
    average : float
        Decay of the exponential moving average of the weights, which is the result.
    seed : int
        Seed of every random number of the run.
    decay : float
        Part of the steps, the last ones, in which the learning rate falls along a cosine.
    """

    steps: int = 6000
    learning_rate: float = 1e-3
    decay: float = 1.0
    average: float = 0.998
    seed: int = 0


def learning_rate_at(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of a step: warm-up, then at the end a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / 200)
    fallen = max(0.0, step / settings.steps - (1 - settings.decay)) / settings.decay
    return warm * settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fallen)))


class Trainer:
    """One training run. It continues from its checkpoint if there is one.

    Parameters
    ----------
    draw : callable
        `draw(generator)` returns a `TrainingBatch`.
    objective : callable
        One of `ttt4d.training.objectives.OBJECTIVES`.
    settings : TrainingSettings
        What the run does.
    device : torch.device
        Where the run takes place.
    checkpoint : Path
        The file in which the state of the run is kept.
    model : Model, optional
        The model to start from; fresh weights by default.
    inputs : mapping
        What else identifies the run, such as its data, as plain values.

    Raises
    ------
    InputError
        If the checkpoint is damaged or may not be opened.
    SettingsError
        If the checkpoint is of another run.
    """

    def __init__(self, draw: Draw, objective: Objective, settings: TrainingSettings, device: torch.device,
                 checkpoint: Path, model: Optional[Model] = None, inputs: Mapping[str, Any] = {}) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.world > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        torch.manual_seed(settings.seed)
        self.draw, self.objective, self.settings, self.inputs = draw, objective, settings, dict(inputs)
        self.device, self.checkpoint = device, checkpoint
        self.model = model or new_model()
        self.modules = self.model.modules.to(device)
        self.modules.requires_grad_(True).train()
        self.averaged = copy.deepcopy(self.modules)
        self.optimizer = torch.optim.Adam(self.modules.parameters(), lr=settings.learning_rate)
        self.generator = Generator().manual_seed(settings.seed + 1000 * self.rank)
        self.step, self.seconds = 0, 0.0
        if checkpoint.is_file():
            self._resume()

    def run(self, report: Callable[[int, Dict[str, float]], None] = lambda step, losses: None,
            save_every: float = 120.0) -> Model:
        """Train to the last step.

        Parameters
        ----------
        report : callable
            Called after each step with its number and the parts of the loss by name, and `seconds`.
        save_every : float
            Seconds between checkpoints.

        Returns
        -------
        Model
            The model with the averaged weights.

        Raises
        ------
        OutputError
            If the checkpoint cannot be written.
        """
        saved = began = time.monotonic()
        before = self.seconds
        while self.step < self.settings.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(self.step, self.settings)
            batch = self.draw(self.generator).to(self.device)
            with mixed_precision(self.device, batch.grid):
                loss, metrics = self.objective(self.model, batch, self.generator)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._share_gradients()
            # A batch whose gradient is not finite must not end the run.
            if torch.isfinite(nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)):
                self.optimizer.step()
                self._average()
            self.step += 1
            self.seconds = before + time.monotonic() - began
            report(self.step, {**metrics, "seconds": self.seconds})
            if time.monotonic() - saved > save_every or self.step == self.settings.steps:
                self.save()
                saved = time.monotonic()
        self.modules.load_state_dict(self.averaged.state_dict())
        return self.model

    def _average(self) -> None:
        """Update the moving average of the weights; at the start it forgets faster."""
        memory = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.averaged.parameters(), self.modules.parameters()):
                kept.lerp_(new, 1 - memory)

    def _share_gradients(self) -> None:
        if self.world > 1:
            for parameter in self.modules.parameters():
                if parameter.grad is None:  # a part that was not used in this step
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world

    def save(self) -> None:
        """Write the checkpoint, completely or not at all. Raises OutputError if it cannot be written."""
        if self.rank:
            return
        state: Dict[str, Any] = {
            "run": self._identity(), "step": self.step, "seconds": self.seconds, "modules": self.modules.state_dict(),
            "averaged": self.averaged.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state()}
        temporary = self.checkpoint.with_suffix(".part")
        with writing(str(self.checkpoint)):
            torch.save(state, temporary)
            os.replace(temporary, self.checkpoint)

    def _resume(self) -> None:
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            run = state["run"]
        except PermissionError as error:
            raise InputError(f"The checkpoint {self.checkpoint.name} may not be opened: change its permissions."
                             ) from error
        except MemoryError:
            raise
        except Exception as error:  # each kind of damage raises another kind of error
            raise InputError(f"The checkpoint {self.checkpoint.name} is damaged: remove it to begin anew.") from error
        if run != self._identity():
            raise SettingsError(
                f"The checkpoint {self.checkpoint.name} is of another run: remove it, or choose another output.")
        self.modules.load_state_dict(state["modules"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        if self.rank:
            self.generator.manual_seed(self.settings.seed + 1000 * self.rank + self.step)
        else:
            self.generator.set_state(state["generator"].cpu())

    def _identity(self) -> Dict[str, Any]:
        return {"objective": self.objective.__name__, **asdict(self.settings), **self.inputs}
