"""The whole network: views of the acquired slices -> features of every voxel -> values at any position between them.

Convolutions see the acquired slices only, so their cost does not depend on the factor. The first ones sum to zero: a
shift of all intensities changes nothing.

References
----------
Chen, Liu and Wang, Learning continuous image representation with local implicit image function, CVPR 2021.
Fang et al., Incremental cross-view mutual distillation for self-supervised medical CT synthesis, CVPR 2022.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import classical
from .views import CUTS, from_images, to_images, with_neighbours

# Differences of neighbouring voxels are small against the [0, 1] of the images: brought to order 1.
CONTRAST = 4.0
# Pixels that a convolution sees at once.
AT_ONCE = 20_000


@dataclass(frozen=True)
class NetworkSettings:
    """channels of the features, blocks of two convolutions a view, hidden width of the decoder."""

    channels: int = 48
    blocks: int = 3
    hidden: int = 64

    def to_json(self) -> Dict[str, int]:
        """Return the settings as a weights file stores them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Dict[str, Any]) -> "NetworkSettings":
        """Return the settings that a weights file stores."""
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
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        reach = (2, 2) if axial else (1, 2)
        self.second = nn.Conv2d(channels, channels, 3, padding=reach, dilation=reach)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        with torch.no_grad():
            self.second.weight.mul_(0.3)
            for bias in (self.first.bias, self.second.bias):
                assert bias is not None  # a layer may have none, these have
                bias.zero_()

    def forward(self, images: Tensor, scale: Tensor) -> Tensor:
        """Add the block's output to images (n, channel, row, column); scale (n, channel, 1, 1), from the conditions."""
        return self.second((self.first(images) * scale).relu_()).add_(images)


class Encoder(nn.Module):
    """The convolutions of one kind of view."""

    def __init__(self, settings: NetworkSettings, axial: bool) -> None:
        super().__init__()
        channels = settings.channels
        self.head = nn.Conv2d(3, channels, 3, bias=False)
        self.blocks = nn.ModuleList(Block(channels, axial) for _ in range(settings.blocks))
        self.scales = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), _all_ones(16, channels * settings.blocks))

    def forward(self, images: Tensor, conditions: Tensor) -> Tensor:
        """Return the features (n, channel, row, column) of images.

        Parameters
        ----------
        images : Tensor of shape (n, 3, row, column)
            Each image between its two neighbours.
        conditions : Tensor of shape (n, 2)
            What `Sampling.conditions` tells of each.
        """
        weight = self.head.weight - self.head.weight.mean((1, 2, 3), keepdim=True)
        scales = self.scales(conditions)[..., None, None].chunk(len(self.blocks), dim=1)
        # A few images at a time stay in the processor's cache from the first convolution to the last.
        few = max(1, AT_ONCE // images[0, 0].numel())
        found = []
        for part, *told in zip(images.split(few), *(scale.split(few) for scale in scales)):
            padded = F.pad(part * CONTRAST, (1, 1, 1, 1), mode="replicate")
            features = F.conv2d(padded.contiguous(memory_format=torch.channels_last), weight)
            for block, scale in zip(self.blocks, told):
                features = block(features, scale)
            found.append(features)
        return torch.cat(found) if len(found) > 1 else found[0]


@dataclass(frozen=True)
class Layers:
    """The weights of a decoder at n positions.

    enter : (batch, n, 2 * channel, hidden); mix : (batch, n, hidden, hidden).
    """

    enter: Tensor
    mix: Tensor

    def at(self, part: slice) -> "Layers":
        """Return the weights at some of the positions."""
        return Layers(self.enter[:, part], self.mix[:, part])


class Decoder(nn.Module):
    """Read the features of the two neighbouring slices at a position between them: a residual and a confidence.

    Its weights are functions of the position, piecewise linear between `NODES` of them.
    """

    NODES = 5

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        channels, hidden = settings.channels, settings.hidden
        self.enter = nn.Parameter(torch.randn(1, 2 * channels, hidden).mul(channels**-0.5).repeat(self.NODES, 1, 1))
        self.mix = nn.Parameter(torch.randn(1, hidden, hidden).mul((2 / hidden)**0.5).repeat(self.NODES, 1, 1))
        self.biases = nn.Parameter(torch.zeros(2, hidden))
        self.residual = nn.Linear(hidden, 1, bias=False)
        self.confidence = nn.Linear(hidden, 1, bias=False)
        self.scales = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), _all_ones(32, 2 * hidden))
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.confidence.weight)

    def layers(self, fraction: Tensor, conditions: Tensor) -> Layers:
        """Return the weights at fractions (n,) of the way between two slices, for conditions (batch, 2)."""
        enter_scale, mix_scale = self.scales(conditions)[:, None, None].chunk(2, dim=-1)
        return Layers(self._at(self.enter, fraction) * enter_scale, self._at(self.mix, fraction) * mix_scale)

    def forward(self, features: Tensor, lower: Tensor, layers: Layers) -> Tensor:
        """Decode features (batch, k, j, i, channel) above the slices `lower` (n,) to (batch, n, j, i, 2)."""
        batch, _, rows, columns, channels = features.shape
        enter, mix = layers.enter.flatten(0, 1), layers.mix.flatten(0, 1)

        def pixels(slices: Tensor) -> Tensor:
            # A single slice is looked at where it lies, several are copied.
            chosen = features.narrow(1, int(slices), 1) if len(slices) == 1 else features.index_select(1, slices)
            return chosen.reshape(-1, rows * columns, channels)

        hidden = torch.baddbmm(self.biases[0], pixels(lower), enter[:, :channels])
        hidden = hidden.baddbmm_(pixels(lower + 1), enter[:, channels:]).relu_()
        hidden = torch.baddbmm(self.biases[1], hidden, mix).relu_()
        # The confidence judges the residual and must not bend what the residual is read from.
        out = torch.cat([self.residual(hidden), self.confidence(hidden.detach())], dim=-1)
        return out.view(batch, len(lower), rows, columns, 2)

    def _at(self, nodes: Tensor, fraction: Tensor) -> Tensor:
        """Return the weights (n, in, out) at fractions (n,) of the way from one slice to the next."""
        place = fraction * (self.NODES - 1)
        first = place.floor().long().clamp(max=self.NODES - 2)
        return torch.lerp(nodes[first], nodes[first + 1], (place - first).view(-1, 1, 1))


