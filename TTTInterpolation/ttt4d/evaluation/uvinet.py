"""UVI-Net [1]_ and the published test-time training [2]_ as its code does it, for comparison.

Both are our own implementation, to be measured on the same cases as the other methods. Two things differ, and both help
it: warps repeat the edge value outside instead of zero, and volumes need no padding to multiples of 16, because
upsampling goes to the size of the skip connection.

`ttt4d train --model uvinet` trains it on the phases of the training split, and continues from a checkpoint.

References
----------
.. [1] Kim et al., "Data-Efficient Unsupervised Interpolation Without Any Intermediate Frame for 4D Medical Images",
   CVPR 2024, arXiv 2404.01464.
.. [2] "Test Time Training for 4D Medical Image Interpolation", arXiv 2502.02341.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import choose, mixed_precision
from ..errors import InputError, WeightsError
from ..images.datasets import open_data
from ..images.output_paths import writing
from ..images.volume import Triple
from ..motion.warping import gradient_penalty, warp
from .metrics import NCC_WINDOW
from .protocol import PROTOCOLS, Method, pair_of

LEARNING_RATE = 2e-4
ADAPTATION_STEPS = 50
CHARBONNIER = 1e-3
SAVE_SECONDS = 60.0


class Block(nn.Sequential):
    """Convolutions that run in 32 bits if few slices are left.

    On the CPU, 16-bit gradients along an axis of two voxels are not finite.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Convolve an image (batch, channels, k, j, i)."""
        if min(image.shape[2:]) > 4:
            return super().forward(image)
        with torch.autocast("cuda" if image.is_cuda else "cpu", enabled=False):
            return super().forward(image.float())


class Features(nn.Module):
    """The feature extractor f: three levels of 4, 8 and 16 channels at strides 1, 2 and 4."""

    def __init__(self) -> None:
        super().__init__()
        channels, strides = (1, 4, 8, 16), (1, 2, 2)
        self.levels = nn.ModuleList(
            Block(nn.Conv3d(c, d, 3, s, 1), nn.ReLU(), nn.Conv3d(d, d, 3, 1, 1), nn.ReLU())
            for c, d, s in zip(channels, channels[1:], strides))

    def forward(self, image: Tensor) -> List[Tensor]:
        """Return the three levels of an image (batch, 1, k, j, i), finest first."""
        out = []
        for level in self.levels:
            image = level(image)
            out.append(image)
        return out


class Flow(nn.Module):
    """A U-Net that registers a pair of phases in both directions."""

    ENCODER, DECODER, LAST = (16, 32, 32, 32), (32, 32, 32, 32), (32, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        down = (2, *self.ENCODER)
        self.down = nn.ModuleList(_block(c, d, 2) for c, d in zip(down, down[1:]))
        up_from = [32, *(c + s for c, s in zip(self.DECODER, reversed(self.ENCODER[:-1])))]
        self.up = nn.ModuleList(_block(c, d) for c, d in zip(up_from, self.DECODER))
        last = (self.DECODER[-1] + 2, *self.LAST)
        self.last = nn.Sequential(*(_block(c, d) for c, d in zip(last, last[1:])))
        self.out = _still(nn.Conv3d(self.LAST[-1], 6, 3, 1, 1))

    def forward(self, phase0: Tensor, phase1: Tensor) -> Tuple[Tensor, Tensor]:
        """Return flow01 and flow10, (batch, 3, k, j, i) each, in voxels, of phases (batch, 1, k, j, i)."""
        x = torch.cat([phase0, phase1], dim=1)
        skips = [x]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        x = skips.pop()
        for layer in self.up:
            skip = skips.pop()
            x = torch.cat([F.interpolate(layer(x), size=skip.shape[2:], mode="nearest"), skip], dim=1)
        flows = self.out(self.last(x)).float()
        return flows[:, :3], flows[:, 3:]


class Refinement(nn.Module):
    """A U-Net that corrects the blend of the warped phases."""

    ENCODER, DECODER, LAST, FEATURES = (8, 16, 32), (32, 32, 32), (8, 8, 3), (4, 8, 16)

    def __init__(self) -> None:
        super().__init__()
        joined = [c + 2 * f for c, f in zip(self.ENCODER, self.FEATURES)]
        self.down = nn.ModuleList(_block(c, d, s) for c, d, s in zip((1, *joined), self.ENCODER, (1, 2, 2)))
        up_from = [joined[2], self.DECODER[0] + joined[1], self.DECODER[1] + joined[0]]
        self.up = nn.ModuleList(_block(c, d) for c, d in zip(up_from, self.DECODER))
        last = (self.DECODER[-1] + 1, *self.LAST)
        self.last = nn.Sequential(*(_block(c, d) for c, d in zip(last, last[1:])))
        self.out = _still(nn.Conv3d(self.LAST[-1], 1, 3, 1, 1))

    def forward(self, blend: Tensor, features0: Sequence[Tensor], features1: Sequence[Tensor]) -> Tensor:
        """Return the residual (batch, 1, k, j, i) of a blend, from the warped features of both phases."""
        skips = [blend]
        for layer, *features in zip(self.down, features0, features1):
            skips.append(torch.cat([layer(skips[-1]), *features], dim=1))
        x = skips.pop()
        for layer in self.up:
            skip = skips.pop()
            x = layer(x)
            if x.shape[2:] != skip.shape[2:]:
                x = F.interpolate(x, size=skip.shape[2:], mode="trilinear")
            x = torch.cat([x, skip], dim=1)
        return self.out(self.last(x)).float()


class Rotation(nn.Module):
    """The head g: classify the quarter turn of an image about the slice axis, from the deepest level of f."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(_block(16, 16), _block(16, 32, 2), nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.classes = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, deepest: Tensor) -> Tensor:
        """Return the logits (batch, 4) of the deepest features."""
        return self.classes(self.convolutions(deepest))


