"""The report of a run, and the part of it that the header of its result keeps. Standard library only."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from typing import Any, Dict, List, Mapping, Optional, TypedDict

from . import __version__

NOTICE = "Synthetic frames are computed, not measured. Not for clinical use."


class WeightsReport(TypedDict):
    """The base weights of a run.

    Parameters
    ----------
    name : str
        Packaged name, or name of the user's file without its folder.
    sha256 : str
        Checksum of the file.
    date : str or None
        When the weights were made, as their card says.
    """

    name: str
    sha256: str
    date: Optional[str]


class AdaptationReport(TypedDict):
    """The adaptation to one batch.

    Parameters
    ----------
    batch : int
        Number of the batch, which is the number of the pair of phases.
    losses : list of float
        The auxiliary loss before each step.
    held_out_loss : list of float
        The mean auxiliary loss on held-out random draws before and after the steps.
    kept : bool
        False if the steps were undone because they did not lower the held-out loss.
    """

    batch: int
    losses: List[float]
    held_out_loss: List[float]
    kept: bool


class FrameReport(TypedDict):
    """One frame.

    Parameters
    ----------
    index : float
        Position in the whole sequence, in percent.
    pair : int
        Number of the pair of phases.
    time : float
        Time within the pair: 0 is its first phase, 1 its second.
    acquired : bool
        Whether it is a given phase; all others are synthetic.
    """

    index: float
    pair: int
    time: float
    acquired: bool


class RunReport(TypedDict):
    """What was done in a run, as plain data: the file of `--report` holds it as JSON.

    Parameters
    ----------
    settings : dict
        The settings, as `InterpolationSettings.to_json` gives them.
    weights : WeightsReport
        The base weights.
    device : str
        The device that the run ended on.
    messages : list of str
        What was assumed, changed or given up: one full sentence each.
    seconds : dict of str to float
        Seconds of each stage: reading, loading, adaptation, interpolation, writing.
    adaptation : list of AdaptationReport
        One entry for each batch; empty without adaptation.
    frames : list of FrameReport
        One entry for each frame, in order of time.
    not_for_clinical_use : bool
        True.
    """

    settings: Dict[str, Any]
    weights: WeightsReport
    device: str
    messages: List[str]
    seconds: Dict[str, float]
    adaptation: List[AdaptationReport]
    frames: List[FrameReport]
    not_for_clinical_use: bool


class JobReport(RunReport, total=False):
    """A `RunReport` with what is known when the run has begun, and when its files are written.

    Parameters
    ----------
    canvas : list of int
        Size (k, j, i) of the grid of the network, in voxels.
    versions : dict of str to str
        Of this program, Python, the system and the libraries.
    date : str
        When writing began: ISO 8601, in UTC.
    peak_memory_mib : float or None
        The largest main memory of the process, in MiB; None where the system does not say.
    peak_gpu_memory_mib : float or None
        The largest memory on the GPU, in MiB; None without CUDA.
    slices : dict
        Where slices were filled in: their axis, how they were taken (gap or thick), their thickness in mm, the spacings
        in mm and the counts before and after, and the numbers of the acquired slices in the result. Of frames between
        phases also the numbers of the frames that hold acquired slices, the settings, weights and adaptation.
    motion : list of dict
        Where displacements, carried labels or maps were asked for: one entry for each pair of phases, with `pair`, its
        `pace` (pairs of time and share of the way) and `folded_percent` (share of voxels where the motion folds).
    volumes : list of dict
        Where labels were carried: one entry for each label; see `ttt4d.motion.volumes.VolumeCurve`.
    """

    canvas: List[int]
    versions: Dict[str, str]
    date: str
    peak_memory_mib: Optional[float]
    peak_gpu_memory_mib: Optional[float]
    motion: List[Dict[str, Any]]
    volumes: List[Dict[str, Any]]
    slices: Dict[str, Any]


def versions() -> Dict[str, str]:
    """Return the versions of the program, of Python, and of the libraries that change the numbers."""
    found = {"ttt4d": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in ("torch", "numpy", "SimpleITK", "safetensors"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # there, but not installed by a package manager
            found[name] = "unknown"
    return found


def peak_memory_mib() -> Optional[float]:
    """Return the largest main memory of this process so far, in MiB; None where the system does not say."""
    if os.path.exists("/proc/self/status"):
        # Not getrusage: on Linux its figure starts with the peak of the program that started this one.
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM")), None)
    if sys.platform == "win32":
        return _windows_peak_mib()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def peak_gpu_memory_mib(device: str) -> Optional[float]:
    """Return the largest memory of this process on a CUDA device so far, in MiB; None for another device."""
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20 if device.startswith("cuda") else None


def provenance(report: Mapping[str, Any]) -> Dict[str, str]:
    """Return the metadata written to the header of each output file.

    Parameters
    ----------
    report : JobReport
        The report as it is before the first frame.

    Returns
    -------
    dict of str to str
        It holds no name of a file except that of a weights file of the user.
    """
    return {
        "ttt4d.version": report["versions"]["ttt4d"],
        "ttt4d.torch": report["versions"]["torch"],
        "ttt4d.settings": json.dumps(report["settings"]),
        "ttt4d.seed": str(report["settings"]["seed"]),
        "ttt4d.weights": os.path.basename(report["weights"]["name"]),
        "ttt4d.weights.sha256": report["weights"]["sha256"],
        "ttt4d.date": report["date"],
        "ttt4d.notice": NOTICE,
        **_of_slices(report.get("slices", {})),
        **({"ttt4d.messages": " ".join(report["messages"])} if report["messages"] else {}),
    }


def _of_slices(slices: Mapping[str, Any]) -> Dict[str, str]:
    """Return the entries of a second axis in one run, which has settings and weights of its own."""
    if "weights" not in slices:
        return {}
    return {"ttt4d.slices.settings": json.dumps(slices["settings"]), "ttt4d.slices.weights": slices["weights"]["name"],
            "ttt4d.slices.weights.sha256": slices["weights"]["sha256"]}


def _windows_peak_mib() -> Optional[float]:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [("size", wintypes.DWORD), ("faults", wintypes.DWORD)] + [
            (name, ctypes.c_size_t) for name in ("peak", "now", "a", "b", "c", "d", "e", "f")]

    counters = Counters(size=ctypes.sizeof(Counters))
    windows: Any = getattr(ctypes, "windll")  # noqa: B009 - not there on other systems, as type checkers know
    ask = windows.psapi.GetProcessMemoryInfo
    ask.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    here = windows.kernel32.GetCurrentProcess
    here.restype = wintypes.HANDLE
    return counters.peak / 2**20 if ask(here(), ctypes.byref(counters), counters.size) else None
