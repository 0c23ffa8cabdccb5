"""Cycle: interpolate both ways to virtual times, and come back from there to the acquired phases.

The unsupervised objective that UVI-Net trains with (arXiv 2404.01464), turned into a task for deployment: it acts on
the motion itself, through the frozen head h.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..network.interpolator import InterpolationNetwork, NetworkSettings
from .task import AuxiliaryTask, Batch


class Cycle(AuxiliaryTask):
    """Phase 0 lies between a frame on the way back to it and one on the way from it; so does phase 1. No head of its
    own.
    """

    iterations = 10
    learning_rate = 1e-5

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__()

    def loss(self, network: InterpolationNetwork, batch: Batch, generator: Generator) -> Tensor:
        """Charbonnier distance of both phases from what comes back."""
        there, back = (0.3 + 0.4 * torch.rand(2, generator=generator)).tolist()
        ahead, behind = batch.phases, batch.phases.flip(0)  # phase 0 to 1 as the first item, 1 to 0 as the second
        times = batch.phases.new_tensor([there, back])
        ways = network(ahead, behind, times, batch.strides).frame(ahead, behind)
        # Phase 0 is `1 - back` after the frame on the way back and `there` before the frame on the way out; phase 1
        # likewise.
        returns = batch.phases.new_tensor([(1 - back) / (1 - back + there), (1 - there) / (1 - there + back)])
        frames = network(ways.flip(0), ways, returns, batch.strides).frame(ways.flip(0), ways)
        return ((frames - batch.phases).square() + 1e-6).sqrt().mean()
