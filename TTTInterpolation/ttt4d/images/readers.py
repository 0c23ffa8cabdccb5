"""Read volumes and sequences from files and folders of any format."""

from __future__ import annotations

import dataclasses
import os
from typing import Iterable, List, Optional, Sequence

from ..errors import InputError
from .checks import label_map_error
from .files import quoted, reading
from .formats import DICOM, READABLE, ImageFormat, format_of, is_image_file, stem_of
from .phase_times import natural_key, times_in_names
from .sequence import PhaseSequence
from .volume import Volume

_INDEX_NAMES = {"%": "phase", "ms": "time", "s": "time"}


def check_inputs(paths: Iterable) -> None:
    """Raise `InputError` for the first path that does not exist or is in no known format, before any is read."""
    for path in paths:
        _format_of(os.fspath(path))


def read_volume(path, messages: Optional[List[str]] = None) -> Volume:
    """Read the volume in a file, or in a folder of DICOM files, on its own grid and in its own scalar type.

    A 4D file of one phase counts as a volume.

    Parameters
    ----------
    path : str or path-like
        A file or folder.
    messages : list of str, optional
        What was assumed while reading is appended, a full sentence each.

    Raises
    ------
    InputError, GeometryError
        The file is missing, damaged, of no known format, or no volume.
    """
    path = os.fspath(path)
    found = _read(path)
    if len(found.phases) > 1:
        raise InputError(f"{quoted(path)} is a sequence of {len(found.phases)} phases, where one volume is needed: "
                         "give it alone, as a sequence.")
    if messages is not None:
        messages.extend(found.messages)
    return found.phases[0]


def read_sequence(path, messages: Optional[List[str]] = None, uneven: bool = False) -> PhaseSequence:
    """Read the phases in a 4D file (.seq.nrrd, 4D NIfTI, NRRD or MetaImage) or in a folder of phases.

    In a folder each image file is a phase. They are ordered by the numbers in their names (phase2 before phase10, 0.25
    before 0.5), and these numbers are their times if the names differ in nothing else. Other files are left alone. A
    folder without image files is read as DICOM, with all that lies below it: its headers give the phases, or else its
    subfolders do. The phases of a folder keep their own grids.

    Parameters
    ----------
    path : str or path-like
        A file or folder.
    messages : list of str, optional
        What was assumed while reading is appended, a full sentence each.
    uneven : bool
        Accept slices that are not evenly spaced; their places are the `Volume.slice_positions`.

    Raises
    ------
    InputError, GeometryError
        The file is missing, damaged, of no known format, or no sequence.
    """
    path = os.fspath(path)
    entries = _phase_entries(path) if os.path.isdir(path) else []
    found = _read_entries(path, entries) if entries else _read(path, uneven)
    if messages is not None:
        messages.extend(found.messages)
    return found


def _phase_entries(folder: str) -> List[str]:
    """Return the image files in a folder, in natural order; none in a folder of DICOM files."""
    with reading(folder):
        names = sorted(os.listdir(folder), key=lambda name: natural_key(stem_of(name)))
    if not names:
        raise InputError(f"The folder {quoted(folder)} holds no phases: give a folder with one image file a phase.")
    paths = [os.path.join(folder, name) for name in names if not name.startswith(".") and is_image_file(name)]
    return [path for path in paths if os.path.isfile(path)]


def _read_entries(folder: str, entries: Sequence[str]) -> PhaseSequence:
    """Read a folder with a file a phase, at the times that are in their names."""
    messages: List[str] = []
    phases = [read_volume(entry, messages) for entry in entries]
    named = times_in_names([stem_of(entry) for entry in entries])
    if named is None:
        return PhaseSequence.counted(phases, messages)
    times, unit = named
    values = ", ".join(f"{time:.10g}" for time in times)
    messages.append(f"The numbers in the names in {quoted(folder)} are taken as the times of the phases: "
                    f"{values}{unit and ' ' + unit}.")
    return PhaseSequence(tuple(phases), times, _INDEX_NAMES.get(unit, "frame"), unit, tuple(messages))


def _read(path: str, uneven: bool = False) -> PhaseSequence:
    """Read a file or a DICOM folder. Each phase gets the file's name, for messages."""
    found = _format_of(path).load().read(path)
    if found.is_label_map:
        raise label_map_error(quoted(path))
    places = next((phase.slice_positions for phase in found.phases if phase.slice_positions), None)
    if places and not uneven:
        steps = [stop - start for start, stop in zip(places, places[1:])]
        raise InputError(f"The slices of {quoted(path)} are not evenly spaced (from {min(steps):.4g} to "
                         f"{max(steps):.4g} mm, as if a slice is missing): complete the series, or let `ttt4d slices` "
                         "fill in even ones.")
    phases = tuple(dataclasses.replace(phase, name=os.path.basename(os.path.normpath(path))) for phase in found.phases)
    return dataclasses.replace(found, phases=phases)


def _format_of(path: str) -> ImageFormat:
    """Return the format of a file or folder. Raises `InputError` where there is none."""
    if not os.path.exists(path):
        raise InputError(f"There is no file or folder {quoted(path)}: check the path.")
    found = DICOM if os.path.isdir(path) else format_of(path)
    if found is None and DICOM.load().is_dicom(path):
        found = DICOM
    if found is None:
        raise InputError(f"{quoted(path)} is not in a format that can be read: give {READABLE}.")
    return found
