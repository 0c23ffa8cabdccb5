"""What a run does where the memory of its device is full."""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional, TypeVar

import torch

from ..devices import is_out_of_memory
from ..images.volume import Geometry
from .canvas import Canvas
from .memory import CPU_VOXELS, canvas_voxels

T = TypeVar("T")

# How often a canvas that does not fit a device is made half as large before the device is given up.
HALVINGS = 3


class Fallback:
    """The canvas and the device of a run: smaller canvases first, then the CPU.

    Parameters
    ----------
    geometry : Geometry
        The grid of the phases.
    levels : int
        Levels of the network's feature pyramid.
    edge : int, optional
        The longest edge that the user allows the canvas, in voxels.
    device : torch.device
        The device to begin with.
    messages : list of str
        Every step down is said here.
    """

    def __init__(self, geometry: Geometry, levels: int, edge: Optional[int], device: torch.device,
                 messages: List[str]) -> None:
        self.device = device
        self._geometry, self._levels, self._edge, self._messages = geometry, levels, edge, messages
        self._voxels = canvas_voxels(device, geometry.shape[0] * geometry.shape[1] * geometry.shape[2])
        self._halvings = HALVINGS

    @property
    def canvas(self) -> Canvas:
        """The canvas to try next."""
        return Canvas.fit(self._geometry, self._levels, self._voxels, self._edge)

    def repeated(self, attempt: Callable[[Canvas, torch.device], Iterator[T]]) -> Iterator[T]:
        """Yield what an attempt yields; where memory is full, attempt the rest on a smaller canvas or the CPU.

        Parameters
        ----------
        attempt : callable
            Called with canvas and device, goes on where the attempt before it ended.
        """
        while True:
            try:
                yield from attempt(self.canvas, self.device)
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self.shrink_canvas():
                    raise

    def shrink_canvas(self) -> bool:
        """Make the canvas half as large, or go to the CPU; return False when nothing is left to try."""
        name = self.device.type.upper()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self._halvings:
            self._halvings -= 1
            k, j, i = self.canvas.padded
            self._voxels = min(self._voxels, k * j * i) // 2
            self._messages.append(f"The {name}'s memory is full: going on with a canvas of {self._voxels} voxels.")
            return True
        if self.device.type != "cpu":
            self._messages.append(f"The {name}'s memory is too small: going on with the CPU.")
            self.device, self._voxels, self._halvings = torch.device("cpu"), CPU_VOXELS, HALVINGS
            return True
        return False
