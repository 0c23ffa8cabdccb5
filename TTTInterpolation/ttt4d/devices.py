"""Devices: which are there, which of them run the network, and when their memory is full."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .errors import DeviceError, InstallationError

# Names of glibc's `malloc.h`.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def available() -> List[Dict[str, str]]:
    """Return name and description of every device that torch sees; `probe` finds out whether it works."""
    found = [{"name": "cpu", "description": f"CPU, {torch.get_num_threads()} threads"}]
    for number in range(torch.cuda.device_count()):
        found.append({"name": f"cuda:{number}", "description": torch.cuda.get_device_name(number)})
    if _mps():
        found.append({"name": "mps", "description": "Apple GPU"})
    return found


def probe(device: torch.device) -> str:
    """Run the operations of the networks once, forward and backward, and return what is wrong; empty if they work.

    `torch.cuda.is_available()` is true for cards this torch has no kernels for, and MPS lacks some 3D operation or
    other in every version: only running all of them tells.
    """
    try:
        image = torch.linspace(0, 1, 162, device=device).view(2, 1, 1, 9, 9)
        kernel = torch.full((1, 1, 3, 3, 3), 0.1, device=device, requires_grad=True)
        coarse = F.leaky_relu(F.conv3d(image, kernel, stride=(1, 2, 2), padding=1), 0.1)
        fine = F.interpolate(F.adaptive_avg_pool3d(coarse, (1, 4, 4)), size=(1, 9, 9), mode="trilinear",
                             align_corners=True)
        places = torch.linspace(-1, 1, 486, device=device).view(2, 1, 9, 9, 3) * fine.movedim(1, -1)
        result = F.avg_pool3d(F.grid_sample(fine, places, padding_mode="border", align_corners=True), (1, 3, 3)).sum()
        result.backward()
        return "" if torch.isfinite(result).item() else "its results are not finite"
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        return str(error).splitlines()[0]


def check_numpy() -> None:
    """Raise InstallationError where PyTorch cannot exchange arrays with NumPy.

    A PyTorch that was built for NumPy 1 can be imported beside NumPy 2, but it fails at the first array.
    """
    try:
        torch.from_numpy(np.zeros(1)).numpy()
    except RuntimeError as error:
        raise InstallationError(
            f"PyTorch {torch.__version__} does not work with NumPy {np.__version__}: install a NumPy that fits it (pip "
            "install \"numpy<2\"), or a newer PyTorch.") from error


def choose(name: str, messages: List[str]) -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:N", "mps", or "auto" for the first of CUDA, MPS and CPU that passes `probe`.
    messages : list of str
        "auto" says here which device was there but did not pass.

    Raises
    ------
    DeviceError
        The device is unknown, absent, or does not pass.
    InstallationError
        PyTorch does not work with NumPy.
    """
    check_numpy()
    if name == "auto":
        for candidate in (["cuda"] if torch.cuda.is_available() else []) + (["mps"] if _mps() else []):
            trouble = probe(torch.device(candidate))
            if not trouble:
                return _indexed(candidate)
            messages.append(
                f"The device {candidate} is there but does not run the network ({trouble}): the CPU is used.")
        return torch.device("cpu")
    known = [d["name"] for d in available()] + (["cuda"] if torch.cuda.is_available() else [])
    if name not in known:
        raise DeviceError(f"There is no device '{name}' here: choose auto or one of {', '.join(known)}.")
    trouble = probe(torch.device(name))
    if trouble:
        raise DeviceError(f"The device {name} does not run the network ({trouble}): choose auto or cpu.")
    return _indexed(name)


def _indexed(name: str) -> torch.device:
    """Return a device with its number: older versions of torch need it to tell the memory of a GPU."""
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def mixed_precision(device: torch.device, size: Sequence[int]) -> torch.autocast:
    """Return a context of 16-bit convolutions where they are faster than 32-bit ones.

    Parameters
    ----------
    device : torch.device
        16 bits are faster on recent GPUs, and on CPUs with the instructions.
    size : sequence of int
        Size (k, j, i) of the grid.
    """
    if device.type == "cuda":  # torch says it of older cards too, which only imitate it; AMD's all have it
        fast = bool(torch.version.hip) or torch.cuda.get_device_capability(device)[0] >= 8
    else:
        fast = (
            device.type == "cpu" and "avx512_bf16" in _cpu_flags()
            # On the CPU, a 16-bit gradient along an axis of two voxels comes out as no number.
            and 2 not in size)
    return torch.autocast(device.type if fast else "cpu", torch.bfloat16, enabled=fast)


@lru_cache(maxsize=None)
def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: slower, never wrong
        return ""


def available_memory_mib() -> Optional[float]:
    """Return the main memory that programs can still take, in MiB; None where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed tensors for the next ones.

    By default glibc returns large blocks to the system at once, and the system clears every page when it is asked for
    again: half of the time of a network whose tensors are tens of megabytes. Does nothing on other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # musl, macOS, Windows
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of CUDA, MPS or the CPU says that memory is full."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in words for sign in (
        "out of memory", "can't allocate memory", "bad_alloc", "alloc_failed", "could not create a primitive"))


def _mps() -> bool:
    return bool(getattr(torch.backends, "mps", None)) and torch.backends.mps.is_available()
