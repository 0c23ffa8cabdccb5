"""The whole network: views of the acquired slices -> features of every voxel -> values at any position between them.

Convolutions see the acquired slices only, so their cost does not depend on the factor. All of them are free of biases
and the first ones sum to zero: twice the contrast gives twice the correction, and a shift of all intensities changes
nothing.

References
----------
Chen, Liu and Wang, Learning continuous image representation with local implicit image function, CVPR 2021.
Fang et al., Incremental cross-view mutual distillation for self-supervised medical CT synthesis, CVPR 2022.
Mohan et al., Robust and interpretable blind image denoising via bias-free convolutional neural networks, ICLR 2020.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import classical
from .views import CUTS, from_images, to_images, with_neighbours

# Differences of neighbouring voxels are small against the [0, 1] of the images: brought to order 1.
CONTRAST = 4.0


@dataclass(frozen=True)
class NetworkSettings:
    """channels of the features, blocks of two convolutions a view, hidden width of the decoder."""

    channels: int = 32
    blocks: int = 3
    hidden: int = 32

    def to_json(self) -> Dict[str, int]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Dict[str, Any]) -> "NetworkSettings":
        return cls(**values)


@dataclass(frozen=True)
class Sampling:
    """How the slices of a batch were taken.

    ratios : (batch, 2), slice spacing over the spacing of (rows j, columns i).
    thickness : (batch,), slice thickness over slice spacing; 0 where the result shall be as thick as the slices (gap).
    """

    ratios: Tensor
    thickness: Tensor

    def conditions(self, view: str) -> Tensor:
        """(batch, 2): what a view's layers are told, of order 1."""
        logarithm = self.ratios.log()
        ratio = {"coronal": logarithm[:, 1], "sagittal": logarithm[:, 0], "axial": logarithm.mean(1)}[view]
        return torch.stack([ratio - 1.0, self.thickness], dim=1)


@dataclass(frozen=True)
class Estimate:
    """What the views say of the slices looked for, in their order in `views`.

    base : (batch, n, j, i), classical interpolation; residuals, logits : (view, batch, n, j, i).
    """

    base: Tensor
    residuals: Tensor
    logits: Tensor

    @property
    def fused(self) -> Tensor:
        """The views' mean, weighted by their confidence: (batch, n, j, i)."""
        return self.base + (self.logits.softmax(0) * self.residuals).sum(0)

    @property
    def views(self) -> Tensor:
        """Each view on its own: (view, batch, n, j, i)."""
        return self.base + self.residuals


