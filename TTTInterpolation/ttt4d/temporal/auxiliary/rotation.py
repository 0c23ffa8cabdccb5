"""Rotation: tell by how many quarter turns about the slice axis the image was turned.

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the auxiliary task rotation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...adaptation.task import AuxiliaryTask
from ..network.interpolator import InterpolationNetwork, NetworkSettings
from ..phase_pair import PhasePair

# Voxels: squares of this edge or less are taken whole.
SMALLEST_SQUARE = 65


class Rotation(AuxiliaryTask):
    """Classifies 0, 90, 180 or 270 degrees; the loss is the cross-entropy over both phases, each turned at random."""

    iterations = 20
    learning_rate = 5e-5

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__(settings)
        self.convolutions = nn.Sequential(
            nn.Conv3d(settings.features[-1], 32, 3, padding=1), nn.LeakyReLU(0.1),
            nn.Conv3d(32, 32, 3, padding=1), nn.LeakyReLU(0.1))
        # A fixed grid of averages, whatever the size of the volume; the quarters of the plane must stay apart.
        self.classifier = nn.Sequential(nn.Linear(32 * 16, 64), nn.LeakyReLU(0.1), nn.Linear(64, 4))

    def loss(self, network: InterpolationNetwork, batch: PhasePair, generator: Generator) -> Tensor:
        """Return the cross-entropy of both phases; see `AuxiliaryTask.loss`."""
        square = square_from_anywhere(batch, generator)
        turns = torch.randint(4, (len(square),), generator=generator)
        turned = torch.stack([torch.rot90(x, int(n), (2, 3)) for x, n in zip(square, turns)])
        x = self.convolutions(network.features(turned, batch.strides)[-1])
        scores = self.classifier(F.adaptive_avg_pool3d(x, (1, 4, 4)).flatten(1))
        return F.cross_entropy(scores.float(), turns.to(scores.device))


def square_from_anywhere(batch: PhasePair, generator: Generator) -> Tensor:
    """Return the phases (2, 1, k, edge, edge) in a random square, two thirds of the slices wide.

    A step learns as much from it, at half the cost.
    """
    size = list(batch.phases.shape[3:])
    edge = max(min(*size, SMALLEST_SQUARE), -(-2 * min(size) // 3))
    j, i = (int(torch.randint(n - edge + 1, (), generator=generator)) for n in size)
    return batch.phases[..., j:j + edge, i:i + edge]
