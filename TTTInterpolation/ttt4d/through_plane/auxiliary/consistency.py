"""Consistency (thick slices only): the result, seen through the slice profile, is what was acquired."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from .. import classical
from ..network.through_plane import ThroughPlaneNetwork
from ..profile import projection_matrix
from ..stack import SliceStack
from .slice_task import SliceTask, patch, pointwise

# Slices looked for between two acquired ones, at most: more cost time and say nothing new.
FINEST = 4


class Consistency(SliceTask):
    """Compare the projection of the computed slices with the acquired ones, on random patches."""

    learning_rate = 1e-4

    def loss(self, network: ThroughPlaneNetwork, batch: SliceStack, generator: Generator) -> Tensor:
        """Return the error of the computed slices, seen through the slice profile, on a random patch."""
        slices = patch(batch, generator)
        factor = max(2, min(FINEST, round(batch.spacing / batch.target)))
        count = len(slices)
        positions = torch.arange((count - 1) * factor + 1, device=slices.device) / factor
        estimate = network(slices[None], positions, batch.sampling)
        matrix = projection_matrix(positions, torch.arange(float(count), device=slices.device),
                                   batch.thickness / batch.spacing)
        error = classical.apply(matrix, estimate.fused[0]) - slices
        return pointwise(error[1:-1] if count > 2 else error).mean()  # the profile of the outer slices is cut off
