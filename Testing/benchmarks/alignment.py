"""Does an auxiliary task pull f where the true frames would? And how far could f go, if it had them?

  python Testing/benchmarks/alignment.py --data ACDC                 every task, the `cardiac` weights
  python Testing/benchmarks/alignment.py --data ACDC --labels 10     and ten steps with every second true frame

`share`: of what a first step of Adam along the true gradient would gain, how much one along the task's gradient gains:
sum(sign(g_task) g_true) / sum |g_true|, over the parameters of f; 1 is the truth itself, 0 is chance. `cosine`: of the
two gradients. Mean and standard error over the cases of the validation split. With `--labels`, the gain in dB on the
frames that were held back. A minute of screening before an hour of evaluation; it measures, and never fails.
"""

from __future__ import annotations

import argparse
import copy
import os
from typing import List, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from ttt4d import weights
from ttt4d.auxiliary import TASKS
from ttt4d.auxiliary.task import Batch
from ttt4d.canvas import Canvas
from ttt4d.device import mixed_precision
from ttt4d.evaluation.datasets import open_data
from ttt4d.evaluation.methods import on_canvas
from ttt4d.evaluation.metrics import psnr
from ttt4d.evaluation.protocol import PROTOCOLS, Pair, pair_of
from ttt4d.network.interpolator import InterpolationNetwork
from ttt4d.training.objectives import log_error

CPU = torch.device("cpu")
DRAWS = 3  # of a task's random numbers
LEARNING_RATE = 3e-4


def frames(network: InterpolationNetwork, canvas: Canvas, batch: Batch, times: Sequence[float]) -> Tensor:
    """(times, 1, k, j, i), without the canvas's padding."""
    phase0, phase1 = (phase.expand(len(times), *phase.shape[1:]) for phase in batch.phases.split(1))
    with mixed_precision(CPU, canvas.padded):
        estimate = network(phase0, phase1, torch.tensor(times), batch.strides)
    k, j, i = canvas.inner
    return estimate.frame(phase0, phase1)[:, :, :k, :j, :i]


def true_loss(network: InterpolationNetwork, canvas: Canvas, batch: Batch, pair: Pair, chosen: Sequence[int]) -> Tensor:
    truth = torch.from_numpy(pair.truth[list(chosen)])[:, None].float()
    return log_error(frames(network, canvas, batch, [pair.times[n] for n in chosen]), truth)


def gradient(loss: Tensor, network: InterpolationNetwork) -> Tensor:
    parameters = list(network.features.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, found)])


def gain_with_labels(network: InterpolationNetwork, canvas: Canvas, batch: Batch, pair: Pair, steps: int) -> float:
    """dB on every second frame after so many steps of f on pairs of the others."""
    network = copy.deepcopy(network)
    shown, held = range(0, len(pair.times), 2), range(1, len(pair.times), 2)
    generator = Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.features.parameters(), lr=LEARNING_RATE)

    def score() -> float:
        with torch.no_grad():
            found = frames(network, canvas, batch, [pair.times[n] for n in held])[:, 0].numpy()
        return float(np.mean([psnr(pair.truth[n], frame) for n, frame in zip(held, found)]))

    before = score()
    for _ in range(steps):
        chosen = [shown[int(torch.randint(len(shown), (), generator=generator))] for _ in range(2)]
        optimizer.zero_grad(set_to_none=True)
        true_loss(network, canvas, batch, pair, chosen).backward()
        optimizer.step()
    return score() - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TTT4D_DATA", "../shared/data/acdc"))
    parser.add_argument("--weights", default="cardiac")
    parser.add_argument("--labels", type=int, default=0, metavar="STEPS")
    args = parser.parse_args()
    model = weights.load(args.weights)
    network = model.network.requires_grad_(False)
    network.features.requires_grad_(True)
    found, gains = {name: [] for name in TASKS}, []
    data = open_data(args.data)
    for case in data.split("validation"):
        pair = pair_of(case, PROTOCOLS[data.protocol])
        canvas, batch = on_canvas(pair, len(network.settings.features), CPU)
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
    print("| task | share | cosine |\n|---|---|---|")
    for name, values in found.items():
        mean, error = np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / len(values)**0.5
        print(f"| {name} | {mean[0]:+.3f} ± {error[0]:.3f} | {mean[1]:+.3f} ± {error[1]:.3f} |")
    if args.labels:
        print(f"{args.labels} steps with every second true frame gain {np.mean(gains):+.2f} dB on the others "
              f"({min(gains):+.2f} to {max(gains):+.2f} a case).")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
