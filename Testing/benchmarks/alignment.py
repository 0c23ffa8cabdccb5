"""Measure whether an auxiliary task pulls f where the true frames would, and how far f could go with them.

  python Testing/benchmarks/alignment.py --data ACDC                 every task, the `cardiac` weights
  python Testing/benchmarks/alignment.py --data ACDC --labels 10     and ten steps with every second true frame
  python Testing/benchmarks/alignment.py --data ACDC --headroom      and what one number a case could gain

`share`: of what a first step of Adam along the true gradient would gain, how much one along the task's gradient gains:
sum(sign(g_task) g_true) / sum |g_true|, over the parameters of f; 1 is the truth itself, 0 is chance. `cosine`: of the
two gradients. Mean and standard error over the cases of the validation split. With `--labels`, the gain in dB on the
frames that were held back. With `--headroom`, the gain in dB of the best single number a case, found by looking at its
true frames: how much later or earlier, brighter, farther, or with how much of the residual the frames should have been.
What no pair of phases tells (when the heart moves, how bright the frames between are) no label-free task can find.
A minute of screening before an hour of evaluation; it measures, and never fails.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import os
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
from torch import Generator, Tensor

from ttt4d.devices import mixed_precision
from ttt4d.evaluation.methods import as_volumes
from ttt4d.evaluation.metrics import psnr
from ttt4d.evaluation.protocol import PROTOCOLS, Pair, pair_of
from ttt4d.images.datasets import open_data
from ttt4d.temporal import models
from ttt4d.temporal.auxiliary import TASKS
from ttt4d.temporal.canvas import Canvas
from ttt4d.temporal.estimation import estimate, features_of
from ttt4d.temporal.memory import CPU_VOXELS
from ttt4d.temporal.network.interpolator import Estimate, InterpolationNetwork
from ttt4d.temporal.phase_pair import PhasePair
from ttt4d.temporal.prepared import PhasePairs
from ttt4d.training.objectives import log_error

CPU = torch.device("cpu")
DRAWS = 3  # of a task's random numbers
LEARNING_RATE = 3e-4
# What `--headroom` tries: 0 for the time and 1 for the others are the network's own frames.
SHIFTED = (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2)  # of time at mid-way; none at the phases
SCALED = (0.0, 0.5, 0.7, 0.8, 0.9, 0.92, 0.96, 1.0, 1.04, 1.08, 1.1, 1.2, 1.3, 1.5)


def on_canvas(network: InterpolationNetwork, pair: Pair) -> Tuple[Canvas, PhasePair]:
    """Return the canvas of a pair, and the pair on it."""
    volumes = as_volumes(pair.phase0, pair.phase1, pair.spacing)
    canvas = Canvas.fit(volumes[0].geometry, network.levels, CPU_VOXELS)
    return canvas, PhasePairs(volumes, canvas, CPU)[0]


def estimated(network: InterpolationNetwork, batch: PhasePair, times: Sequence[float]) -> Estimate:
    return estimate(network, batch, features_of(network, batch), times)


def shown(estimate: Estimate, canvas: Canvas, batch: PhasePair) -> Tensor:
    """Return the frames (times, 1, k, j, i) of an estimate, without the canvas's padding."""
    k, j, i = canvas.inner
    phase0, phase1 = (phase.expand(len(estimate.to0), *phase.shape[1:]) for phase in batch.phases.split(1))
    return estimate.frame(phase0, phase1)[:, :, :k, :j, :i]


def frames(network: InterpolationNetwork, canvas: Canvas, batch: PhasePair, times: Sequence[float]) -> Tensor:
    return shown(estimated(network, batch, times), canvas, batch)[:len(times)]  # one time is estimated twice


def true_loss(network: InterpolationNetwork, canvas: Canvas, batch: PhasePair, pair: Pair,
              chosen: Sequence[int]) -> Tensor:
    truth = torch.from_numpy(pair.truth[list(chosen)])[:, None].float()
    return log_error(frames(network, canvas, batch, [pair.times[n] for n in chosen]), truth)


def gradient(loss: Tensor, network: InterpolationNetwork) -> Tensor:
    parameters = list(network.features.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, found)])


