"""Devices: which are there, which of them really run the network, and how large a canvas fits them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Sequence

import torch
import torch.nn.functional as F

from .errors import DeviceError


def available() -> List[Dict[str, str]]:
    """Name and description of every device torch sees; whether it works is found out by `probe`."""
    found = [{"name": "cpu", "description": f"CPU, {torch.get_num_threads()} threads"}]
    for number in range(torch.cuda.device_count()):
        found.append({"name": f"cuda:{number}", "description": torch.cuda.get_device_name(number)})
    if _mps():
        found.append({"name": "mps", "description": "Apple GPU"})
    return found


def probe(device: torch.device) -> str:
    """Run the operations of the networks once, forward and backward: empty when they work, else why not.

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


def choose(name: str, messages: List[str]) -> torch.device:
    """The device of a name; `auto` takes the first that passes the probe: CUDA, MPS, CPU.

    A device passed over in `auto` is said in `messages`. Raises DeviceError for one asked for by name that is unknown,
    absent, or fails the probe.
    """
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
    """Older versions of torch want a GPU's number where they ask for its memory."""
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def mixed_precision(device: torch.device, size: Sequence[int]) -> torch.autocast:
    """16-bit convolutions on a grid of `size` where they are faster than 32-bit ones: on recent GPUs, and on CPUs with
    the instructions.
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full, in the words of CUDA, MPS, or what allocates on the CPU.
    """
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in words for sign in (
        "out of memory", "can't allocate memory", "bad_alloc", "alloc_failed", "could not create a primitive"))


def _mps() -> bool:
    return bool(getattr(torch.backends, "mps", None)) and torch.backends.mps.is_available()
