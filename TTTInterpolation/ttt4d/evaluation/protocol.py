"""How a method is measured: which frames it is given, which it has to find, and what is counted.

Every frame is scaled to [0, 1] by its own minimum and maximum. A method gets the two phases and the times of the frames
strictly between them; what it returns is cut off at 0 and 1, where all true frames lie, for all methods alike, and not
scaled. Figures are means over all frames of all cases, not of case means, with their standard error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..images.datasets import Case, Triple, unit_range
from .metrics import METRICS
from .shifts import Shift

CURVE_BINS = 10


@dataclass(frozen=True)
class Protocol:
    """words: what it does, for tables and reports.

    fit: brings the frames (T, k, j, i) of a case, in its own intensities, onto the grid of methods and figures.
    comparable: with the published tables, `cardiac` or `lung`; empty where figures do not compare with them.
    """

    words: str
    fit: Callable[[np.ndarray], np.ndarray]
    comparable: str = ""


@dataclass(frozen=True)
class Pair:
    """One case, ready to be measured: all intensities in [0, 1].

    phase0, phase1: (k, j, i) float32; truth: (N, k, j, i), the frame of each time; spacing: mm along (k, j, i) or None.
    """

    name: str
    phase0: np.ndarray
    phase1: np.ndarray
    times: Tuple[float, ...]
    truth: np.ndarray
    spacing: Optional[Triple]


class Method:
    """Something that finds frames. Subclasses say how; one object measures one data set."""

    def prepare(self, pairs: Sequence[Pair]) -> None:
        """Called once with all cases before the first is interpolated, for methods that learn from the whole cohort."""

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        """The frames (k, j, i) at the times, from two phases (k, j, i) in [0, 1]; spacing as in `Pair`."""
        raise NotImplementedError


def centre_box(size: Tuple[int, int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Frames (T, k, j, i) cut and zero-padded about their centre to a size (k, j, i), as the published code does."""

    def fit(frames: np.ndarray) -> np.ndarray:
        for axis, wanted in enumerate(size, 1):
            there = frames.shape[axis]
            first = max(0, (there - wanted) // 2)
            frames = np.take(frames, range(first, first + min(there, wanted)), axis=axis)
            missing = wanted - frames.shape[axis]
            pad = [(0, 0)] * 4
            pad[axis] = (missing // 2, missing - missing // 2)
            frames = np.pad(frames, pad)
        return frames

    return fit


PROTOCOLS: Dict[str, Protocol] = {
    "crop": Protocol("frames as they are, no padding", lambda frames: frames),
    "acdc-paper": Protocol("centre 128 x 128, zero-padded to 32 slices", centre_box((32, 128, 128)), "cardiac"),
    "lung-paper": Protocol("resized to 128 x 128 x 128, phases 0 to 5", lambda frames: frames, "lung"),
}


def pair_of(case: Case, protocol: Protocol, shift: Optional[Shift] = None, shift_name: str = "") -> Pair:
    """A case read, fitted, scaled and, if asked for, shifted."""
    frames = protocol.fit(case.frames())
    frames = np.stack([unit_range(frames[n]) for n in (case.first, *case.between, case.last)])
    truth, spacing = frames, case.spacing
    if shift is not None:
        frames, truth = shift(frames, f"{shift_name} {case.name}")
        spacing = spacing and tuple(s * f for s, f in zip(spacing, shift.spacing))
    return Pair(case.name, frames[0], frames[-1], case.times, truth[1:-1], spacing)


def evaluate(pairs: Sequence[Pair], methods: Mapping[str, Method],
             progress: Callable[[str, str], None] = lambda method, case: None) -> Dict[str, Any]:
    """Measure methods on pairs.

    Gives plain JSON: `methods` with the mean and standard error (`_se`) of each figure over all frames, the mean
    seconds a case and the PSNR over time (`curve`, pairs of time and dB in ten steps); `cases` with the same for each
    case, and its PSNR at each time. `progress` hears of each method and case before it is run.
    """
    cases: List[Dict[str, Any]] = [{"name": pair.name, "methods": {}} for pair in pairs]
    summary: Dict[str, Any] = {}
    for name, method in methods.items():
        begin = time.perf_counter()
        method.prepare(pairs)
        shared = (time.perf_counter() - begin) / max(1, len(pairs))
        figures, times, seconds = [], [], []
        for pair, case in zip(pairs, cases):
            progress(name, pair.name)
            begin = time.perf_counter()
            frames = list(method(pair.phase0, pair.phase1, pair.times, pair.spacing))
            seconds.append(time.perf_counter() - begin + shared)
            if len(frames) != len(pair.times):
                raise ValueError(f"{name} gave {len(frames)} frames for {len(pair.times)} times.")
            measured = [{key: metric(truth, np.clip(frame, 0, 1)) for key, metric in METRICS.items()}
                        for truth, frame in zip(pair.truth, frames)]
            case["methods"][name] = {**_means(measured), "seconds": seconds[-1],
                                     "curve": [[t, m["psnr"]] for t, m in zip(pair.times, measured)]}
            figures += measured
            times += pair.times
        summary[name] = {**_means(figures), "seconds": float(np.mean(seconds)), "curve": _curve(times, figures)}
    return {"frames": sum(len(pair.times) for pair in pairs), "methods": summary, "cases": cases}


def _means(figures: Sequence[Mapping[str, float]]) -> Dict[str, float]:
    result = {}
    for key in METRICS:
        values = np.array([f[key] for f in figures])
        result[key] = float(values.mean())
        result[f"{key}_se"] = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return result


def _curve(times: Sequence[float], figures: Sequence[Mapping[str, float]]) -> List[List[float]]:
    """PSNR over time: the mean of the frames in each tenth of the way, where there are any."""
    bins = np.minimum((np.array(times) * CURVE_BINS).astype(int), CURVE_BINS - 1)
    psnr = np.array([f["psnr"] for f in figures])
    return [[(b + 0.5) / CURVE_BINS, float(psnr[bins == b].mean())] for b in range(CURVE_BINS) if (bins == b).any()]
