"""The contract of all writers: frames are written in order, one at a time, and the output is complete or absent."""

from __future__ import annotations

import contextlib
import gzip
import os
from typing import BinaryIO, Dict, List, Optional, Sequence, cast

import numpy as np

from ..errors import OutputError
from .output_paths import temporary_file, writing
from .sequence import FrameTimes
from .volume import Geometry

# Scalar types that every format can hold.
VOXEL_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


class FrameWriter(contextlib.AbstractContextManager):
    """Writes the frames of a result one at a time; see `open_writer`.

    Use it in a `with` statement: leaving it puts the output in place, and leaving it through any error (a cancel or
    Ctrl-C too) leaves nothing behind. Frames are given in order; no more than one is held. `OutputError` says that the
    disk is full or refuses.
    """

    def __init__(self, path: str, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                 provenance: Dict[str, str], source: Optional[object] = None,
                 times: Optional[FrameTimes] = None) -> None:
        if len(index) != len(acquired):
            raise ValueError(f"{len(index)} index values for {len(acquired)} marks")
        self.path, self.geometry, self.dtype = path, geometry, np.dtype(dtype)
        if self.dtype.name not in VOXEL_TYPES:
            raise OutputError(f"Voxels of type {self.dtype} cannot be written: convert the phases to int16 or float32.")
        self.index, self.acquired, self.provenance = tuple(index), tuple(acquired), dict(provenance)
        self.source, self.times = source, times
        self.messages: List[str] = []  # what had to be assumed or rounded, for the user and the report
        self.written = 0

    def write(self, number: int, array: np.ndarray) -> Optional[str]:
        """Write the next frame.

        Parameters
        ----------
        number : int
            Its number, counted from 0.
        array : numpy.ndarray
            Its voxels (k, j, i), in the writer's shape and scalar type.

        Returns
        -------
        str or None
            The path of its file, where each frame has its own.
        """
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


class OneFileWriter(FrameWriter):
    """Writes all frames into one file: a temporary file in the folder of the output, which is renamed at the end."""

    def _start(self) -> None:
        self._file, self._temporary = temporary_file(os.path.realpath(self.path))  # of a link, what it leads to
        try:
            self._stream = self._begin(self._file)
        except BaseException:
            self._stream = self._file
            self._discard()
            raise

    def _begin(self, file) -> BinaryIO:
        """Write the header and return the stream that takes the voxels."""
        raise NotImplementedError

    @property
    def _voxel_type(self) -> np.dtype:
        """Return the scalar type in the file."""
        return self.dtype

    def _write(self, number: int, array: np.ndarray) -> None:
        write_voxels(self._stream, array, self._voxel_type)

    def _finish(self) -> None:
        self._stream.close()
        self._file.close()
        os.replace(self._temporary, os.path.realpath(self.path))

    def _discard(self) -> None:
        for stream in (self._stream, self._file):
            with contextlib.suppress(OSError):  # closing writes what is left, which may be what failed
                stream.close()
        with contextlib.suppress(OSError):
            os.remove(self._temporary)


def gzip_stream(file: BinaryIO) -> BinaryIO:
    """Return a fast compressing stream without name and time, so that equal frames give equal files."""
    return cast(BinaryIO, gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0))


def write_voxels(stream: BinaryIO, array: np.ndarray, dtype: np.dtype) -> None:
    """Write a frame (k, j, i) in a scalar type, little-endian."""
    for plane in array:  # a plane at a time, so that no second copy of the frame is made
        stream.write(np.ascontiguousarray(plane, dtype=dtype.newbyteorder("<")).data)
