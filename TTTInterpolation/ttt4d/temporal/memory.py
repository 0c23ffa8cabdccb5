"""How much memory a run takes, and how large a canvas fits a device. Slicer imports it: no torch at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# What a run takes, measured (peak of the process or of the GPU): the program itself, each voxel of the native pair, and
# each voxel of the canvas while the network trains.
BASE_MIB = 700
NATIVE_BYTES = 40
CANVAS_BYTES = 2600
# The largest canvas: a CPU stays within seconds a frame; a GPU takes what its memory holds, up to about a cube of 192.
CPU_VOXELS = 1_000_000
GPU_VOXELS = 7_000_000


def estimated_memory_mib(native_voxels: int, canvas_voxels: int) -> float:
    """Estimate the peak memory of a run in MiB, for volumes of `native_voxels` and a canvas of `canvas_voxels`."""
    return BASE_MIB + (native_voxels * NATIVE_BYTES + canvas_voxels * CANVAS_BYTES) / 2**20


def canvas_voxels_within(mib: float, native_voxels: int) -> int:
    """Return the voxels of the largest canvas whose run is estimated to stay within `mib`; at least a cube of 16."""
    return max(16**3, int(((mib - BASE_MIB) * 2**20 - native_voxels * NATIVE_BYTES) / CANVAS_BYTES))


def canvas_voxels(device: torch.device, native_voxels: int) -> int:
    """Return how many voxels the canvas may have on a device, by the memory that is free now."""
    if device.type != "cuda":
        return CPU_VOXELS
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return min(GPU_VOXELS, canvas_voxels_within(0.8 * free / 2**20, native_voxels))
