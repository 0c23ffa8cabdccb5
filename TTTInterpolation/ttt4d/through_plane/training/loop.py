"""The loop of pre-training: resumable, one file holds all it needs to go on."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

import torch
from torch import Generator, Tensor

from ..network.through_plane import Estimate, ThroughPlaneNetwork
from ..network.views import VIEWS
from .samples import Sample, Sampler


@dataclass(frozen=True)
class StageSettings:
    """steps: of Adam; learning_rate: constant, then falling on a cosine over the last `decay` of the steps."""

    steps: int
    learning_rate: float = 2e-3
    decay: float = 0.6
    average: float = 0.995
    seed: int = 0


def charbonnier(error: Tensor) -> Tensor:
    """Square for errors within noise, absolute beyond: the mean, not the median, of what an edge may be."""
    return (error.square() + 0.03**2).sqrt().mean() - 0.03


def loss_of(estimate: Estimate, truth: Tensor) -> Tensor:
    """Of the fused slices, and a little of each view alone, so that each learns to stand on its own."""
    return charbonnier(estimate.fused - truth) + 0.1 * charbonnier(estimate.views - truth)


def drawn_views(generator: Generator) -> Sequence[str]:
    """All views, or at times some of them, so that each is a predictor of its own."""
    draw = torch.rand((), generator=generator).item()
    if draw < 0.8:
        return VIEWS
    return (("coronal", "sagittal"), ("coronal",), ("axial",))[int((draw - 0.8) * 15)]


def learning_rate(settings: StageSettings, step: int) -> float:
    warm = min(1.0, (step + 1) / 100)
    part = max(0.0, step / settings.steps - (1 - settings.decay)) / settings.decay
    return warm * settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))


class StageTrainer:
    """One stage of training of a network; goes on from its checkpoint where there is one."""

    def __init__(self, network: ThroughPlaneNetwork, sampler: Sampler, settings: StageSettings, checkpoint: Path
                 ) -> None:
        self.network, self.sampler, self.settings, self.checkpoint = network, sampler, settings, checkpoint
        self.network.requires_grad_(True).train()
        self.averaged = copy.deepcopy(network)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.generator = Generator().manual_seed(settings.seed)
        self.step = 0
        if checkpoint.is_file():
            self._resume()

    def run(self, report: Callable[[int, float, float], None] = lambda step, loss, seconds: None,
            save_every: float = 60.0) -> ThroughPlaneNetwork:
        """Train to the last step; returns the averaged network."""
        saved = began = time.monotonic()
        while self.step < self.settings.steps:
            loss = self._one_step()
            report(self.step, loss, time.monotonic() - began)
            if time.monotonic() - saved > save_every or self.step == self.settings.steps:
                self._save()
                saved = time.monotonic()
        return self.averaged

    def _one_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.step)
        sample = self.sampler.draw(self.generator)
        views = drawn_views(self.generator)
        loss = loss_of(self.network(sample.slices, sample.positions, sample.sampling, views), sample.truth)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # One sample whose gradient is no number must not cost the run.
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)):
            self.optimizer.step()
            memory = min(self.settings.average, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                for kept, new in zip(self.averaged.parameters(), self.network.parameters()):
                    kept.lerp_(new, 1 - memory)
        self.step += 1
        return loss.item()

    def _save(self) -> None:
        part = self.checkpoint.with_suffix(".part")
        torch.save({"step": self.step, "network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
                    "optimizer": self.optimizer.state_dict(), "generator": self.generator.get_state()}, part)
        os.replace(part, self.checkpoint)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step = state["step"]
