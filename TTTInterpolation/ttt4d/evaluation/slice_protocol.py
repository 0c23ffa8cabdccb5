"""The protocol of the axis between slices: each problem of each volume of a split, with each method.

References
----------
Peak signal-to-noise ratio for a peak of 1 on the intensities of `slice_problems.comparable`, over the missing slices
(`gap`) or all of them (`thick`); over the body too, as an empty background flatters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import torch

from ..errors import InputError
from ..images.datasets import index_rows
from ..through_plane import classical
from . import metrics, slice_methods
from .slice_problems import PROBLEMS, Problem, comparable, psnr

# The split of an index.csv that each problem is made of, unless the user names another.
HELD_OUT, THICK_SPLIT = "validation", "thick"
Cases = List[Tuple[str, Problem]]


@dataclass(frozen=True)
class SliceFigures:
    """Figures of one method on one problem of one volume.

    Parameters
    ----------
    volume, group, problem, method : str
        What was measured; the group is the kind of volume, such as "mr".
    psnr, psnr_body : float
        In dB; over the slices that count, and over their voxels above 2 % of the range.
    ssim : float
        Structural similarity in 3D, or not a number if it was left out.
    gain, gain_ssim : float
        `psnr` and `ssim` less the highest ones of the classical methods.
    seconds : float
        Wall time.
    """

    volume: str
    group: str
    problem: str
    method: str
    psnr: float
    psnr_body: float
    ssim: float
    gain: float
    gain_ssim: float
    seconds: float


def split_of(problem: str) -> str:
    """Return the split that a problem is made of."""
    return THICK_SPLIT if problem == "thick" else HELD_OUT


def cases(folder: Path, problem: str, split: str = "", names: Sequence[str] = (), crop: int = 0) -> Cases:
    """Return the volumes of a split, each as a problem.

    Parameters
    ----------
    folder : Path
        Holds index.csv and the volumes.
    problem : str
        A name of `slice_problems.PROBLEMS`.
    split, names
        The split (default: the problem's own), and those of its volumes that are wanted (default: all).
    crop : int
        Pixels about the centre of the slices; 0 for all of them.
    """
    from ..training.slice_sources import read

    found = []
    for row in index_rows(folder, split or split_of(problem), names):
        array, spacing = read(folder / f"{row['name']}.nii.gz")
        volume = torch.from_numpy(comparable(array, row["kind"]).copy())
        if crop:
            first = [max(0, (n - crop) // 2) for n in volume.shape[1:]]
            volume = volume[:, first[0]:first[0] + crop, first[1]:first[1] + crop].contiguous()
        found.append((row["name"], PROBLEMS[problem](volume, spacing)))
    if not found:
        raise InputError(f"There is no volume to measure {problem} on: choose another split or other cases.")
    return found


def evaluate(found: Cases, problem: str, methods: Sequence[Tuple[str, slice_methods.Method]], with_ssim: bool = True,
             show: Callable[[str], None] = lambda line: None) -> Iterator[SliceFigures]:
    """Yield the figures of each method on each case, as they come; the classical methods come first, always."""
    best: Dict[str, Tuple[float, float]] = {}

    def likeness(case: Problem, result: torch.Tensor) -> float:
        return metrics.ssim(case.truth.numpy(), result.clamp(0, 1).numpy()) if with_ssim else float("nan")

    for name, case in found:
        show(f"{problem} classical {name}")
        results = [f(case.acquired, case.positions) for f in classical.METHODS.values()]
        best[name] = max(psnr(case, r) for r in results), max(likeness(case, r) for r in results)
    for method_name, method in methods:
        show(f"{problem} {method_name}")
        began = time.monotonic()
        for (name, case), result in zip(found, method([case for _, case in found])):
            seconds, value, ssim = time.monotonic() - began, psnr(case, result), likeness(case, result)
            yield SliceFigures(name, group_of(name), problem, method_name, value, psnr(case, result, body=True), ssim,
                               value - best[name][0], ssim - best[name][1], seconds)
            began = time.monotonic()


def group_of(name: str) -> str:
    """Return what kind of volume a case is: its name without the number of the patient."""
    return "-".join(part for part in name.split("-") if not part.isdigit())
