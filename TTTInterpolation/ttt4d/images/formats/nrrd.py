"""NRRD: volumes, and sequences as 3D Slicer writes them."""

from __future__ import annotations

import re
from typing import BinaryIO, Dict, List, Optional

import numpy as np

from .. import marks
from ..files import reading
from ..frame_writer import OneFileWriter, gzip_stream
from ..phase_times import parse_increasing
from ..sequence import PhaseSequence
from ..volume import Geometry, Volume
from . import itk
from .text_header import spacing_in_header

NRRD_TYPES = {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
              "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double"}




def read(path: str) -> PhaseSequence:
    """Read a volume or a sequence."""
    with reading(path):
        itk.check_spacing(path, spacing_in_header(path))
        reader = itk.open_header(path, "NrrdImageIO")
    metadata = itk.metadata_of(reader)
    axis, components = list_axis(metadata), reader.GetNumberOfComponents()
    if components > 1 and (reader.GetDimension() == 4 or axis is None):
        raise itk.colour_error(path, components)
    itk.check_kind(path, metadata)
    with reading(path):
        image = reader.Execute()
    phases = itk.phases_of(path, image, axis is not None and components > 1, itk.marks_of(metadata))
    return _sequence(phases, metadata)


def list_axis(metadata: Dict[str, str]):
    """ITK's name for the axis of an NRRD file that counts its phases (as 3D Slicer writes it), or None."""
    return next((match.group(1) for key, value in metadata.items() if value == "list"
                 for match in [re.match(r"NRRD_kinds\[(\w+)\]$", key)] if match), None)


def _sequence(phases: List[Volume], metadata: Dict[str, str]) -> PhaseSequence:
    """The phases with the index of a .seq.nrrd header, where there is one that strictly_increasing."""
    words = next((value for key, value in metadata.items() if re.match(r"axis \d+ index values$", key)), "").split()
    index = parse_increasing(words)
    if len(index) != len(phases):
        return PhaseSequence.counted(phases)
    axis = list_axis(metadata)
    return PhaseSequence(tuple(phases), index, metadata.get(f"NRRD_labels[{axis}]", "frame"),
                         metadata.get(f"NRRD_units[{axis}]", ""))


class Writer(OneFileWriter):
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
        return gzip_stream(file)


def nrrd_header(geometry: Geometry, dtype: np.dtype, keys: Dict[str, str], frames: Optional[int] = None) -> bytes:
    """The header of a gzipped NRRD file: of one volume, or of so many frames along the last axis."""
    def vector(values) -> str:
        return "(" + ",".join(repr(float(value)) for value in values) + ")"

    listed = frames is not None
    lines = [
        "NRRD0004",
        f"type: {NRRD_TYPES[dtype.name]}",
        f"dimension: {4 if listed else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(size) for size in [*geometry.shape[::-1], *([frames] if listed else [])]),
        "space directions: " + " ".join(vector(step) for step in geometry.matrix.T[::-1]) + (" none" if listed else ""),
        "kinds: domain domain domain" + (" list" if listed else ""),
        *(['labels: "" "" "" "phase"', 'units: "" "" "" "%"'] if listed else []),
        "endian: little",
        "encoding: gzip",
        f"space origin: {vector(geometry.origin)}",
    ]
    for key, value in keys.items():
        escaped = str(value).replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"{key}:={escaped}")
    return ("\n".join(lines) + "\n\n").encode()
