"""Measure methods on the axis between slices: every problem of every volume of a split, a row each.

Example::

    python -m ttt4d.evaluation.slice_protocol --data FOLDER --problems gap-4 thick-4 --methods pchip none in-plane
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import torch

from ..through_plane import classical
from . import metrics, slice_methods
from .slice_problems import PROBLEMS, Problem, comparable, psnr


@dataclass(frozen=True)
class SliceFigures:
    """Figures of one method on one problem of one volume; `gain` is over the best classical method."""

    volume: str
    problem: str
    method: str
    psnr: float
    psnr_body: float
    ssim: float
    gain: float
    seconds: float


def problems(folder: Path, split: str, name: str, volumes: Sequence[str] = (), crop: int = 0
             ) -> Iterator[Tuple[str, Problem]]:
    """Each volume of a split as a problem; crop: pixels about the centre of its slices, all of them if 0."""
    from ..training.slice_sources import read

    with open(folder / "index.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    for row in rows:
        if volumes and row["name"] not in volumes:
            continue
        array, spacing = read(folder / f"{row['name']}.nii.gz")
        volume = torch.from_numpy(comparable(array, row["kind"]).copy())
        if crop:
            first = [max(0, (n - crop) // 2) for n in volume.shape[1:]]
            volume = volume[:, first[0]:first[0] + crop, first[1]:first[1] + crop].contiguous()
        yield row["name"], PROBLEMS[name](volume, spacing)


def evaluate(cases: Sequence[Tuple[str, Problem]], problem: str, methods: Sequence[Tuple[str, slice_methods.Method]],
             with_ssim: bool = True) -> Iterator[SliceFigures]:
    """Figures of each method on each case, as they come."""
    best = {name: max(psnr(case, f(case.acquired, case.positions)) for f in classical.METHODS.values())
            for name, case in cases}
    for method_name, method in methods:
        began = time.monotonic()
        for (name, case), result in zip(cases, method([case for _, case in cases])):
            seconds, value = time.monotonic() - began, psnr(case, result)
            likeness = metrics.ssim(case.truth.numpy(), result.clamp(0, 1).numpy()) if with_ssim else float("nan")
            yield SliceFigures(name, problem, method_name, value, psnr(case, result, body=True), likeness,
                               value - best[name], seconds)
            began = time.monotonic()


def main(arguments: Sequence[str]) -> int:
    """Print a row for each figure as it comes, and write all of them to a JSON file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=["gap-2", "gap-4", "thick-4"])
    parser.add_argument("--methods", nargs="+", choices=slice_methods.names(), default=["none", "in-plane"])
    parser.add_argument("--volumes", nargs="+", default=[])
    parser.add_argument("--weights", default="slices")
    parser.add_argument("--scheme", default="online")
    parser.add_argument("--iterations", type=int, default=0)
    parser.add_argument("--crop", type=int, default=0, help="pixels about the centre of the slices")
    parser.add_argument("--no-ssim", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    found: List[SliceFigures] = []
    for problem in args.problems:
        cases = list(problems(args.data, args.split, problem, args.volumes, args.crop))
        methods = [(name, slice_methods.method(name, args.weights, args.scheme, args.iterations))
                   for name in args.methods]
        for row in evaluate(cases, problem, methods, not args.no_ssim):
            found.append(row)
            print(f"{row.volume:20} {row.problem:14} {row.method:12} {row.psnr:6.2f} {row.gain:+6.2f} "
                  f"body {row.psnr_body:6.2f} SSIM {row.ssim:.4f} {row.seconds:6.1f} s", flush=True)
    if args.json:
        args.json.write_text(json.dumps([dataclasses.asdict(row) for row in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
