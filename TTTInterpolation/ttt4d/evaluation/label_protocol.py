"""How carried labels are measured: experts' labels of the first phase, carried to the second and compared there.

Every method gets the two phases, scaled to [0, 1], and gives one displacement field. The labels are carried in the same
way for all methods.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch

from ..errors import InputError
from ..images.datasets import Case, unit_range
from ..images.volume import Triple
from ..motion.carry import LabelCarrier
from ..motion.diffeomorphism import jacobian_determinant
from .baselines import load_extra
from .protocol import Method

# The structures of ACDC by the value of their label.
STRUCTURES = {1: "RV", 2: "myocardium", 3: "LV"}
VENTRICLES = (1, 3)


@dataclass(frozen=True)
class LabelledPair:
    """One case with the experts' labels of both phases.

    Parameters
    ----------
    name : str
        Name of the case.
    phase0, phase1 : ndarray of shape (k, j, i), float32
        The phases, in [0, 1].
    labels0, labels1 : ndarray of shape (k, j, i), uint8
        Their labels.
    spacing : tuple of float
        Voxel spacing in mm along (k, j, i).
    trained_on : bool
        Whether our weights were trained on this case.
    """

    name: str
    phase0: np.ndarray
    phase1: np.ndarray
    labels0: np.ndarray
    labels1: np.ndarray
    spacing: Triple
    trained_on: bool

    @classmethod
    def of(cls, case: Case, trained_on: bool) -> LabelledPair:
        """Read a case. Raises InputError if it has no labels, or its spacing is unknown."""
        if not case.labels or case.spacing is None:
            raise InputError(f"Case {case.name} has no label maps of both phases, or no spacing: leave it out.")
        frames, (labels0, labels1) = case.frames(), case.label_maps()
        return cls(case.name, unit_range(frames[case.first]), unit_range(frames[case.last]),
                   labels0.astype(np.uint8), labels1.astype(np.uint8), case.spacing, trained_on)


def evaluate_labels(pairs: Sequence[LabelledPair], methods: Mapping[str, Method],
                    progress: Callable[[str, str], None] = lambda method, case: None) -> Dict[str, Any]:
    """Carry the labels of each pair by each method.

    Parameters
    ----------
    pairs : sequence of LabelledPair
        The cases.
    methods : mapping of str to Method
        The methods by the names that tables show.
    progress : callable
        Called with the names of the method and of the case before each measurement.

    Returns
    -------
    dict
        Plain JSON. `cases`: the figures of each case by method. `methods`: their means over all cases. `trained_on` and
        `held_out`: the means over the cases that our weights were trained on, and over the others.
    """
    cases: List[Dict[str, Any]] = [{"name": pair.name, "trained_on": pair.trained_on, "methods": {}} for pair in pairs]
    for name, method in methods.items():
        for pair, case in zip(pairs, cases):
            progress(name, pair.name)
            began = time.perf_counter()
            field = method.displacement(pair.phase0, pair.phase1, pair.spacing)
            seconds = time.perf_counter() - began
            case["methods"][name] = {**label_figures(pair, field), "seconds": seconds}

    def means(chosen: Sequence[Dict[str, Any]]) -> Dict[str, Dict[str, float]]:
        return {name: _means([case["methods"][name] for case in chosen]) for name in methods} if chosen else {}

    return {"cases": cases, "methods": means(cases), **{
        group: means([case for case in cases if case["trained_on"] == known])
        for group, known in (("trained_on", True), ("held_out", False))}}


def label_figures(pair: LabelledPair, displacement: np.ndarray) -> Dict[str, Optional[float]]:
    """Carry the labels of phase 0 along a displacement field, and compare them with those of phase 1.

    Parameters
    ----------
    pair : LabelledPair
        The case.
    displacement : ndarray of shape (k, j, i, 3)
        From the grid of phase 1 to phase 0, in voxels.

    Returns
    -------
    dict of str to float
        For each structure `dice_NAME` and `hd95_NAME` (95th percentile of the Hausdorff distance, mm); for each
        ventricle its true and carried ejection fraction (`ef_NAME_true`, `ef_NAME`, percent) and `ef_error_NAME` in
        points; `folded_percent`, the share of voxels where the determinant of the Jacobian is not above 0.
    """
    carried = LabelCarrier(pair.labels0, pair.spacing).carry(displacement)
    found: Dict[str, Optional[float]] = {}
    for label, name in STRUCTURES.items():
        found[f"dice_{name}"] = dice(carried == label, pair.labels1 == label)
        found[f"hd95_{name}"] = hausdorff95(carried == label, pair.labels1 == label, pair.spacing)
    for label in VENTRICLES:
        name, before = STRUCTURES[label], int(np.count_nonzero(pair.labels0 == label))
        true, ours = (100 * (1 - np.count_nonzero(labels == label) / max(before, 1))
                      for labels in (pair.labels1, carried))
        found.update({f"ef_{name}_true": true, f"ef_{name}": ours, f"ef_error_{name}": abs(ours - true)})
    field = torch.from_numpy(np.ascontiguousarray(np.moveaxis(displacement, -1, 0), dtype=np.float32))[None]
    found["folded_percent"] = 100 * float((jacobian_determinant(field) <= 0).double().mean())
    return found


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice coefficient of two masks, 0 to 1, by MONAI."""
    metrics = load_extra("monai.metrics", "monai")
    return float(metrics.compute_dice(*_batches(found, truth), include_background=True)[0, 0])


def hausdorff95(found: np.ndarray, truth: np.ndarray, spacing: Triple) -> Optional[float]:
    """Return the 95th percentile of the Hausdorff distance of two masks in mm, by MONAI; None if one is empty."""
    if not found.any() or not truth.any():
        return None
    metrics = load_extra("monai.metrics", "monai")
    return float(metrics.compute_hausdorff_distance(*_batches(found, truth), include_background=True, percentile=95,
                                                    spacing=[float(s) for s in spacing])[0, 0])


def _batches(*masks: np.ndarray) -> List[torch.Tensor]:
    return [torch.from_numpy(mask)[None, None].float() for mask in masks]


def _means(figures: Sequence[Mapping[str, Optional[float]]]) -> Dict[str, float]:
    """Average each figure over the cases that have it."""
    return {name: float(np.mean([f[name] for f in figures if f[name] is not None] or [np.nan])) for name in figures[0]}
