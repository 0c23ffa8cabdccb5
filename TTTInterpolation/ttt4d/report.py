"""What a run says of itself: versions, memory, and the words kept in the header of its result."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from typing import Any, Dict, Optional

from . import __version__

NOTICE = "Synthetic frames are computed, not measured. Not for clinical use."


def versions() -> Dict[str, str]:
    """Of the program, of Python, and of the libraries that make the numbers."""
    found = {"ttt4d": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in ("torch", "numpy", "SimpleITK", "safetensors"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # there, but not installed by a package manager
            found[name] = "unknown"
    return found


def peak_memory_mib() -> Optional[float]:
    """The most main memory this process has held, in MiB; None where the system does not tell."""
    if os.path.exists("/proc/self/status"):
        # Not getrusage: on Linux its figure starts with the peak of the program that started this one.
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM")), None)
    if sys.platform == "win32":
        return _windows_peak_mib()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def peak_gpu_memory_mib(device: str) -> Optional[float]:
    """The most memory this process has held on a CUDA device, in MiB; None on any other."""
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20 if device.startswith("cuda") else None


def provenance(report: Dict[str, Any]) -> Dict[str, str]:
    """What the header of a result keeps of its report, as it is before the first frame: flat words, no names of files
    but a user's own weights.
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
        **({"ttt4d.messages": " ".join(report["messages"])} if report["messages"] else {}),
    }


def _windows_peak_mib() -> Optional[float]:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [("size", wintypes.DWORD), ("faults", wintypes.DWORD)] + [
            (name, ctypes.c_size_t) for name in ("peak", "now", "a", "b", "c", "d", "e", "f")]

    counters = Counters(size=ctypes.sizeof(Counters))
    ask = ctypes.windll.psapi.GetProcessMemoryInfo
    ask.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    here = ctypes.windll.kernel32.GetCurrentProcess
    here.restype = wintypes.HANDLE
    return counters.peak / 2**20 if ask(here(), ctypes.byref(counters), counters.size) else None