class UVINet(nn.Module):
    """The complete network: f, flow and refinement, and g, which the interpolation does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.flow, self.refinement, self.rotation = Features(), Flow(), Refinement(), Rotation()

    def between(self, phase0: Tensor, phase1: Tensor, flow01: Tensor, flow10: Tensor,
                t: Tensor) -> Tuple[Tensor, Tensor]:
        """Interpolate between two phases.

        Parameters
        ----------
        phase0, phase1 : Tensor of shape (batch, 1, k, j, i)
            The phases.
        flow01, flow10 : Tensor of shape (batch, 3, k, j, i)
            What `flow` finds for them.
        t : Tensor of shape (batch,)
            The time, 0 at phase 0 and 1 at phase 1.

        Returns
        -------
        tuple of Tensor of shape (batch, 1, k, j, i)
            The frame, and the residual in it.
        """
        t = t.view(-1, 1, 1, 1, 1)
        flow0, flow1 = t * flow01, (1 - t) * flow10
        blend = (1 - t) * warp(phase0, flow0) + t * warp(phase1, flow1)
        residual = self.refinement(blend, _warped(self.features(phase0), flow0), _warped(self.features(phase1), flow1))
        return blend + residual, residual


def cycle_loss(model: UVINet, phase0: Tensor, phase1: Tensor, rng: torch.Generator) -> Tensor:
    """Return the two-stage objective of UVI-Net for a batch of pairs.

    It registers the phases, warps them to three virtual times, and interpolates from there back to the phases.
    """
    a1, a2, a3 = (low + span * float(torch.rand((), generator=rng)) for low, span in ((-0.5, 0.5), (0, 1), (1, 0.5)))
    flow01, flow10 = model.flow(phase0, phase1)
    loss = (_dissimilarity(warp(phase0, flow01), phase1) + gradient_penalty(flow01)
            + _dissimilarity(warp(phase1, flow10), phase0) + gradient_penalty(flow10))
    before = warp(phase0, a1 * flow01)
    middle = warp(phase0, a2 * flow01) if a2 < 0.5 else warp(phase1, (1 - a2) * flow10)
    after = warp(phase1, (1 - a3) * flow10)
    back = ((before, middle, a1, a2, phase0, 0.0), (middle, after, a2, a3, phase1, 1.0))
    for first, second, start, end, truth, target in back:
        t = phase0.new_full((len(phase0),), (target - start) / (end - start))
        forward, backward = model.flow(first, second)
        frame, residual = model.between(first, second, forward, backward, t)
        loss = loss + _dissimilarity(frame, truth) + residual.abs().mean()
    return loss


def rotation_loss(model: UVINet, phase: Tensor, rng: torch.Generator) -> Tensor:
    """Return the cross-entropy of a quarter turn, drawn once for a batch (batch, 1, k, j, i)."""
    side = min(phase.shape[3:])
    j, i = ((n - side) // 2 for n in phase.shape[3:])
    turns = int(torch.randint(4, (), generator=rng))
    turned = phase[..., j:j + side, i:i + side].rot90(turns, (3, 4))
    logits = model.rotation(model.features(turned)[-1]).float()
    return F.cross_entropy(logits, torch.full((len(phase),), turns, device=phase.device))


class UVINetMethod(Method):
    """A trained UVI-Net, with or without the published test-time training.

    The published code takes 50 steps of the rotation task before each case, on the first phase only. They change f,
    which feeds the refinement only, and the weights are not reset between cases.

    Parameters
    ----------
    checkpoint : str
        A file of `train`.
    adapt : bool
        Whether to adapt to each case as the published code does.
    seed : int
        Seed of the random rotations.

    Raises
    ------
    WeightsError
        If the file is not a checkpoint of UVI-Net.
    """

    def __init__(self, checkpoint: str, adapt: bool, seed: int = 0) -> None:
        self.model = UVINet()
        self.model.load_state_dict(_load(Path(checkpoint))["model"])
        self.adapt = adapt
        self.rng = torch.Generator().manual_seed(seed)

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        """Adapt to the first phase if asked to, and interpolate; see `Method.__call__`."""
        # A batch of two: on the CPU, torch runs a batch of one ten times slower.
        first, second = (torch.from_numpy(np.ascontiguousarray(p)).expand(2, 1, *p.shape) for p in (phase0, phase1))
        if self.adapt:
            learning = [*self.model.features.parameters(), *self.model.rotation.parameters()]
            optimizer = torch.optim.Adam(learning, lr=LEARNING_RATE)
            for _ in range(ADAPTATION_STEPS):
                optimizer.zero_grad(set_to_none=True)
                rotation_loss(self.model, first, self.rng).backward()
                optimizer.step()
        with torch.no_grad():
            flow01, flow10 = self.model.flow(first, second)
            twos = [torch.tensor([*times, times[-1]][n:n + 2]) for n in range(0, len(times), 2)]
            frames = torch.cat([self.model.between(first, second, flow01, flow10, t)[0] for t in twos])
        return list(frames[:len(times), 0].numpy())


def train(data: Optional[str], checkpoint: Path, steps: int, batch: int = 2, crop: int = 64, seed: int = 0,
          device: str = "auto", report: Callable[[int, float], None] = lambda step, loss: None) -> int:
    """Train UVI-Net on the phases of the training split, or continue a training.

    Parameters
    ----------
    data : str, or None
        The data folder; see `ttt4d.images.datasets.open_data`.
    checkpoint : Path
        The file to write, once a minute and at the end. Training continues from it if it exists.
    steps : int
        Steps in total, those of the checkpoint included.
    batch : int
        Pairs in a batch.
    crop : int
        Edge, within the slices, of the squares to learn from; smaller slices are taken completely.
    seed : int
        Seed of the random numbers.
    device : str
        "auto", "cpu", "cuda" or "mps".
    report : callable
        Called with the number and the loss of each step.

    Returns
    -------
    int
        The number of steps that the checkpoint holds.

    Raises
    ------
    InputError
        If the data have no training split.
    WeightsError
        If the file is not a checkpoint of UVI-Net.
    OutputError
        If the checkpoint cannot be written.
    """
    on = choose(device, [])
    groups = list(_phases_by_size(data).values())
    torch.manual_seed(seed)
    model = UVINet().to(on)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, amsgrad=True)
    step = 0
    if checkpoint.exists():
        state = _load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["steps"]
    rng = torch.Generator().manual_seed(seed + step)
    saved = time.monotonic()
    while step < steps:
        phase0, phase1 = _draw(groups, batch, crop, rng).to(on).split(1, dim=1)
        with mixed_precision(on, phase0.shape[2:]):
            loss = cycle_loss(model, phase0, phase1, rng) + rotation_loss(model, phase0, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # A batch whose gradient is not finite must not end the run.
        if torch.isfinite(nn.utils.clip_grad_norm_(model.parameters(), math.inf)):
            optimizer.step()
        step += 1
        report(step, loss.item())
        if time.monotonic() - saved > SAVE_SECONDS or step == steps:
            saved = time.monotonic()
            _save(checkpoint, model, optimizer, step)
    return step


def _phases_by_size(data: Optional[str]) -> Dict[Tuple[int, ...], Tensor]:
    """Read both phases of all training cases, (cases, 2, k, j, i) for each size (k, j, i)."""
    data_set = open_data(data)
    cases = data_set.splits.get("train")
    if not cases:
        raise InputError("There is no training split in this data: give a folder in the ACDC layout.")
    groups: Dict[Tuple[int, ...], List[Tensor]] = {}
    for case in cases:
        pair = pair_of(case, PROTOCOLS[data_set.protocol])
        groups.setdefault(pair.phase0.shape, []).append(torch.from_numpy(np.stack([pair.phase0, pair.phase1])))
    return {size: torch.stack(pairs) for size, pairs in groups.items()}


def _draw(groups: Sequence[Tensor], batch: int, crop: int, rng: torch.Generator) -> Tensor:
    """Draw a batch (batch, 2, k, j, i) of random squares; a batch holds volumes of one size."""
    sizes = torch.tensor([float(len(group)) for group in groups])
    group = groups[int(torch.multinomial(sizes, 1, generator=rng))]
    chosen = group[torch.randint(len(group), (batch,), generator=rng)]
    for axis in (3, 4):
        spare = max(chosen.shape[axis] - crop, 0)
        first = int(torch.randint(spare + 1, (), generator=rng))
        chosen = chosen.narrow(axis, first, chosen.shape[axis] - spare)
    return chosen


def _block(channels: int, out: int, stride: int = 1) -> Block:
    return Block(nn.Conv3d(channels, out, 3, stride, 1), nn.LeakyReLU(0.2))


def _still(layer: nn.Conv3d) -> nn.Conv3d:
    """Initialise a last layer so that training starts with almost no motion, or residual."""
    nn.init.normal_(layer.weight, std=1e-5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _warped(features: Sequence[Tensor], flow: Tensor) -> List[Tensor]:
    """Warp each level of features with the flow on its own grid: level n holds every 2^n-th voxel."""
    return [warp(level, flow[:, :, ::2**n, ::2**n, ::2**n] / 2**n) for n, level in enumerate(features)]


def _dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the Charbonnier error minus the local correlation of `metrics.ncc`."""
    voxels = NCC_WINDOW**3
    sum_a, sum_b, sum_aa, sum_bb, sum_ab = _box(torch.cat([a, b, a * a, b * b, a * b], dim=1)).split(1, dim=1)
    cross = sum_ab - sum_a * sum_b / voxels
    variance_a, variance_b = sum_aa - sum_a**2 / voxels, sum_bb - sum_b**2 / voxels
    ncc = cross**2 / (variance_a * variance_b + 1e-5)
    return torch.sqrt((a - b) ** 2 + CHARBONNIER**2).mean() - ncc.mean()


def _box(maps: Tensor) -> Tensor:
    """Sum over windows of 9 x 9 x 9 voxels, zeros beyond the border."""
    maps = F.pad(maps, [NCC_WINDOW // 2] * 6)
    for window in ((NCC_WINDOW, 1, 1), (1, NCC_WINDOW, 1), (1, 1, NCC_WINDOW)):
        maps = NCC_WINDOW * F.avg_pool3d(maps, window, 1)
    return maps


def _load(path: Path) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("model", "optimizer", "steps")}
    except Exception as error:  # torch.load raises as many kinds of error as there are kinds of file
        raise WeightsError(f"{path.name} is no checkpoint of UVI-Net: make one with ttt4d train --model uvinet."
                           ) from error


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    partial = path.with_name(path.name + ".partial")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}
    with writing(str(path)):
        torch.save(state, partial)
        os.replace(partial, path)
