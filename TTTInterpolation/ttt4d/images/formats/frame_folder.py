"""A folder with one NRRD file a frame: an output without a dot in its name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import List, Optional

import numpy as np

from .. import marks
from ..frame_writer import FrameWriter, gzip_stream, write_voxels
from ..output_paths import temporary_file
from ..sequence import FrameTimes
from .nrrd import nrrd_header


class Writer(FrameWriter):
    """A folder of NRRD files frame_000.nrrd, ...; each is complete, under its own name, as soon as `write` returns."""

    def _start(self) -> None:
        self._made = not os.path.isdir(self.path)
        self._frames: List[str] = []
        if self._made:
            os.mkdir(self.path)

    def _write(self, number: int, array: np.ndarray) -> str:
        keys = {**marks.metadata(self.index[number], self.acquired[number]), **marks.times(self._time_of(number)),
                **self.provenance}
        path = os.path.join(self.path, f"frame_{number:03d}.nrrd")
        file, temporary = temporary_file(path)
        self._frames.append(temporary)
        with file:
            file.write(nrrd_header(self.geometry, self.dtype, keys))
            with gzip_stream(file) as stream:
                write_voxels(stream, array, self.dtype)
        os.replace(temporary, path)
        self._frames[-1] = path
        return path

    def _time_of(self, number: int) -> Optional[FrameTimes]:
        return self.times and dataclasses.replace(self.times, values=self.times.values[number:number + 1])

    def _finish(self) -> None:
        pass

    def _discard(self) -> None:
        for path in self._frames:
            with contextlib.suppress(OSError):
                os.remove(path)
        if self._made:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
