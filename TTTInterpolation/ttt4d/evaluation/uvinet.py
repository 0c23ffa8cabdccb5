"""The published method as a peer: UVI-Net (Kim et al., CVPR 2024), and the published test-time training as written.

Our own writing of both, to stand beside ours on the same cases. Two things differ, and both help it: warps hold the
edge value outside instead of zero, and volumes need no padding to multiples of 16 (upsampling goes to the skip's size).

    python -m ttt4d.evaluation.uvinet --data DIR --out FILE --minutes 60

trains it on the phases of the training split and goes on from FILE where there is one.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import choose, mixed_precision
from ..errors import UserError, WeightsError
from ..images.datasets import open_data
from ..motion.warping import gradient_penalty, warp
from .metrics import NCC_WINDOW
from .protocol import PROTOCOLS, Method, pair_of

LEARNING_RATE = 2e-4
ADAPTATION_STEPS = 50
CHARBONNIER = 1e-3


class Block(nn.Sequential):
    """Convolutions, in 32 bits where few slices are left: on the CPU, 16-bit gradients along an axis of two voxels come
    out as no number.
    """

    def forward(self, image: Tensor) -> Tensor:
        if min(image.shape[2:]) > 4:
            return super().forward(image)
        with torch.autocast("cuda" if image.is_cuda else "cpu", enabled=False):
            return super().forward(image.float())


class Features(nn.Module):
    """f: three levels of 4, 8 and 16 channels at strides 1, 2 and 4."""

    def __init__(self) -> None:
        super().__init__()
        channels, strides = (1, 4, 8, 16), (1, 2, 2)
        self.levels = nn.ModuleList(
            Block(nn.Conv3d(c, d, 3, s, 1), nn.ReLU(), nn.Conv3d(d, d, 3, 1, 1), nn.ReLU())
            for c, d, s in zip(channels, channels[1:], strides))

    def forward(self, image: Tensor) -> List[Tensor]:
        """(batch, 1, k, j, i) -> the three levels."""
        out = []
        for level in self.levels:
            image = level(image)
            out.append(image)
        return out


class Flow(nn.Module):
    """A pair of phases -> flow01 and flow10, (batch, 3, k, j, i) each, in voxels."""

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
    """A blend and the warped features of both phases -> the residual (batch, 1, k, j, i)."""

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
    """g: which quarter turn about the slice axis the image had, from the deepest level of f."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(_block(16, 16), _block(16, 32, 2), nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.classes = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, deepest: Tensor) -> Tensor:
        return self.classes(self.convolutions(deepest))


class UVINet(nn.Module):
    """f, flow and refinement; and g, which the interpolation never uses."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.flow, self.refinement, self.rotation = Features(), Flow(), Refinement(), Rotation()

    def between(self, phase0: Tensor, phase1: Tensor, flow01: Tensor, flow10: Tensor,
                t: Tensor) -> Tuple[Tensor, Tensor]:
        """Frame and residual (batch, 1, k, j, i) at the time t (batch,) between two phases, by the flows of `flow`."""
        t = t.view(-1, 1, 1, 1, 1)
        flow0, flow1 = t * flow01, (1 - t) * flow10
        blend = (1 - t) * warp(phase0, flow0) + t * warp(phase1, flow1)
        residual = self.refinement(blend, _warped(self.features(phase0), flow0), _warped(self.features(phase1), flow1))
        return blend + residual, residual


def cycle_loss(model: UVINet, phase0: Tensor, phase1: Tensor, random: torch.Generator) -> Tensor:
    """UVI-Net's two-stage objective on a batch of pairs: registration, and the way to virtual times and back."""
    a1, a2, a3 = (low + span * float(torch.rand((), generator=random)) for low, span in ((-0.5, 0.5), (0, 1), (1, 0.5)))
    flow01, flow10 = model.flow(phase0, phase1)
    loss = (_dissimilarity(warp(phase0, flow01), phase1) + gradient_penalty(flow01)
            + _dissimilarity(warp(phase1, flow10), phase0) + gradient_penalty(flow10))
    before = warp(phase0, a1 * flow01)
    middle = warp(phase0, a2 * flow01) if a2 < 0.5 else warp(phase1, (1 - a2) * flow10)
    after = warp(phase1, (1 - a3) * flow10)
    back = ((before, middle, a1, a2, phase0, 0.0), (middle, after, a2, a3, phase1, 1.0))
    for first, second, start, end, truth, moment in back:
        t = phase0.new_full((len(phase0),), (moment - start) / (end - start))
        frame, residual = model.between(first, second, *model.flow(first, second), t)
        loss = loss + _dissimilarity(frame, truth) + residual.abs().mean()
    return loss


