"""DICOM: a folder of series in files of any name, or one file of one or many frames.

pydicom reads headers and voxels, with SimpleITK for compressions that it has no decoder for. `dicom_headers` makes one
list of image planes of whatever is there, `dicom_phases` arranges them in place and time.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import Dict, Iterator, List, Tuple

import numpy as np

from ...errors import InputError
from ..checks import label_map_error
from ..files import quoted, reading
from ..marks import SYNTHETIC
from ..sequence import PhaseSequence
from ..volume import Volume
from . import READABLE
from .dicom_headers import Plane, Source, planes_of
from .dicom_phases import Arrangement, arrange, stack_geometry, uneven_positions, without_copies
from .dicom_voxels import StoredValues, common_type, decoding, rescaled
from .dicom_writer import Writer

__all__ = ["Writer", "is_dicom", "read"]

_MAGIC_AT = 128
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_IMAGE_ELEMENTS = ("Rows", "Columns", "BitsAllocated")


def read(path: str) -> PhaseSequence:
    """Read the phases in a folder or a file; a single volume is a sequence of one phase.

    Raises
    ------
    InputError, GeometryError
        For what is not one stack or an even set of phases.
    """
    name = quoted(path)
    messages: List[str] = []
    stored = StoredValues()
    planes = without_copies(_planes(path, messages), stored.of, name, messages)
    root = path if os.path.isdir(path) else os.path.dirname(path)
    arrangement = arrange(planes, root, name, messages)
    messages.extend(words.format(name) for stack in arrangement.stacks for plane in stack for words in plane.assumed)
    phases = _phases(arrangement, stored, name, messages)
    return PhaseSequence(phases, arrangement.index, arrangement.name, arrangement.unit, tuple(dict.fromkeys(messages)))


def is_dicom(path: str) -> bool:
    """Whether a file begins as DICOM does, with or without its preamble."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        start = file.read(_MAGIC_AT + 4)
        # Without the preamble a file begins with an element of group 2 or 8, in one of the two byte orders.
        return start[_MAGIC_AT:] == b"DICM" or (start[:2] in (b"\2\0", b"\x08\0") and start[3:4] == b"\0"
                                                ) or start[:3] == b"\0\x08\0"
    return False


def _planes(path: str, messages: List[str]) -> List[Plane]:
    """Return the image planes of all DICOM files in a folder and below it, or of one file."""
    planes: List[Plane] = []
    others: Counter = Counter()
    unusable: List[Tuple[str, InputError]] = []
    for file in [path] if os.path.isfile(path) else _files(path):
        if not is_dicom(file):
            continue
        header = _header(file, must_be=file == path)
        if header is None or "DirectoryRecordSequence" in header:
            continue
        with decoding(file):
            series = str(header.get("SeriesInstanceUID", ""))
        try:
            with decoding(file):
                kind = _not_an_image(header)
                if kind:
                    others[kind] += 1
                else:
                    planes += planes_of(header, file)
        except InputError as error:
            unusable.append((series, error))
    name = quoted(path)
    used = {plane.series for plane in planes}
    for series, refusal in unusable:
        if not used or series in used:
            raise refusal
    if unusable:
        messages.append(f"{len(unusable)} images of other series in {name} cannot be used and are left out "
                        f"({str(unusable[0][1]).split(': ')[0]}).")
    if not planes and others["segmentation"]:
        raise label_map_error(name)
    if not planes and others:
        raise InputError(f"{name} holds no DICOM image ({_counted(others)}): give the images themselves.")
    if not planes:
        raise InputError(f"{name} holds no DICOM series: give {READABLE}.")
    if others:
        messages.append(f"{name} holds other DICOM objects beside the images ({_counted(others)}): left out.")
    return planes


def _files(folder: str) -> Iterator[str]:
    """Yield the paths of all files in a folder and below it, in alphabetical order, without hidden ones."""
    with reading(folder):
        for parent, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    yield os.path.join(parent, name)


def _counted(kinds: Counter) -> str:
    return ", ".join(f"{count} of kind {kind}" for kind, count in sorted(kinds.items()))


def _header(file: str, must_be: bool):
    """Return the header of a file without its pixels; None for one that is not DICOM but begins as if it were."""
    import pydicom

    try:
        with decoding(file):
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    except InputError:
        if must_be or _has_preamble(file):
            raise
        return None
    return header if must_be or "SOPClassUID" in header or "Rows" in header else None


def _has_preamble(file: str) -> bool:
    with open(file, "rb") as content:
        return content.read(_MAGIC_AT + 4)[_MAGIC_AT:] == b"DICM"


def _not_an_image(header) -> str:
    """Return the kind of an object that is no image, such as "SR"; "" for an image."""
    if header.get("SOPClassUID") == _SEGMENTATION:
        return "segmentation"
    if header.get("Modality") == "RTDOSE" or any(keyword not in header for keyword in _IMAGE_ELEMENTS):
        return str(header.get("Modality") or "unknown")
    return ""


def _phases(arrangement: Arrangement, stored: StoredValues, name: str, messages: List[str]) -> Tuple[Volume, ...]:
    """Return the volumes, all of one scalar type that holds every value exactly."""
    geometries = [stack_geometry(stack, name, messages) for stack in arrangement.stacks]
    raw: Dict[Tuple[str, int], np.ndarray] = {}
    for plane in sorted((plane for stack in arrangement.stacks for plane in stack), key=lambda p: (p.file, p.frame)):
        raw[plane.file, plane.frame] = stored.of(plane)  # a file after the other: each is decoded once
    dtype = common_type([(plane, raw[plane.file, plane.frame]) for stack in arrangement.stacks for plane in stack])
    first = arrangement.stacks[0][0]
    source = Source(first.header, first.thickness, geometries[0].spacing[0])
    phases = []
    for number, (stack, geometry) in enumerate(zip(arrangement.stacks, geometries)):
        array = np.empty(geometry.shape, dtype)
        for k, plane in enumerate(stack):
            array[k] = rescaled(plane, raw.pop((plane.file, plane.frame)))
        phases.append(Volume(array, geometry, stack[0].mark == SYNTHETIC,
                             source=source if number == 0 else None, slice_thickness=stack[0].thickness,
                             slice_positions=uneven_positions(stack)))
    return tuple(phases)
