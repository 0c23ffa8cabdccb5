"""Devices: which are there, which of them really run the network, and how large a canvas fits them."""

from __future__ import annotations

from typing import Dict, List

import torch
import torch.nn.functional as F

from .errors import DeviceError
from .settings import canvas_voxels_within

# A canvas of this many voxels keeps a laptop's CPU within seconds a frame; a GPU takes what its memory holds, up to a cube of 192.
CPU_VOXELS = 1_000_000
GPU_VOXELS = 7_000_000


def available() -> List[Dict[str, str]]:
    """Name and description of every device torch sees; whether it works is found out by `probe`."""
    found = [{"name": "cpu", "description": f"CPU, {torch.get_num_threads()} threads"}]
    for number in range(torch.cuda.device_count()):
        found.append({"name": f"cuda:{number}", "description": torch.cuda.get_device_name(number)})
    if _mps():
        found.append({"name": "mps", "description": "Apple GPU"})
    return found


def probe(device: torch.device) -> str:
    """Run one small 3D convolution, forward and backward: empty when it works, else why not.

    `torch.cuda.is_available()` is true for cards this torch has no kernels for, and some MPS versions lack Conv3d.
    """
    try:
        image = torch.rand(2, 1, 4, 8, 8, device=device)
        kernel = torch.rand(2, 1, 3, 3, 3, device=device, requires_grad=True)
        grid = torch.zeros(2, 4, 8, 8, 3, device=device)
        result = F.grid_sample(F.conv3d(image, kernel, padding=1), grid, align_corners=True).sum()
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
                return torch.device(candidate)
            messages.append(f"The device {candidate} is there but does not run the network ({trouble}): the CPU is used.")
        return torch.device("cpu")
    known = [d["name"] for d in available()] + (["cuda"] if torch.cuda.is_available() else [])
    if name not in known:
        raise DeviceError(f"There is no device '{name}' here: choose auto or one of {', '.join(known)}.")
    trouble = probe(torch.device(name))
    if trouble:
        raise DeviceError(f"The device {name} does not run the network ({trouble}): choose auto or cpu.")
    return torch.device(name)


def canvas_voxels(device: torch.device, native_voxels: int) -> int:
    """How many canvas voxels a run may have on a device, by the memory it has free now."""
    if device.type != "cuda":
        return CPU_VOXELS
    free, _ = torch.cuda.mem_get_info(device)
    return min(GPU_VOXELS, canvas_voxels_within(0.8 * free / 2**20, native_voxels))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full, in the words of CUDA, MPS, or what allocates on the CPU."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in words for sign in (
        "out of memory", "can't allocate memory", "bad_alloc", "alloc_failed", "could not create a primitive"))


def _mps() -> bool:
    return bool(getattr(torch.backends, "mps", None)) and torch.backends.mps.is_available()
