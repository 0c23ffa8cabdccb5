"""What every writer of frames promises, of whatever kind its output is: in order, one at a time, all or nothing."""

from __future__ import annotations

import contextlib
from typing import Dict, Optional, Sequence

import numpy as np

from ..errors import OutputError
from .nrrd import NRRD_TYPES
from .output_paths import writing
from .volume import Geometry


class FrameWriter(contextlib.AbstractContextManager):
    """Writes the frames of a result one at a time; see `open_writer`.

    Use it in a `with` statement: leaving it puts the output in place, and leaving it through any error (a cancel or
    Ctrl-C too) leaves nothing behind. Frames are given in order; no more than one is held. `OutputError` says that the
    disk is full or refuses.
    """

    def __init__(self, path: str, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                 provenance: Dict[str, str]) -> None:
        if len(index) != len(acquired):
            raise ValueError(f"{len(index)} index values for {len(acquired)} marks")
        self.path, self.geometry, self.dtype = path, geometry, np.dtype(dtype)
        if self.dtype.name not in NRRD_TYPES:
            raise OutputError(f"Voxels of type {self.dtype} cannot be written: convert the phases to int16 or float32.")
        self.index, self.acquired, self.provenance = tuple(index), tuple(acquired), dict(provenance)
        self.written = 0

    def write(self, number: int, array: np.ndarray) -> Optional[str]:
        """Write frame `number` (k, j, i), the next one. Returns the path of its file where each frame has its own."""
        if number != self.written or number >= len(self.index):
            raise ValueError(f"frame {number} was given, but the next is {self.written} of {len(self.index)}")
        if array.shape != tuple(self.geometry.shape) or array.dtype != self.dtype:
            raise ValueError(f"a frame of {array.shape} {array.dtype}, but {self.geometry.shape} {self.dtype} is due")
        with writing(self.path):
            path = self._write(number, array)
        self.written += 1
        return path

    def __enter__(self) -> "FrameWriter":
        with writing(self.path):
            self._start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        finished = False
        try:
            if kind is None:
                if self.written != len(self.index):
                    raise ValueError(f"{self.written} frames were written of {len(self.index)}")
                with writing(self.path):
                    self._finish()
                finished = True
        finally:
            if not finished:
                self._discard()

    def _start(self) -> None:
        raise NotImplementedError

    def _write(self, number: int, array: np.ndarray) -> Optional[str]:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        raise NotImplementedError
