"""The cases of a batch: which images of a folder or of a table belong together."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from dataclasses import dataclass
from typing import Optional

from ttt4d.errors import InputError
from ttt4d.images.formats import is_image_file, stem_of
from ttt4d.images.phase_times import natural_key


@dataclass(frozen=True)
class Case:
    """One case of a batch.

    Parameters
    ----------
    name : str
        Name of the output files, without their endings.
    phases : tuple of str
        Paths of two images.
    sequence : str, optional
        Path of a 4D image or of a folder of phases, in place of `phases`.
    """

    name: str
    phases: tuple[str, ...] = ()
    sequence: Optional[str] = None

    @property
    def files(self) -> list[str]:
        """Paths of all files that the case is made of."""
        paths = [*self.phases, *filter(None, [self.sequence])]
        return [file for path in paths for file in _filesOf(path)]

    @property
    def digest(self) -> str:
        """A hash of the paths, sizes and modification times of the files, to detect changed images.

        The text is empty if a file is missing.
        """
        try:
            files = [(os.path.abspath(file), os.stat(file)) for file in self.files]
        except OSError:
            return ""
        content = repr([(path, file.st_size, file.st_mtime_ns) for path, file in files])
        return hashlib.sha256(content.encode()).hexdigest()


def findCases(path: str, results: str = "") -> list[Case]:
    """Return the cases of a folder or of a .csv table.

    Parameters
    ----------
    path : str
        Path of the folder or the table; see the help of `batch.py` for how they are read.
    results : str
        Path of the folder of results, which is no case.

    Raises
    ------
    InputError
        If there is no case, or two have the same name, or the table is not complete.
    """
    if os.path.isdir(path):
        cases = _casesOfFolder(path, results)
    elif os.path.isfile(path) and path.lower().endswith(".csv"):
        cases = _casesOfTable(path)
    else:
        raise InputError(f"{path} is neither a folder nor a .csv table: give one of them.")
    if not cases:
        raise InputError(f"There is no case in {path}: see the help for how a folder or a table is read.")
    names = [case.name.casefold() for case in cases]  # on Windows and macOS, most disks ignore case
    doubles = {name for name in names if names.count(name) > 1}
    if doubles:
        raise InputError(f"Two cases have the name {min(doubles)}: give each its own, their results would collide.")
    return cases


def _casesOfFolder(folder: str, results: str) -> list[Case]:
    def isResults(path: str) -> bool:
        return os.path.isdir(results) and os.path.samefile(path, results)

    if isResults(folder):
        raise InputError("The results would lie among the cases: choose another folder for them.")
    cases = [Case(stem_of(file), sequence=file) for file in _images(folder)]
    for path in _subfolders(folder):
        if isResults(path):
            continue
        name, images = os.path.basename(path), _images(path)
        phases = images or _subfolders(path)
        if len(phases) == 2:
            cases.append(Case(name, phases=tuple(phases)))
        elif _visible(path):  # DICOM files have names of any kind: the engine reads them or says why it cannot
            cases.append(Case(name, sequence=images[0] if len(images) == 1 else path))
    return cases


def _casesOfTable(path: str) -> list[Case]:
    base, name = os.path.dirname(os.path.abspath(path)), os.path.basename(path)
    cases = []
    for row in _rowsOfTable(path):
        case = row.get("case", "")
        phases = tuple(os.path.join(base, row[key]) for key in ("phase0", "phase1") if row.get(key))
        sequence = os.path.join(base, row["sequence"]) if row.get("sequence") else None
        if not case or (len(phases) != 2) == (sequence is None):
            raise InputError(f"Row {len(cases) + 1} of {name} needs a case, and either phase0 and phase1 or a "
                             "sequence: complete it.")
        if re.search(r'[/\\<>:"|?*]', case):
            raise InputError(f"The case name {case} becomes a file name: leave / \\ < > : \" | ? * out of it.")
        cases.append(Case(case, phases, sequence))
    return cases


def _rowsOfTable(path: str) -> list[dict]:
    """Return the rows of a table with commas, or with semicolons, as spreadsheets write it in many countries."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{os.path.basename(path)} is not a table in UTF-8: save it as \"CSV UTF-8\".") from None
    table = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    return [{(key or "").strip(): value.strip() for key, value in row.items() if isinstance(value, str)}
            for row in table]


def _images(folder: str) -> list[str]:
    return [path for path in _visible(folder) if is_image_file(path)]


def _subfolders(folder: str) -> list[str]:
    return [path for path in _visible(folder) if os.path.isdir(path)]


def _visible(folder: str) -> list[str]:
    """Return what a folder holds, in the order of the numbers in the names, without hidden files."""
    names = sorted(os.listdir(folder), key=natural_key)
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def _filesOf(path: str) -> list[str]:
    """Return the files that a path of a case stands for.

    For a folder of images these are the images. For any other folder, such as one of DICOM files, these are all files
    in it and below it.
    """
    if not os.path.isdir(path):
        return [path]
    images = _images(path)
    if images and not _subfolders(path):
        return images
    return sorted(os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names
                  if not name.startswith("."))