def gain_with_labels(network: InterpolationNetwork, canvas: Canvas, batch: PhasePair, pair: Pair, steps: int) -> float:
    """Return dB on every second frame after so many steps of f on pairs of the others."""
    network = copy.deepcopy(network)
    given, held = range(0, len(pair.times), 2), range(1, len(pair.times), 2)
    generator = Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.features.parameters(), lr=LEARNING_RATE)

    def score() -> float:
        with torch.no_grad():
            found = frames(network, canvas, batch, [pair.times[n] for n in held])[:, 0].numpy()
        return float(np.mean([psnr(pair.truth[n], frame) for n, frame in zip(held, found)]))

    before = score()
    for _ in range(steps):
        chosen = [given[int(torch.randint(len(given), (), generator=generator))] for _ in range(2)]
        optimizer.zero_grad(set_to_none=True)
        true_loss(network, canvas, batch, pair, chosen).backward()
        optimizer.step()
    return score() - before


@torch.no_grad()
def headroom(network: InterpolationNetwork, canvas: Canvas, batch: PhasePair, pair: Pair) -> Dict[str, float]:
    """Return the dB that the best value of one number gains over the network's own frames, each number by itself."""

    def score(found: Tensor) -> float:
        return float(np.mean([psnr(truth, frame) for truth, frame in zip(pair.truth, found[:, 0].numpy())]))

    own = estimated(network, batch, pair.times)
    changed = {
        "time": [frames(network, canvas, batch, [t + 4 * s * t * (1 - t) for t in pair.times]) for s in SHIFTED],
        "brightness": [s * shown(own, canvas, batch) for s in SCALED],
        "amplitude": [shown(dataclasses.replace(own, to0=s * own.to0, to1=s * own.to1), canvas, batch)
                      for s in SCALED],
        "residual": [shown(dataclasses.replace(own, residual=s * own.residual), canvas, batch) for s in SCALED]}
    before = score(shown(own, canvas, batch))
    return {number: max(map(score, found)) - before for number, found in changed.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TTT4D_DATA"), help="folder in the ACDC layout "
                        "(default: $TTT4D_DATA)")
    parser.add_argument("--weights", default="cardiac")
    parser.add_argument("--labels", type=int, default=0, metavar="STEPS")
    parser.add_argument("--headroom", action="store_true")
    args = parser.parse_args()
    model = models.load(args.weights)
    network = model.network.requires_grad_(False)
    network.features.requires_grad_(True)
    found, gains, headrooms = {name: [] for name in TASKS}, [], []
    data = open_data(args.data)
    for case in data.split("validation"):
        pair = pair_of(case, PROTOCOLS[data.protocol])
        canvas, batch = on_canvas(network, pair)
        count = len(pair.times)
        # A few frames at a time: each group's gradient is freed before the next.
        groups: List[List[int]] = [g.tolist() for g in np.array_split(np.arange(count), -(-count // 3))]
        true = sum(len(g) * gradient(true_loss(network, canvas, batch, pair, g), network) for g in groups) / count
        for name in TASKS:
            generator = Generator().manual_seed(0)
            with mixed_precision(CPU, canvas.padded):
                losses = [model.tasks[name].loss(network, batch, generator) for _ in range(DRAWS)]
            task = gradient(torch.stack(losses).mean(), network)
            found[name].append((float((task.sign() * true).sum() / true.abs().sum()),
                                float(torch.cosine_similarity(task, true, dim=0))))
        if args.labels:
            gains.append(gain_with_labels(network, canvas, batch, pair, args.labels))
        if args.headroom:
            headrooms.append(headroom(network, canvas, batch, pair))
    print("| task | share | cosine |\n|---|---|---|")
    for name, values in found.items():
        mean, error = np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / len(values)**0.5
        print(f"| {name} | {mean[0]:+.3f} ± {error[0]:.3f} | {mean[1]:+.3f} ± {error[1]:.3f} |")
    if args.labels:
        print(f"{args.labels} steps with every second true frame gain {np.mean(gains):+.2f} dB on the others "
              f"({min(gains):+.2f} to {max(gains):+.2f} a case).")
    for number in headrooms[0] if headrooms else ():
        values = [each[number] for each in headrooms]
        print(f"The best {number} of each case gains {np.mean(values):+.2f} dB ({min(values):+.2f} to "
              f"{max(values):+.2f}).")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