def _kind(view: str) -> str:
    """Coronal and sagittal cuts share their weights; the slices themselves (axial) have their own."""
    return "slice" if view == "axial" else "cut"


class Features(nn.Module):
    """f: the features of every voxel of the acquired slices, as each view sees it."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"cut": Encoder(settings, False), "slice": Encoder(settings, True)})

    def forward(self, volume: Tensor, sampling: Sampling, views: Sequence[str] = CUTS) -> List[Tensor]:
        """Return the features (batch, k, j, i, channel) of each of the views.

        Parameters
        ----------
        volume : Tensor of shape (batch, k, j, i)
            The acquired slices, intensities near [0, 1]; at least two slices.
        sampling : Sampling
            How the slices were taken.
        views : sequence of str
            The views that take part, of `VIEWS`.
        """
        return [self._seen(volume, sampling, view) for view in views]

    def _seen(self, volume: Tensor, sampling: Sampling, view: str) -> Tensor:
        images = to_images(with_neighbours(volume, view), view)
        conditions = sampling.conditions(view).repeat_interleave(len(images) // len(volume), dim=0)
        return from_images(self.encoders[_kind(view)](images, conditions), view, len(volume))


class ThroughPlaneNetwork(nn.Module):
    """f, and h, which reads f's features between the slices."""

    def __init__(self, settings: NetworkSettings = NetworkSettings()) -> None:
        super().__init__()
        self.settings = settings
        self.features = Features(settings)
        self.decoders = nn.ModuleDict({"cut": Decoder(settings), "slice": Decoder(settings)})

    def layers(self, fraction: Tensor, sampling: Sampling, views: Sequence[str] = CUTS) -> List[Layers]:
        """Return the weights of each view's decoder at fractions (n,), as `classical.split` gives them."""
        return [self._decoder(view).layers(fraction, sampling.conditions(view)) for view in views]

    def read(self, features: List[Tensor], base: Tensor, lower: Tensor, layers: List[Layers],
             views: Sequence[str] = CUTS) -> Estimate:
        """Return the slices at positions between the acquired ones.

        Parameters
        ----------
        features : of `features`, for the same views
        base : Tensor of shape (batch, n, j, i)
            Classical interpolation at the positions.
        lower : Tensor of shape (n,)
            The slices below the positions, as `classical.split` gives them.
        layers : of `layers`, at the positions, for the same views
        """
        out = torch.stack([self._decoder(view)(seen, lower, weights)
                           for view, seen, weights in zip(views, features, layers)])
        return Estimate(base, out[..., 0], out[..., 1])

    def _decoder(self, view: str) -> Decoder:
        decoder = self.decoders[_kind(view)]
        assert isinstance(decoder, Decoder)  # a dictionary of modules does not say which kind it holds
        return decoder

    def middle_of_slab(self, slab: Tensor, positions: Tensor, sampling: Sampling) -> Estimate:
        """Return the middle row of slabs (batch, k, 3, i), from their coronal cut alone: a third of `forward`'s cost.

        Training learns from single cuts, of as many places as possible; cuts beside each other teach the same twice.
        """
        lower, fraction = classical.split(positions, slab.shape[1])
        images = self.features.encoders["cut"](slab.permute(0, 2, 1, 3), sampling.conditions("coronal"))
        features = images.permute(0, 2, 3, 1)[:, :, None].contiguous()
        base = classical.pchip(slab[:, :, 1:2], positions)
        return self.read([features], base, lower, self.layers(fraction, sampling, CUTS[:1]), CUTS[:1])

    def forward(self, volume: Tensor, positions: Tensor, sampling: Sampling, views: Sequence[str] = CUTS) -> Estimate:
        """Slices at real slice numbers `positions` (n,), from acquired ones (batch, k, j, i)."""
        lower, fraction = classical.split(positions, volume.shape[1])
        # Contiguous once here, not again each time that some of the slices are read.
        features = [seen.contiguous() for seen in self.features(volume, sampling, views)]
        layers = self.layers(fraction, sampling, views)
        return self.read(features, classical.pchip(volume, positions), lower, layers, views)


def _all_ones(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer that answers 1 at first, whatever it is asked."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.fill_(1)
    return layer
