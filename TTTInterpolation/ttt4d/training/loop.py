"""Pre-training: f, h and the auxiliary heads g together, resumable, on a CPU, a GPU, or several under `torchrun`."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Protocol, Sequence

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
        """The same on a device."""


Draw = Callable[[Generator], Batch]
Objective = Callable[[Model, Any, Generator], Loss]


@dataclass(frozen=True)
class TrainingSettings:
    """steps: of Adam; its learning rate falls on a cosine from `learning_rate` over the last part `decay` of them;
    average: memory of the averaged weights.
    """

    steps: int = 6000
    learning_rate: float = 1e-3
    decay: float = 1.0
    average: float = 0.998
    seed: int = 0


class Trainer:
    """One training run; everything it needs to go on lies in its checkpoint."""

    def __init__(self, draw: Draw, objective: Objective, settings: TrainingSettings, device: torch.device,
                 checkpoint: Path, model: Model = None, inputs: Mapping[str, Any] = {}) -> None:
        """inputs: what else makes this run the one it is (its data, its start), as plain values: a checkpoint of other
        inputs is refused with SettingsError.
        """
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
        """Train to the last step; checkpoint every `save_every` seconds. Returns the averaged weights as a model."""
        saved = began = time.monotonic()
        before = self.seconds
        while self.step < self.settings.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate()
            sample = self.draw(self.generator).to(self.device)
            with mixed_precision(self.device, sample.grid):
                loss, metrics = self.objective(self.model, sample, self.generator)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._share_gradients()
            # One sample whose gradient is no number must not cost the run.
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

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / 200)
        return warm * self.settings.learning_rate * (
            0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self._decayed())))

    def _decayed(self) -> float:
        """How far the learning rate has fallen, 0 to 1."""
        decay = self.settings.decay
        return max(0.0, self.step / self.settings.steps - (1 - decay)) / decay

    def _average(self) -> None:
        memory = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.averaged.parameters(), self.modules.parameters()):
                kept.lerp_(new, 1 - memory)

    def _share_gradients(self) -> None:
        if self.world > 1:
            for parameter in self.modules.parameters():
                if parameter.grad is None:  # a part that had no turn in this step
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
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
        except Exception as error:  # of the kinds of damage each has an error of its own
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