class Block(nn.Module):
    """Two convolutions around a ReLU, added to their input; the second looks twice as far within the slices."""

    def __init__(self, channels: int, axial: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        reach = (2, 2) if axial else (1, 2)
        self.second = nn.Conv2d(channels, channels, 3, padding=reach, dilation=reach, bias=False)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        with torch.no_grad():
            self.second.weight.mul_(0.3)

    def forward(self, images: Tensor, scale: Tensor) -> Tensor:
        """images (n, channel, row, column); scale (n, channel, 1, 1), from the conditions."""
        return images + self.second((self.first(images) * scale).relu_())


class Encoder(nn.Module):
    """The convolutions of one kind of view."""

    def __init__(self, settings: NetworkSettings, axial: bool) -> None:
        super().__init__()
        channels = settings.channels
        self.head = nn.Conv2d(3, channels, 3, bias=False)
        self.blocks = nn.ModuleList(Block(channels, axial) for _ in range(settings.blocks))
        self.exchange = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(settings.blocks - 1))
        self.scales = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, channels * settings.blocks))
        nn.init.zeros_(self.scales[-1].weight)
        nn.init.ones_(self.scales[-1].bias)

    def enter(self, volume: Tensor, view: str) -> Tensor:
        """(batch, k, j, i) -> features of its contrast (batch, k, j, i, channel)."""
        images = to_images(with_neighbours(volume, view), view)
        weight = self.head.weight - self.head.weight.mean((1, 2, 3), keepdim=True)
        images = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate").contiguous(
            memory_format=torch.channels_last), weight)
        return from_images(images, view, len(volume))

    def block(self, number: int, features: Tensor, view: str, conditions: Tensor) -> Tensor:
        """One block, on features (batch, k, j, i, channel)."""
        batch, channels = len(features), features.shape[-1]
        images = to_images(features, view)
        scale = self.scales(conditions)[:, number * channels:(number + 1) * channels]
        scale = scale.repeat_interleave(len(images) // batch, 0)[..., None, None]
        return from_images(self.blocks[number](images, scale), view, batch)


class Decoder(nn.Module):
    """Read the features of the two neighbouring slices at a position between them: a residual and a confidence."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.below = nn.Linear(settings.channels, hidden, bias=False)
        self.above = nn.Linear(settings.channels, hidden, bias=False)
        self.mix = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, 2, bias=False)
        self.scales = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 3 * hidden))
        nn.init.zeros_(self.out.weight)
        nn.init.normal_(self.scales[-1].weight, std=0.1)
        nn.init.ones_(self.scales[-1].bias)

    def project(self, features: Tensor) -> Tuple[Tensor, Tensor]:
        """What a slice tells of the positions above it, and of those below it: two (batch, k, j, i, hidden)."""
        return self.below(features), self.above(features)

    def forward(self, projected: Tuple[Tensor, Tensor], lower: Tensor, fraction: Tensor, conditions: Tensor) -> Tensor:
        """Residual and confidence (batch, n, j, i, 2) at `lower` and `fraction` (n,), from what `project` returns."""
        batch, count = len(conditions), len(fraction)
        t = fraction.view(1, -1, 1).expand(batch, -1, 1)
        told = torch.cat([t, 1 - t, 4 * t * (1 - t), conditions[:, None].expand(-1, count, -1)], dim=-1)
        below_scale, above_scale, mix_scale = self.scales(told)[:, :, None, None].chunk(3, dim=-1)
        below, above = projected[0].index_select(1, lower), projected[1].index_select(1, lower + 1)
        hidden = torch.addcmul(below * below_scale, above, above_scale).relu_()
        return self.out((self.mix(hidden) * mix_scale).relu_())


def _kind(view: str) -> str:
    """Coronal and sagittal cuts share their weights; the slices themselves (axial) have their own."""
    return "slice" if view == "axial" else "cut"


class Features(nn.Module):
    """f: the features of every voxel of the acquired slices, as each view sees it."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.blocks = settings.blocks
        self.encoders = nn.ModuleDict({"cut": Encoder(settings, False), "slice": Encoder(settings, True)})

    def forward(self, volume: Tensor, sampling: Sampling, views: Sequence[str] = CUTS) -> List[Tensor]:
        """Return the features (batch, k, j, i, channel) of each of the views. After each block but the last the views
        tell each other what they see.

        Parameters
        ----------
        volume : Tensor of shape (batch, k, j, i)
            The acquired slices, intensities near [0, 1]; at least two slices.
        """
        encoders = [self.encoders[_kind(view)] for view in views]
        told = [sampling.conditions(view) for view in views]
        features = [encoder.enter(volume * CONTRAST, view) for encoder, view in zip(encoders, views)]
        for number in range(self.blocks):
            features = [encoder.block(number, x, view, c)
                        for encoder, x, view, c in zip(encoders, features, views, told)]
            if number < self.blocks - 1 and len(views) > 1:
                mean = sum(features) / len(features)
                features = [x + encoder.exchange[number](mean) for encoder, x in zip(encoders, features)]
        return features


class ThroughPlaneNetwork(nn.Module):
    """f, and h, which reads f's features between the slices."""

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.features = Features(settings)
        self.decoders = nn.ModuleDict({"cut": Decoder(settings), "slice": Decoder(settings)})

    def project(self, volume: Tensor, sampling: Sampling, views: Sequence[str] = CUTS) -> List[Tuple[Tensor, Tensor]]:
        """All that does not depend on the positions asked for, for acquired slices (batch, k, j, i)."""
        features = self.features(volume, sampling, views)
        return [self.decoders[_kind(view)].project(x) for x, view in zip(features, views)]

    def read(self, projected: List[Tuple[Tensor, Tensor]], base: Tensor, lower: Tensor, fraction: Tensor,
             sampling: Sampling, views: Sequence[str] = CUTS) -> Estimate:
        """Return the slices at positions between the acquired ones.

        Parameters
        ----------
        projected : of `project`, for the same views
        base : Tensor of shape (batch, n, j, i)
            Classical interpolation at the positions.
        lower, fraction : Tensors of shape (n,)
            The positions, as `classical.split` gives them.
        """
        out = torch.stack([self.decoders[_kind(view)](x, lower, fraction, sampling.conditions(view))
                           for x, view in zip(projected, views)])
        return Estimate(base, out[..., 0], out[..., 1])

    def forward(self, volume: Tensor, positions: Tensor, sampling: Sampling, views: Sequence[str] = CUTS) -> Estimate:
        """Slices at real slice numbers `positions` (n,), from acquired ones (batch, k, j, i)."""
        lower, fraction = classical.split(positions, volume.shape[1])
        projected = self.project(volume, sampling, views)
        return self.read(projected, classical.pchip(volume, positions), lower, fraction, sampling, views)
