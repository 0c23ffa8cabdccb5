"""Volumes and sequences out of files and folders of any format."""

from __future__ import annotations

import os
import re
from typing import List, Optional

from ..errors import InputError
from .files import quoted, reading
from .formats import DICOM, FORMATS, READABLE, format_of
from .sequence import PhaseSequence
from .volume import Volume


def read_volume(path, messages: Optional[List[str]] = None) -> Volume:
    """The volume in a file, or in the folder of one DICOM series, with its own grid and scalar type.

    A 4D file of one phase counts as a volume. messages: what was assumed while reading is appended.
    Raises `InputError` or `GeometryError`.
    """
    path = _existing(path)
    found = _read(path)
    if len(found.phases) > 1:
        raise InputError(f"{quoted(path)} is a sequence of {len(found.phases)} phases, where one volume is needed: "
                         "give it alone, as a sequence.")
    if messages is not None:
        messages.extend(found.messages)
    return found.phases[0]


def read_sequence(path, messages: Optional[List[str]] = None) -> PhaseSequence:
    """The phases in a 4D file (.seq.nrrd, 4D NIfTI, NRRD or MetaImage) or in a folder of phases.

    In a folder each image file, or each subfolder with one DICOM series, is a phase, in the natural order of their
    names (phase2 before phase10); other files are left alone. The phases of a folder keep their own grids.
    messages: what was assumed while reading is appended. Raises `InputError` or `GeometryError`.
    """
    path = _existing(path)
    if os.path.isdir(path):
        entries = _phase_entries(path)
        if not entries:
            raise InputError(f"The folder {quoted(path)} holds no phases: give a folder with one image file a phase.")
        said: List[str] = []
        found = PhaseSequence.counted([read_volume(entry, said) for entry in entries], said)
    else:
        found = _read(path)
    if messages is not None:
        messages.extend(found.messages)
    return found


def _existing(path) -> str:
    path = os.fspath(path)
    if not os.path.exists(path):
        raise InputError(f"There is no file or folder {quoted(path)}: check the path.")
    return path


def _phase_entries(folder: str) -> List[str]:
    """The image files, or else the subfolders, of a folder of phases, in natural order; none in a DICOM series."""
    def natural(name: str):
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name.lower())]

    with reading(folder):
        names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=natural)
    paths = [os.path.join(folder, name) for name in names]
    companions = tuple(ending for f in FORMATS for ending in f.companions)
    images = [path for path in paths
              if os.path.isfile(path) and format_of(path) and not path.lower().endswith(companions)]
    return images or [path for path in paths if os.path.isdir(path)]


def _read(path: str) -> PhaseSequence:
    found = DICOM if os.path.isdir(path) else format_of(path)
    if found is None:
        raise InputError(f"{quoted(path)} is not in a format that can be read: give {READABLE}.")
    return found.load().read(path)
