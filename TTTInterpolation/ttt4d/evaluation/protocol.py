"""How a method is measured: which frames it is given, which frames it has to find, and what is counted.

Every frame is scaled to [0, 1] by its own minimum and maximum. A method receives the two phases and the times of the
frames strictly between them. Its frames are clipped to [0, 1], where all true frames lie, but not scaled again; this is
the same for all methods. Figures are means over all frames of all cases, not means of case means, with their standard
error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import SettingsError
from ..images.datasets import Case, unit_range
from ..images.volume import Triple
from .metrics import METRICS
from .shifts import Shift

CURVE_BINS = 10


@dataclass(frozen=True)
class Protocol:
    """The grid on which methods are measured.

    Parameters
    ----------
    description : str
        What the protocol does, for tables.
    fit : callable
        Brings the frames (T, k, j, i) of a case, in the intensities of its file, onto the grid of methods and figures.
    comparable : str
        The published table whose figures compare, "cardiac" or "lung"; empty if none does.
    """

    description: str
    fit: Callable[[np.ndarray], np.ndarray]
    comparable: str = ""


@dataclass(frozen=True)
class Pair:
    """One case, ready to be measured. All intensities are in [0, 1].

    Parameters
    ----------
    name : str
        Name of the case.
    phase0, phase1 : ndarray of shape (k, j, i), float32
        The two given phases.
    times : tuple of float
        Time of each frame to find, between 0 (phase 0) and 1 (phase 1).
    truth : ndarray of shape (len(times), k, j, i)
        The acquired frames at these times.
    spacing : tuple of float, or None
        Voxel spacing in mm along (k, j, i); None if it is unknown.
    group : str
        Source or diagnosis of the case; tables have a row for each. Empty if it is unknown.
    """

    name: str
    phase0: np.ndarray
    phase1: np.ndarray
    times: Tuple[float, ...]
    truth: np.ndarray
    spacing: Optional[Triple]
    group: str = ""


class Method:
    """A way to find the frames between two phases. Subclasses define `__call__`; calls may come in any order."""

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        """Return the frames at the given times.

        Parameters
        ----------
        phase0, phase1 : ndarray of shape (k, j, i), float32
            The two phases, intensities in [0, 1].
        times : sequence of float
            Times strictly between 0 (phase 0) and 1 (phase 1).
        spacing : tuple of float, or None
            Voxel spacing in mm along (k, j, i); None if it is unknown.

        Returns
        -------
        sequence of ndarray of shape (k, j, i)
            One frame for each time, in the same order.
        """
        raise NotImplementedError

    def displacement(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Optional[Triple]) -> np.ndarray:
        """Return the motion that carries labels from phase 0 to phase 1.

        Parameters
        ----------
        phase0, phase1, spacing
            As for a call.

        Returns
        -------
        ndarray of shape (k, j, i, 3)
            From the grid of phase 1 to the place of the same tissue in phase 0, in voxels along (k, j, i).

        Raises
        ------
        SettingsError
            If the method finds frames, but no motion.
        """
        raise SettingsError("A method that carries no labels was named: choose ours, a registration, or blend.")

    def cohort(self, pairs: Sequence[Pair]) -> Iterator[Sequence[np.ndarray]]:
        """Yield the frames of each pair, in the order of the pairs.

        A method that learns from the whole cohort before or while it interpolates overrides this. Here every pair is
        independent of the others.
        """
        for pair in pairs:
            yield self(pair.phase0, pair.phase1, pair.times, pair.spacing)


def centre_box(size: Tuple[int, int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that crops and zero-pads frames (T, k, j, i) about their centre to a size (k, j, i).

    The published code prepares ACDC in this way.
    """

    def fit(frames: np.ndarray) -> np.ndarray:
        for axis, target in enumerate(size, 1):
            present = frames.shape[axis]
            first = max(0, (present - target) // 2)
            frames = np.take(frames, range(first, first + min(present, target)), axis=axis)
            missing = target - frames.shape[axis]
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
    """Read a case, fit it to the grid of the protocol and scale its frames.

    Parameters
    ----------
    case : Case
        The case to read.
    protocol : Protocol
        One of `PROTOCOLS`.
    shift : Shift, optional
        A distribution shift to apply to all frames.
    shift_name : str
        Name of the shift; with the name of the case it seeds the random numbers of the shift.
    """
    frames = protocol.fit(case.frames())
    frames = np.stack([unit_range(frames[n]) for n in (case.first, *case.between, case.last)])
    truth, spacing = frames, case.spacing
    if shift is not None:
        frames, truth = shift(frames, f"{shift_name} {case.name}")
        spacing = spacing and shift.scaled(spacing)
    return Pair(case.name, frames[0], frames[-1], case.times, truth[1:-1], spacing, case.group)


def evaluate(pairs: Sequence[Pair], methods: Mapping[str, Method],
             progress: Callable[[str, str], None] = lambda method, case: None) -> Dict[str, Any]:
    """Measure methods on pairs.

    Parameters
    ----------
    pairs : sequence of Pair
        The cases.
    methods : mapping of str to Method
        The methods by the names that tables show.
    progress : callable
        Called with the names of the method and of the case before each measurement.

    Returns
    -------
    dict
        Plain JSON. `frames`: how many frames were measured. `methods`: for each method the mean and the standard error
        (`_se`) of each figure over all frames, the mean seconds a case, and the PSNR over time (`curve`: pairs of time
        and dB in ten steps). `groups`: the same figures for the cases of each group. `cases`: the same for each case,
        with the PSNR at each of its times.

    Raises
    ------
    ValueError
        If a method returns another number of frames than it was asked for.
    """
    cases: List[Dict[str, Any]] = [{"name": pair.name, "group": pair.group, "methods": {}} for pair in pairs]
    summary: Dict[str, Any] = {}
    groups: Dict[str, Dict[str, Any]] = {pair.group: {} for pair in pairs}
    for name, method in methods.items():
        figures: List[List[Dict[str, float]]] = []
        seconds: List[float] = []
        found = method.cohort(pairs)
        for pair, case in zip(pairs, cases):
            progress(name, pair.name)
            begin = time.perf_counter()
            frames = list(next(found))
            seconds.append(time.perf_counter() - begin)
            if len(frames) != len(pair.times):
                raise ValueError(f"{name} gave {len(frames)} frames for {len(pair.times)} times.")
            figures.append([_figures(truth, frame, pair.spacing) for truth, frame in zip(pair.truth, frames)])
            case["methods"][name] = {**_means(figures[-1]), "seconds": seconds[-1],
                                     "curve": [[t, f["psnr"]] for t, f in zip(pair.times, figures[-1])]}
        for group, rows in groups.items():
            rows[name] = _means([f for pair, each in zip(pairs, figures) if pair.group == group for f in each])
        everything = [f for each in figures for f in each]
        summary[name] = {**_means(everything), "seconds": float(np.mean(seconds)),
                         "curve": _curve([t for pair in pairs for t in pair.times], everything)}
    return {"frames": sum(len(pair.times) for pair in pairs), "methods": summary, "groups": groups, "cases": cases}


def _figures(truth: np.ndarray, frame: np.ndarray, spacing: Optional[Triple]) -> Dict[str, float]:
    """Compute every figure of one frame, clipped to [0, 1]."""
    frame = np.clip(frame, 0, 1)
    return {metric.name: metric(truth, frame, spacing) for metric in METRICS.values()}


def _means(figures: Sequence[Mapping[str, float]]) -> Dict[str, float]:
    """Average each figure over frames; `_se` is the standard error of the mean."""
    result = {}
    for metric in METRICS.values():
        values = np.array([f[metric.name] for f in figures])
        result[metric.name] = float(values.mean())
        result[f"{metric.name}_se"] = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return result


def _curve(times: Sequence[float], figures: Sequence[Mapping[str, float]]) -> List[List[float]]:
    """Average the PSNR of the frames in each tenth of the time, where there are any."""
    bins = np.minimum((np.array(times) * CURVE_BINS).astype(int), CURVE_BINS - 1)
    psnr = np.array([f["psnr"] for f in figures])
    return [[(b + 0.5) / CURVE_BINS, float(psnr[bins == b].mean())] for b in range(CURVE_BINS) if (bins == b).any()]
