"""NRRD: volumes, and sequences as 3D Slicer and other programs write them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from dataclasses import dataclass
from typing import BinaryIO, ContextManager, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...errors import GeometryError, InputError
from .. import marks
from ..files import quoted, reading
from ..frame_writer import OneFileWriter, gzip_stream
from ..phase_times import parse_numbers
from ..sequence import PhaseSequence
from ..volume import Geometry, Volume
from . import itk
from .text_header import TextHeader, read_nrrd_header
from .voxel_data import VoxelData, data_files

NRRD_TYPES = {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
              "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double"}

_ENCODINGS = {"raw": "raw", "gzip": "zlib", "gz": "zlib", "bzip2": "bzip2", "bz2": "bzip2", "ascii": "text",
              "text": "text", "txt": "text"}
_SPATIAL, _UNKNOWN = ("domain", "space"), ("", "???", "none")
_COLOURS = ("rgb-color", "hsv-color", "xyz-color", "rgba-color", "3-color", "4-color")
_MILLIMETRES = {"m": 1000.0, "cm": 10.0, "um": 1e-3, "\u00b5m": 1e-3, "micron": 1e-3, "microns": 1e-3}
# What the frames of a MultiVolume may differ in besides time.
_NO_TIMES = ("EchoTime", "FlipAngle", "RepetitionTime", "InversionTime", "DiffusionBValue", "B-value")
# Fields of which a temporary copy, with its voxels uncompressed behind the header, has its own.
_STORAGE = ("data file", "encoding", "byte skip", "line skip")


@dataclass(frozen=True)
class _Axes:
    """The axes of an NRRD file: the lists of its header, and which of them counts the phases."""

    sizes: Tuple[int, ...]
    kinds: Tuple[str, ...]
    directions: Tuple[str, ...]
    phases: Optional[int]

    @property
    def space(self) -> List[int]:
        """The other axes, the fastest first."""
        return [axis for axis in range(len(self.sizes)) if axis != self.phases]


def read(path: str) -> PhaseSequence:
    """Read a volume or a sequence from a .nrrd, .nhdr or .seq.nrrd file.

    The fourth axis, first or last, holds the phases if its kind is "list" or "time", if it is not named, or if it is a
    "vector" that is no colour and no displacement.
    """
    messages: List[str] = []
    with reading(path):
        header = read_nrrd_header(path)
        axes = _axes_of(path, header, messages)
        voxels = _voxel_data(path, header, axes)
    if header.metadata.get("modality", "").strip() == "DWMRI":
        raise InputError(f"{quoted(path)} is a diffusion series, whose volumes differ in their gradients and not in "
                         "time: give a sequence over time.")
    _check_grid(path, header, axes, messages)
    with reading(path), _standard_image(path, header, axes, voxels) as standard:
        image = itk.read_image(standard, path, "NrrdImageIO")
    phases = itk.phases_of(path, image, itk.marks_of(header.metadata), messages)
    phases = _in_millimetres(path, header, axes, phases, messages)
    thickness = _slice_thickness(header, axes)
    phases = [dataclasses.replace(phase, slice_thickness=thickness) for phase in phases]
    return dataclasses.replace(_in_order(path, header, axes, phases, messages),
                               is_label_map=itk.is_label_map(header.metadata))


def _axes_of(path: str, header: TextHeader, messages: List[str]) -> _Axes:
    sizes = tuple(int(word) for word in header.fields["sizes"].split())
    itk.check_dimension(path, sizes)
    kinds = _filled(header.fields.get("kinds", "").lower().split(), len(sizes))
    directions = _filled(re.findall(r"\([^)]*\)|none", header.fields.get("space directions", ""), re.IGNORECASE),
                         len(sizes))
    named = [axis for axis, kind in enumerate(kinds) if kind not in (*_SPATIAL, *_UNKNOWN)]
    for axis in named:
        _check_values(path, kinds[axis], sizes[axis], messages)
    if len(sizes) - len(named) < 3:
        raise InputError(f"{quoted(path)} is an empty or two-dimensional image: give a volume.")
    if len(sizes) == 3:
        return _Axes(sizes, kinds, directions, None)
    if not named:
        without = [axis for axis, direction in enumerate(directions) if direction.lower() == "none"]
        named = without if len(without) == 1 else [3]
        messages.append(f"The kind of the fourth axis of {quoted(path)} is not given: it is taken to count the phases.")
    return _Axes(sizes, kinds, directions, named[0])


def _check_values(path: str, kind: str, size: int, messages: List[str]) -> None:
    """Raise `InputError` for a kind of axis whose values are no phases."""
    if size == 1 or kind in ("list", "time"):
        return
    if kind in _COLOURS:
        raise InputError(f"{quoted(path)} is a colour image (kind \"{kind}\"): give an image with one grey value a "
                         "voxel.")
    if kind == "complex":
        raise InputError(f"{quoted(path)} has complex voxels: give its magnitude image.")
    if kind != "vector" or size < 5 and not path.lower().endswith(".seq.nrrd"):
        raise InputError(f"{quoted(path)} has {size} values per voxel (kind \"{kind}\", a colour or vector image): "
                         "give an image with one grey value a voxel, or name a sequence .seq.nrrd.")
    messages.append(f"The {size} values per voxel of {quoted(path)} (kind \"vector\") are taken as its phases.")


def _filled(words: Sequence[str], count: int) -> Tuple[str, ...]:
    return tuple(words) if len(words) == count else ("",) * count


def _voxel_data(path: str, header: TextHeader, axes: _Axes) -> VoxelData:
    fields = header.fields
    encoding = _ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise InputError(f"The voxels of {quoted(path)} are in the encoding \"{fields['encoding']}\", which cannot be "
                         "read: save it as gzip or raw.")
    apart = "data file" in fields
    files = data_files(path, fields["data file"], axes.sizes) if apart else (path,)
    count = math.prod(axes.sizes) // len(files)
    size = count if encoding == "text" else count * _bytes_of(path, fields["type"].lower())
    return VoxelData(path, files, encoding, size, 0 if apart else header.data_start,
                     int(fields.get("line skip", 0)), int(fields.get("byte skip", 0)))


def _bytes_of(path: str, kind: str) -> int:
    """Return the bytes of a voxel of an NRRD type.

    >>> [_bytes_of("", kind) for kind in ("unsigned short int", "uint8_t", "ulonglong")]
    [2, 1, 8]
    """
    if kind in ("block", "half"):
        raise InputError(f"{quoted(path)} has voxels of type {kind}, which cannot be read: save it with whole numbers "
                         "or floats.")
    bits = re.search(r"\d+", kind)
    if bits:
        return int(bits.group()) // 8
    for name, size in (("char", 1), ("short", 2), ("long", 8), ("int", 4), ("float", 4), ("double", 8)):
        if name in kind:
            return size
    raise InputError(f"{quoted(path)} has voxels of an unknown type ({kind}): correct its header, or get the file "
                     "again.")


def _check_grid(path: str, header: TextHeader, axes: _Axes, messages: List[str]) -> None:
    """Raise `GeometryError` for a spacing in space that is missing, or not above zero; say which space is assumed."""
    if any(axes.directions):
        steps = [axes.directions[axis] for axis in axes.space]
        spacing = [str(math.hypot(*map(float, step[1:-1].split(",")))) if step.startswith("(") else "nan"
                   for step in steps]
    else:
        words = header.fields.get("spacings", "").split()
        spacing = [words[axis] for axis in axes.space] if len(words) == len(axes.sizes) else []
    if spacing or "axis maxs" not in header.fields:  # else it follows from the first and the last voxel
        itk.check_spacing_words(path, spacing, messages)
    if header.fields.get("space", "").lower().startswith(("3d", "scanner")):
        messages.append(f"{quoted(path)} does not tell how its axes lie in the patient (space "
                        f"\"{header.fields['space']}\"): left-posterior-superior is assumed.")


def _standard_image(path: str, header: TextHeader, axes: _Axes, voxels: VoxelData) -> ContextManager[str]:
    """Return the path of a file that ITK reads right, its voxels checked: the file itself, or a temporary copy.

    ITK knows no bzip2, takes an axis of the kind "time" for one of space, ignores the orientation of a space with four
    dimensions, and misses the last line of a header that does not end.
    """
    counted = axes.phases is None or axes.kinds[axes.phases] in ("list", "vector")
    if counted and voxels.encoding != "bzip2" and header.ended:
        voxels.check()
        return contextlib.nullcontext(path)
    fields = {name: value for name, value in header.fields.items() if name not in _STORAGE}
    fields["encoding"] = "ascii" if voxels.encoding == "text" else "raw"
    if axes.phases is not None:
        fields["kinds"] = " ".join("list" if axis == axes.phases else "domain" for axis in range(len(axes.sizes)))
        fields.update(_three_dimensional(fields, axes))
    lines = ["NRRD0005", *(f"{name}: {value}" for name, value in fields.items())]
    return itk.temporary_image(".nrrd", "\n".join(lines) + "\n\n", voxels.blocks())


def _three_dimensional(fields: Dict[str, str], axes: _Axes) -> Dict[str, str]:
    """Return the fields of space without the axis of time that a space of four dimensions has."""
    def cut(vector: str) -> str:
        return "(" + ",".join(vector.strip("() ").split(",")[:3]) + ")"

    if not any(direction.count(",") == 3 for direction in axes.directions):
        return {}
    directions = ["none" if axis == axes.phases else cut(step) for axis, step in enumerate(axes.directions)]
    found = {"space directions": " ".join(directions)}
    if "space" in fields:
        found["space"] = re.sub(r"(?i)-time$|(?<=^...)t$", "", fields["space"])
    if "space dimension" in fields:
        found["space dimension"] = "3"
    if "space origin" in fields:
        found["space origin"] = cut(fields["space origin"])
    return found


def _in_millimetres(path: str, header: TextHeader, axes: _Axes, phases: List[Volume],
                    messages: List[str]) -> List[Volume]:
    """Return the phases with their grid in mm, where the header gives it in another unit of length."""
    units = _strings(header.fields.get("space units", "")) or [
        unit for axis, unit in enumerate(_strings(header.fields.get("units", ""))) if axis != axes.phases]
    factors = {_MILLIMETRES.get(unit.strip().lower(), 1.0) for unit in units[:3]}
    if factors in (set(), {1.0}):
        return phases
    if len(factors) > 1:
        raise GeometryError(f"The axes of {quoted(path)} are in different units of length: correct the file's header.")
    factor, grid = factors.pop(), phases[0].geometry
    messages.append(f"The grid of {quoted(path)} is given in {units[0]}: it was converted to mm.")
    (dk, dj, di), (x, y, z) = grid.spacing, grid.origin
    grid = dataclasses.replace(grid, spacing=(factor * dk, factor * dj, factor * di),
                               origin=(factor * x, factor * y, factor * z))
    return [dataclasses.replace(phase, geometry=grid) for phase in phases]


def _slice_thickness(header: TextHeader, axes: _Axes) -> Optional[float]:
    """Return the thickness of the slices, in mm, where the header tells it."""
    words = header.fields.get("thicknesses", "").split()
    found = parse_numbers([words[axes.space[2]]] if len(words) == len(axes.sizes) else [])
    return found[0] if found and found[0] > 0 else None


def _in_order(path: str, header: TextHeader, axes: _Axes, phases: List[Volume], messages: List[str]) -> PhaseSequence:
    """Return the phases in order of the times that the header gives, as 3D Slicer sorts them."""
    for times, name, unit in _times_of(header, axes, len(phases)):
        if len(times) == len(phases):
            if name in _NO_TIMES:
                messages.append(f"The phases in {quoted(path)} are told apart by {name}: it is taken for their time.")
            return PhaseSequence.in_order(quoted(path), phases, times, name, unit, messages)
    return PhaseSequence.counted(phases, messages)


def _times_of(header: TextHeader, axes: _Axes, count: int) -> Iterator[Tuple[Tuple[float, ...], str, str]]:
    """Yield what the header says of the phases' times, the best first: numbers, what they count, and their unit.

    These are the index of a 3D Slicer sequence, the frame labels of its MultiVolume modules, and the step of the axis
    of time where it has a unit.
    """
    fields, metadata = header.fields, header.metadata

    def of_phases(name: str, words: Sequence[str]) -> str:
        return words[axes.phases] if axes.phases is not None and axes.phases < len(words) else ""

    label, unit = (of_phases(name, _strings(fields.get(name, ""))) for name in ("labels", "units"))
    index = re.compile(r"axis (\d+) index values$")
    for axis, values in ((match.group(1), value) for key, value in metadata.items() for match in [index.match(key)]
                         if match):
        if metadata.get(f"axis {axis} index type", "numeric") == "numeric":
            yield parse_numbers(values.split()), label or "frame", unit
    yield (parse_numbers(metadata.get("MultiVolume.FrameLabels", "").split(",")),
           metadata.get("MultiVolume.FrameIdentifyingDICOMTagName", "") or "frame",
           metadata.get("MultiVolume.FrameIdentifyingDICOMTagUnits", ""))
    step = parse_numbers([of_phases("spacings", fields.get("spacings", "").split())])
    if unit and step and step[0] > 0:
        start = parse_numbers([of_phases("axis mins", fields.get("axis mins", "").split())]) or (0.0,)
        yield tuple(start[0] + step[0] * number for number in range(count)), label or "time", unit


def _strings(text: str) -> List[str]:
    r"""Return the quoted strings of a field.

    >>> _strings('"x" "" "say \\"t\\""')
    ['x', '', 'say "t"']
    """
    return [re.sub(r"\\(.)", r"\1", found) for found in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]


class Writer(OneFileWriter):
    """A .seq.nrrd file that 3D Slicer opens as a sequence; a .nrrd file that it opens as a volume, for a single frame.

    The phases lie along the last axis, as Slicer 5.10 and later write it; older ones read it too, but call the index
    "frame". Slicer has no 64-bit integers, so those are written as float64, which holds them exactly up to 2^53.
    The index is in percent. Times in the input's own unit, if it has any, are kept in the header's `ttt4d.times`.
    """

    @property
    def _voxel_type(self) -> np.dtype:
        return np.dtype(np.float64) if self.dtype.name in ("int64", "uint64") else self.dtype

    def _begin(self, file: BinaryIO) -> BinaryIO:
        frames = len(self.index)
        if frames == 1:
            metadata = {marks.FRAME: marks.mark(self.acquired[0]), **self.provenance}
        else:
            metadata = {**self._frame_metadata(), **marks.times(self.times), **self.provenance}
        file.write(nrrd_header(self.geometry, self._voxel_type, metadata, frames if frames > 1 else None))
        return gzip_stream(file)

    def _frame_metadata(self) -> Dict[str, str]:
        """Return the entries by which 3D Slicer knows a sequence, and the marks of its frames."""
        index = " ".join(f"{value:.10g}" for value in self.index)
        metadata = {"DataNodeClassName": "vtkMRMLScalarVolumeNode"}
        for axis in (0, 3):  # Slicer before 5.10 looks for the index under axis 0, wherever it lies
            metadata.update({f"axis {axis} index type": "numeric", f"axis {axis} index values": index})
        for number in range(len(self.index)):
            metadata[f"axis 3 item {number:04d} {marks.FRAME}"] = marks.mark(self.acquired[number])
        return {**metadata, marks.FRAMES: marks.marks(self.acquired)}


def nrrd_header(geometry: Geometry, dtype: np.dtype, metadata: Mapping[str, str],
                frames: Optional[int] = None) -> bytes:
    """Return the header of a gzipped NRRD file.

    Parameters
    ----------
    geometry : Geometry
        The grid of every frame.
    dtype : numpy.dtype
        The scalar type in the file.
    metadata : mapping of str to str
        Key/value pairs.
    frames : int, optional
        Number of frames along the last axis; a single volume without one.
    """
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
    for key, value in metadata.items():
        escaped = str(value).replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"{key}:={escaped}")
    return ("\n".join(lines) + "\n\n").encode()