def rotation_loss(model: UVINet, phase: Tensor, random: torch.Generator) -> Tensor:
    """Cross-entropy of the quarter turn, drawn once for a batch (batch, 1, k, j, i)."""
    side = min(phase.shape[3:])
    j, i = ((n - side) // 2 for n in phase.shape[3:])
    turns = int(torch.randint(4, (), generator=random))
    turned = phase[..., j:j + side, i:i + side].rot90(turns, (3, 4))
    logits = model.rotation(model.features(turned)[-1]).float()
    return F.cross_entropy(logits, torch.full((len(phase),), turns, device=phase.device))


class UVINetMethod(Method):
    """A trained UVI-Net.

    With `adapt` the published test-time training as written: before each case, 50 steps of rotation on the first phase
    alone, which change f (it feeds the refinement only), and no way back to the trained weights between cases.
    """

    def __init__(self, checkpoint: str, adapt: bool, seed: int = 0) -> None:
        self.model = UVINet()
        self.model.load_state_dict(_load(Path(checkpoint))["model"])
        self.adapt = adapt
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float], spacing) -> List[np.ndarray]:
        # Twice the same: torch runs a batch of one through a kernel for the CPU that is ten times slower.
        first, second = (torch.from_numpy(np.ascontiguousarray(p)).expand(2, 1, *p.shape) for p in (phase0, phase1))
        if self.adapt:
            learning = [*self.model.features.parameters(), *self.model.rotation.parameters()]
            optimizer = torch.optim.Adam(learning, lr=LEARNING_RATE)
            for _ in range(ADAPTATION_STEPS):
                optimizer.zero_grad(set_to_none=True)
                rotation_loss(self.model, first, self.random).backward()
                optimizer.step()
        with torch.no_grad():
            flows = self.model.flow(first, second)
            twos = [torch.tensor([*times, times[-1]][n:n + 2]) for n in range(0, len(times), 2)]
            frames = torch.cat([self.model.between(first, second, *flows, t)[0] for t in twos])
        return list(frames[:len(times), 0].numpy())


