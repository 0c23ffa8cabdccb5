"""NIfTI: damaged files that SimpleITK would let pass, and a header that no library writes ahead of its frames."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import struct
import tempfile
from typing import BinaryIO, List, Tuple

import numpy as np
import SimpleITK as sitk

from ...errors import OutputError
from .. import marks
from ..files import name_for_itk, quoted, reading
from ..frame_writer import OneFileWriter, gzip_stream
from ..marks import FRAME
from ..sequence import PhaseSequence
from ..volume import Geometry
from . import itk

NIFTI_LARGEST = 32767  # voxels along an axis
_OWN_WORDS = b"ttt4d, not for clinical use"
_NIFTI_TYPES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512,
                "uint32": 768, "int64": 1024, "uint64": 1280}


def read(path: str) -> PhaseSequence:
    """Read a volume or a sequence."""
    with reading(path):
        itk.check_spacing(quoted(path), nifti_layout(path)[0])
        reader = itk.open_header(path, "NiftiImageIO")
    if reader.GetNumberOfComponents() > 1:
        raise itk.colour_error(path, reader.GetNumberOfComponents())
    itk.check_kind(path, itk.metadata_of(reader))
    with reading(path):
        image, marks_found = read_nifti(reader, path), nifti_marks(path)
    return PhaseSequence.counted(itk.phases_of(path, image, marks_found, []))


def nifti_layout(path: str) -> Tuple[List[float], int]:
    """The spacing in a NIfTI header, where SimpleITK would replace zero or NaN by one; the bytes of a whole file."""
    with _nifti_file(path) as file:
        head = file.read(540)
    for order, size in ((order, size) for order in "<>" for size in (348, 540)):
        if struct.unpack_from(order + "i", head)[0] == size:
            break
    else:
        raise EOFError("no NIfTI header")
    first = size == 348  # NIfTI-1, else NIfTI-2
    dims = struct.unpack_from(order + ("8h" if first else "8q"), head, 40 if first else 16)
    bits = struct.unpack_from(order + "h", head, 72 if first else 14)[0]
    spacing = struct.unpack_from(order + ("8f" if first else "8d"), head, 76 if first else 104)
    start = struct.unpack_from(order + ("f" if first else "q"), head, 108 if first else 168)[0]
    return list(spacing[1:min(dims[0], 3) + 1]), int(start) + math.prod(dims[1:dims[0] + 1]) * bits // 8


def nifti_marks(path: str) -> List[str]:
    """Of each frame of a result whether it is acquired or synthetic; empty for any other file, a copy by a program that
    drops the comment among them.
    """
    with _nifti_file(path) as file:
        head = file.read(360)
        if len(head) < 360 or not head[148:].startswith(_OWN_WORDS) or head[348] != 1:
            return []
        size, code = struct.unpack_from("<ii", head, 352)
        comment = file.read(size - 8) if size > 8 and code == 6 else b""
    try:
        return [frame[FRAME] for frame in json.loads(comment.rstrip(b"\0"))["frames"]]
    except (ValueError, KeyError, TypeError):
        return []


def read_nifti(reader: sitk.ImageFileReader, path: str) -> sitk.Image:
    """The image of a NIfTI file; EOFError where it is cut short, which SimpleITK fills with anything.

    Where x.nii lies beside x.nii.gz, the NIfTI library takes the header of the one and the voxels of the other.
    """
    missing = nifti_layout(path)[1]
    with _nifti_file(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):  # to the end, where a compressed file has its checksum
            missing -= len(block)
    if missing > 0:
        raise EOFError("cut short")
    if not (path.lower().endswith(".gz") and os.path.exists(path[:-3])):
        return reader.Execute()
    with tempfile.TemporaryDirectory() as folder:
        alone = os.path.join(folder, "phase.nii.gz")
        try:  # a link leaves no image behind, whatever ends the process
            os.symlink(os.path.abspath(path), alone)
        except (OSError, NotImplementedError):  # Windows grants links to few
            shutil.copy(path, alone)
        reader.SetFileName(name_for_itk(alone))
        return reader.Execute()


class Writer(OneFileWriter):
    """A 4D NIfTI-1 file, gzipped by its name. Index, marks and provenance lie in a comment extension, as JSON."""

    def _begin(self, file) -> BinaryIO:
        if max(*self.geometry.shape, len(self.index)) > NIFTI_LARGEST:
            raise OutputError(f"NIfTI takes no more than {NIFTI_LARGEST} voxels along an axis: end the output in "
                              ".seq.nrrd.")
        frames = [{"index": index, marks.FRAME: marks.mark(acquired)}
                  for index, acquired in zip(self.index, self.acquired)]
        comment = json.dumps({"index": "phase (%)", "frames": frames, "provenance": self.provenance}).encode()
        stream = gzip_stream(file) if self.path.lower().endswith(".gz") else file
        stream.write(nifti_header(self.geometry, self.dtype, len(frames), comment))
        return stream


def nifti_header(geometry: Geometry, dtype: np.dtype, frames: int, comment: bytes) -> bytes:
    """The bytes before the voxels of a NIfTI-1 file of so many frames; the comment lies in an extension."""
    comment += bytes(-(len(comment) + 8) % 16)
    header = bytearray(352)
    size, spacing = geometry.shape[::-1], geometry.spacing[::-1]
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 4, *size, frames, 1, 1, 1)
    struct.pack_into("<hh", header, 70, _NIFTI_TYPES[dtype.name], 8 * dtype.itemsize)
    struct.pack_into("<8f", header, 76, 1, *spacing, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, len(header) + 8 + len(comment), 1, 0)  # voxels' start; slope, intercept
    struct.pack_into("<B", header, 123, 2)  # millimetres; percent has no code
    struct.pack_into("<80s", header, 148, _OWN_WORDS)
    struct.pack_into("<hh", header, 252, 0, 1)  # sform alone: a quaternion could not hold every grid
    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    affine = lps_to_ras @ np.column_stack([geometry.matrix[:, ::-1], geometry.origin])
    struct.pack_into("<12f", header, 280, *affine.ravel())
    struct.pack_into("<4s", header, 344, b"n+1\0")
    struct.pack_into("<B", header, 348, 1)  # an extension follows
    return bytes(header) + struct.pack("<ii", 8 + len(comment), 6) + comment


def _nifti_file(path: str):
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else open(path, "rb")
