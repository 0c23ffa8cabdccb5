"""The kinds of output, told apart by name: one NRRD or NIfTI file of all frames, or a folder with a file a frame."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from typing import BinaryIO, Dict, List, Sequence

import numpy as np

from ..errors import OutputError
from . import marks
from .files import quoted
from .frame_writer import FrameWriter
from .nifti import NIFTI_LARGEST, nifti_header
from .nrrd import nrrd_header
from .output_paths import check_writable, temporary_file
from .volume import Geometry


def open_writer(path, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                provenance: Dict[str, str]) -> FrameWriter:
    """The writer of a result, by the output's name: `.seq.nrrd`, `.nii.gz` or `.nii`, or a folder of .nrrd files.

    index: percent of the phase, one a frame, rising; acquired: whether each frame is a given phase (else synthetic);
    provenance: words kept in every header, such as {"ttt4d.seed": "0"}. Raises `OutputError` for any other name.

    >>> with open_writer("beat.seq.nrrd", geometry, np.int16, [0, 50, 100], [True, False, True], {}) as writer:
    ...     for number, frame in enumerate(frames):
    ...         writer.write(number, frame)
    """
    path = os.fspath(path)
    return _writer_class(path)(path, geometry, dtype, index, acquired, provenance)


def check_output(path, inputs: Sequence, bytes_needed: int = 0) -> None:
    """Raise `OutputError` for an output that cannot be written, before any work is done; see `check_writable`."""
    check_writable(path, inputs, _writer_class(os.fspath(path)) is _Folder, bytes_needed)


def _writer_class(path: str) -> type:
    name = os.path.basename(path).lower()
    if name.endswith(".seq.nrrd"):
        return _SequenceNrrd
    if name.endswith((".nii", ".nii.gz")):
        return _SequenceNifti
    if os.path.isdir(path) or not os.path.splitext(name)[1]:
        return _Folder
    raise OutputError(f"The output {quoted(path)} has a name that tells no kind: end it in .seq.nrrd, .nii.gz or .nii, "
                      "or give a folder (a name without a dot).")


class _OneFile(FrameWriter):
    """All frames in one file, one after the other: a temporary file beside the output, renamed at the end."""

    def _start(self) -> None:
        self._file, self._temporary = temporary_file(os.path.realpath(self.path))  # of a link, what it leads to
        try:
            self._stream = self._begin(self._file)
        except BaseException:
            self._stream = self._file
            self._discard()
            raise

    def _begin(self, file) -> BinaryIO:
        """Write the header; returns the stream that takes the voxels."""
        raise NotImplementedError

    @property
    def _voxel_type(self) -> np.dtype:
        """The scalar type in the file."""
        return self.dtype

    def _write(self, number: int, array: np.ndarray) -> None:
        _write_voxels(self._stream, array, self._voxel_type)

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


class _SequenceNrrd(_OneFile):
    """A .seq.nrrd file that 3D Slicer opens as a sequence.

    The phases lie along the last axis, as Slicer 5.10 and later write it; older ones read it too, but call the index
    "frame". Slicer has no 64-bit integers, so those are written as float64, which holds them exactly up to 2^53.
    """

    @property
    def _voxel_type(self) -> np.dtype:
        return np.dtype(np.float64) if self.dtype.name in ("int64", "uint64") else self.dtype

    def _begin(self, file) -> BinaryIO:
        index = " ".join(f"{value:.10g}" for value in self.index)
        keys = {"DataNodeClassName": "vtkMRMLScalarVolumeNode"}
        for axis in (0, 3):  # Slicer before 5.10 looks for the index under axis 0, wherever it lies
            keys.update({f"axis {axis} index type": "numeric", f"axis {axis} index values": index})
        for number in range(len(self.index)):
            keys[f"axis 3 item {number:04d} {marks.FRAME}"] = marks.mark(self.acquired[number])
        keys.update({marks.FRAMES: marks.marks(self.acquired), **self.provenance})
        file.write(nrrd_header(self.geometry, self._voxel_type, keys, len(self.index)))
        return _gzip(file)


class _SequenceNifti(_OneFile):
    """A 4D NIfTI-1 file, gzipped by its name. Index, marks and provenance lie in a comment extension, as JSON."""

    def _begin(self, file) -> BinaryIO:
        if max(*self.geometry.shape, len(self.index)) > NIFTI_LARGEST:
            raise OutputError(f"NIfTI takes no more than {NIFTI_LARGEST} voxels along an axis: end the output in "
                              ".seq.nrrd.")
        frames = [{"index": index, marks.FRAME: marks.mark(acquired)}
                  for index, acquired in zip(self.index, self.acquired)]
        comment = json.dumps({"index": "phase (%)", "frames": frames, "provenance": self.provenance}).encode()
        stream = _gzip(file) if self.path.lower().endswith(".gz") else file
        stream.write(nifti_header(self.geometry, self.dtype, len(frames), comment))
        return stream


class _Folder(FrameWriter):
    """A folder of NRRD files frame_000.nrrd, ...; each is complete, under its own name, as soon as `write` returns."""

    def _start(self) -> None:
        self._made = not os.path.isdir(self.path)
        self._frames: List[str] = []
        if self._made:
            os.mkdir(self.path)

    def _write(self, number: int, array: np.ndarray) -> str:
        keys = {**marks.words(self.index[number], self.acquired[number]), **self.provenance}
        path = os.path.join(self.path, f"frame_{number:03d}.nrrd")
        file, temporary = temporary_file(path)
        self._frames.append(temporary)
        with file:
            file.write(nrrd_header(self.geometry, self.dtype, keys))
            with _gzip(file) as stream:
                _write_voxels(stream, array, self.dtype)
        os.replace(temporary, path)
        self._frames[-1] = path
        return path

    def _finish(self) -> None:
        pass

    def _discard(self) -> None:
        for path in self._frames:
            with contextlib.suppress(OSError):
                os.remove(path)
        if self._made:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)


def _gzip(file: BinaryIO) -> gzip.GzipFile:
    """A fast compressing stream; no name and no time in it, so that equal frames give equal files."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)


def _write_voxels(stream: BinaryIO, array: np.ndarray, dtype: np.dtype) -> None:
    for plane in array:  # a plane at a time, so that no second copy of the frame is made
        stream.write(np.ascontiguousarray(plane, dtype=dtype.newbyteorder("<")))
