"""The only real cross-view truth: one organ in three orthogonal stacks of thick slices.

The axial stack is refined, brought onto the coronal and the sagittal one where they overlap, and compared with what was
acquired there. Each voxel of those is a mean over its own thickness, so the refined stack is seen through it too.

A patient moves between two stacks. Where they are a millimetre apart, the most blurred stack is the most alike. So each
crossing stack is also compared where it fits the axial one best, when that is refined by linear interpolation.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Dict, Iterator, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..images.datasets import index_rows
from ..through_plane import classical
from ..through_plane.profile import FWHM_PER_SIGMA
from . import metrics, slice_methods
from .slice_problems import Problem, comparable

# Slices looked for between two acquired ones of the axial stack.
FACTOR = 4
# Places across the thickness of a voxel at which the refined stack is read.
ACROSS = (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75)
# Steps in mm by which a crossing stack is moved, until no step brings it closer.
STEPS = (0.8, 0.4)


def read(path: Path) -> Tuple[Tensor, np.ndarray]:
    """Voxels (k, j, i) on the scale of the figures, and the matrix from (i, j, k) to world millimetres."""
    import nibabel

    image: Any = nibabel.load(path)
    return torch.from_numpy(comparable(np.asarray(image.dataobj, np.float32).T, "mr").copy()), image.affine


def refinement(stack: Tensor, affine: np.ndarray) -> Problem:
    """Return the refinement of a stack as a problem without an answer."""
    positions = torch.arange((len(stack) - 1) * FACTOR + 1) / FACTOR
    di, dj, dk = (float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    return Problem(stack, torch.empty(0), positions, (dk, dj, di), dk, dk / FACTOR, torch.empty(0))


def seen_from(refined: Tensor, affine: np.ndarray, shape: Sequence[int], onto: np.ndarray) -> Tuple[Tensor, Tensor]:
    """Resample the refined stack onto another stack's grid of a shape (k, j, i).

    Returns the values and which voxels of that grid the refined stack covers.
    """
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape[::-1]), indexing="ij"), -1).astype(float)
    weights = np.exp(-0.5 * (np.array(ACROSS) * FWHM_PER_SIGMA)**2)
    to_refined = np.linalg.inv(affine) @ onto
    size = np.array([refined.shape[2], refined.shape[1], (len(refined) - 1) / FACTOR + 1])
    total, covered = torch.zeros(tuple(shape)), torch.ones(tuple(shape), dtype=torch.bool)
    for offset, weight in zip(ACROSS, weights / weights.sum()):
        places = (index + [0, 0, offset]) @ to_refined[:3, :3].T + to_refined[:3, 3]
        grid = torch.from_numpy(2 * places / (size - 1) - 1).float().permute(2, 1, 0, 3)
        total = total + weight * F.grid_sample(refined[None, None], grid[None], align_corners=True)[0, 0]
        covered = covered & (grid.abs() <= 1).all(-1)
    return total, covered


def overlap(covered: Tensor) -> Tuple[slice, ...]:
    """Return the box (k, j, i) in which nearly all voxels are covered."""
    box = []
    for axis in range(3):
        share = covered.float().mean(tuple(a for a in range(3) if a != axis))
        there = torch.nonzero(share > 0.9 * share.max()).flatten()
        box.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(box)


def likeness(refined: Tensor, affine: np.ndarray, truth: Tensor, onto: np.ndarray) -> float:
    """Return the local NCC of a refined stack with a crossing one, where the refined one covers it."""
    seen, covered = seen_from(refined, affine, truth.shape, onto)
    box = overlap(covered)
    return metrics.ncc(truth[box].numpy(), seen[box].numpy())


def aligned(refined: Tensor, affine: np.ndarray, truth: Tensor, onto: np.ndarray) -> np.ndarray:
    """Return the matrix of a crossing stack, moved to where it is most like a refined one, axis by axis."""
    best = likeness(refined, affine, truth, onto)
    for step in STEPS:
        closer = True
        while closer:
            closer = False
            for axis, sign in itertools.product(range(3), (-1, 1)):
                moved = onto.copy()
                moved[axis, 3] += sign * step
                found = likeness(refined, affine, truth, moved)
                if found > best:
                    best, onto, closer = found, moved, True
    return onto


def evaluate(folder: Path, methods: Sequence[Tuple[str, slice_methods.Method]]) -> Iterator[Dict[str, Any]]:
    """Yield the local NCC of each method with each of the stacks that cross the axial one, as acquired and aligned."""
    names = [row["name"] for row in index_rows(folder, "views")]
    if not any(name.endswith("tra") for name in names):
        raise InputError("There are no stacks of crossing views in this data: leave the problem views out.")
    axial, affine = read(folder / f"{next(n for n in names if n.endswith('tra'))}.nii.gz")
    problem = refinement(axial, affine)
    linear = classical.METHODS["linear"](problem.acquired, problem.positions)
    stacks = []
    for crossing in (n for n in names if not n.endswith("tra")):
        truth, onto = read(folder / f"{crossing}.nii.gz")
        stacks.append((crossing, truth, onto, aligned(linear, affine, truth, onto)))
    for name, method in methods:
        refined = next(method([problem]))
        for crossing, truth, onto, moved in stacks:
            yield {"method": name, "stack": crossing, "moved_mm": (moved - onto)[:3, 3].tolist(),
                   "ncc": likeness(refined, affine, truth, onto),
                   "ncc_aligned": likeness(refined, affine, truth, moved)}