def train(data: str, out: Path, minutes: float, batch: int = 2, crop: int = 64, seed: int = 0,
          device: str = "auto") -> Dict[str, float]:
    """Train for so many minutes, on from the checkpoint `out` if it exists; gives steps and their recent mean loss.

    crop: edge, within the slices, of the squares it learns from, anywhere in the volume; all of the slice where that is
    smaller.
    """
    on = choose(device, [])
    data_set = open_data(data)
    groups: Dict[Tuple[int, ...], List[Tensor]] = {}
    for case in data_set.split("train"):
        pair = pair_of(case, PROTOCOLS[data_set.protocol])
        groups.setdefault(pair.phase0.shape, []).append(torch.from_numpy(np.stack([pair.phase0, pair.phase1])))
    model = UVINet().to(on)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, amsgrad=True)
    steps = 0
    if out.exists():
        state = _load(out)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        steps = state["steps"]
    random = torch.Generator().manual_seed(seed + steps)
    shapes = list(groups)
    sizes = torch.tensor([float(len(groups[shape])) for shape in shapes])
    losses: List[float] = []
    end, saved = time.monotonic() + 60 * minutes, time.monotonic()
    while time.monotonic() < end:
        # A batch holds volumes of one size; sizes are drawn as often as they occur.
        group = groups[shapes[int(torch.multinomial(sizes, 1, generator=random))]]
        chosen = torch.stack([group[int(torch.randint(len(group), (), generator=random))] for _ in range(batch)])
        for axis in (3, 4):
            room = max(chosen.shape[axis] - crop, 0)
            chosen = chosen.narrow(axis, int(torch.randint(room + 1, (), generator=random)), chosen.shape[axis] - room)
        phase0, phase1 = chosen.to(on).split(1, dim=1)
        with mixed_precision(on, phase0.shape[2:]):
            loss = cycle_loss(model, phase0, phase1, random) + rotation_loss(model, phase0, random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # One sample whose gradient is no number must not cost the run.
        if not torch.isfinite(nn.utils.clip_grad_norm_(model.parameters(), math.inf)):
            continue
        optimizer.step()
        steps += 1
        losses = [*losses[-99:], loss.item()]
        if time.monotonic() - saved > 60:
            saved = time.monotonic()
            _save(out, model, optimizer, steps)
            print(f"step {steps}  loss {np.mean(losses):.4f}", flush=True)
    _save(out, model, optimizer, steps)
    return {"steps": steps, "loss": float(np.mean(losses)) if losses else float("nan")}


def _block(channels: int, out: int, stride: int = 1) -> Block:
    return Block(nn.Conv3d(channels, out, 3, stride, 1), nn.LeakyReLU(0.2))


def _still(layer: nn.Conv3d) -> nn.Conv3d:
    """A last layer that starts with almost no motion, or residual."""
    nn.init.normal_(layer.weight, std=1e-5)
    nn.init.zeros_(layer.bias)
    return layer


def _warped(features: Sequence[Tensor], flow: Tensor) -> List[Tensor]:
    """Each level warped with the flow on its own grid: level n holds every 2^n-th voxel."""
    return [warp(level, flow[:, :, ::2**n, ::2**n, ::2**n] / 2**n) for n, level in enumerate(features)]


def _dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """Local NCC (as `metrics.ncc`, negative) and Charbonnier."""
    voxels = NCC_WINDOW**3
    sum_a, sum_b, sum_aa, sum_bb, sum_ab = _box(torch.cat([a, b, a * a, b * b, a * b], dim=1)).split(1, dim=1)
    cross = sum_ab - sum_a * sum_b / voxels
    variance_a, variance_b = sum_aa - sum_a**2 / voxels, sum_bb - sum_b**2 / voxels
    ncc = cross**2 / (variance_a * variance_b + 1e-5)
    return torch.sqrt((a - b) ** 2 + CHARBONNIER**2).mean() - ncc.mean()


def _box(maps: Tensor) -> Tensor:
    """Sums over windows of 9 x 9 x 9 voxels, zeros beyond the border."""
    maps = F.pad(maps, [NCC_WINDOW // 2] * 6)
    for window in ((NCC_WINDOW, 1, 1), (1, NCC_WINDOW, 1), (1, 1, NCC_WINDOW)):
        maps = NCC_WINDOW * F.avg_pool3d(maps, window, 1)
    return maps


def _load(path: Path) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("model", "optimizer", "steps")}
    except Exception as error:  # torch.load raises as many kinds of error as there are kinds of file
        raise WeightsError(f"{path.name} is no checkpoint of UVI-Net: make one with python -m ttt4d.evaluation.uvinet."
                           ) from error


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    partial = path.with_name(path.name + ".partial")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}, partial)
    os.replace(partial, path)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ttt4d.evaluation.uvinet", description="Train the UVI-Net peer.")
    parser.add_argument("--data", required=True, metavar="DIR")
    parser.add_argument("--out", required=True, metavar="FILE", type=Path)
    parser.add_argument("--minutes", required=True, type=float)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--crop", type=int, default=64, help="edge of the squares it learns from (default: 64)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        print(train(args.data, args.out, args.minutes, args.batch, args.crop, args.seed, args.device))
    except UserError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
