"""The cases of a cohort: which images of a folder, of a table or of a BIDS tree belong together.

Standard library only, so that a list of thousands is there at once.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import InputError
from ..images.files import quoted
from ..images.formats import is_image_file, stem_of
from ..images.phase_times import natural_key


@dataclass(frozen=True)
class Case:
    """One case of a cohort.

    Parameters
    ----------
    name : str
        Name of the output files, without their endings.
    phases : tuple of str
        Paths of two images.
    sequence : str, optional
        Path of one image, or of a folder of phases, in place of `phases`.
    """

    name: str
    phases: Tuple[str, ...] = ()
    sequence: Optional[str] = None

    @property
    def files(self) -> List[str]:
        """Paths of all files that the case is made of."""
        paths = [*self.phases, *filter(None, [self.sequence])]
        return [file for path in paths for file in _files_of(path)]

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


def find_cases(path: str, results: str = "", participants: Sequence[str] = (), volumes: bool = False) -> List[Case]:
    """Return the cases of a folder, of a .csv table or of a BIDS tree.

    Parameters
    ----------
    path : str
        Path of the folder or the table; see the help of `ttt4d batch` for how they are read.
    results : str
        Path of the folder of results, which is no case.
    participants : sequence of str
        Labels of the subjects of a BIDS tree to take, with or without `sub-`; all if empty.
    volumes : bool
        Whether each case is one volume or sequence, so that two images are no pair of phases.

    Raises
    ------
    InputError
        If there is no case, or two have the same name, or the table is not complete.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("ED.nii.gz", "ES.nii.gz"):
    ...         os.makedirs(os.path.join(folder, "ann"), exist_ok=True)
    ...         open(os.path.join(folder, "ann", name), "x").close()
    ...     [case.name for case in find_cases(folder)]
    ['ann']
    """
    if os.path.isdir(path):
        bids = _is_bids(path)
        if participants and not bids:
            raise InputError(f"{path} is no BIDS tree (sub-*/ses-*): leave --participant-label out.")
        cases = (_cases_of_bids(path, participants, volumes) if bids else _cases_of_folder(path, results, volumes))
    elif os.path.isfile(path) and path.lower().endswith(".csv"):
        cases = _cases_of_table(path)
    else:
        raise InputError(f"{path} is neither a folder nor a .csv table: give one of them.")
    if not cases:
        raise InputError(f"There is no case in {path}: see the help for how a folder or a table is read.")
    names = Counter(case.name.casefold() for case in cases)  # on Windows and macOS, most disks ignore case
    doubles = [name for name, count in names.items() if count > 1]
    if doubles:
        raise InputError(f"Two cases have the name {min(doubles)}: give each its own, their results would collide.")
    return cases


def _cases_of_folder(folder: str, results: str, volumes: bool) -> List[Case]:
    there = os.path.realpath(results) if results else ""
    if there and os.path.realpath(folder) == there:
        raise InputError("The results would lie among the cases: choose another folder for them.")
    cases = [Case(stem_of(file), sequence=file) for file in _images(folder)]
    for path in _subfolders(folder):
        if os.path.realpath(path) != there:
            cases += _case_of_patient(os.path.basename(path), path, volumes)
    return cases


def _case_of_patient(name: str, folder: str, volumes: bool) -> List[Case]:
    """Return the one case of a patient's folder, or none where it is empty."""
    held = _visible(folder)
    images = [path for path in held if is_image_file(path)]
    phases = images or [path for path in held if os.path.isdir(path)]
    if len(phases) == 2 and not volumes:
        return [Case(name, phases=tuple(phases))]
    # DICOM files have names of any kind: the engine reads them or says why it cannot.
    return [Case(name, sequence=images[0] if len(images) == 1 else folder)] if held else []


def _is_bids(folder: str) -> bool:
    subjects = [path for path in _subfolders(folder) if fnmatch(os.path.basename(path), "sub-*")]
    described = os.path.isfile(os.path.join(folder, "dataset_description.json"))
    return bool(subjects) and (described or any(
        fnmatch(os.path.basename(path), "ses-*") for subject in subjects for path in _subfolders(subject)))


def _cases_of_bids(folder: str, participants: Sequence[str], volumes: bool) -> List[Case]:
    """Return the cases of a BIDS tree: each folder of images below `sub-*` is one, or each of its images."""
    subjects = {os.path.basename(path): path for path in _subfolders(folder)
                if fnmatch(os.path.basename(path), "sub-*")}
    wanted = [label if label.startswith("sub-") else f"sub-{label}" for label in participants] or list(subjects)
    unknown = [label for label in wanted if label not in subjects]
    if unknown:
        raise InputError(f"There is no participant {unknown[0]} in {folder}: it has {', '.join(list(subjects)[:5])}"
                         f"{', ...' if len(subjects) > 5 else ''}.")
    cases: List[Case] = []
    for subject in wanted:
        sessions: Dict[str, List[str]] = {}
        for path in _folders_of_images(subjects[subject]):
            parts = os.path.relpath(path, folder).split(os.sep)
            sessions.setdefault("_".join(parts[:2 if fnmatch("".join(parts[1:2]), "ses-*") else 1]), []).append(path)
        for session, paths in sessions.items():
            for path in paths:
                if volumes:
                    cases += [Case(stem_of(file), sequence=file) for file in _images(path)]
                else:  # the data type (anat, func, ...) is named where a session has several
                    kind = f"_{os.path.basename(path)}" if len(paths) > 1 else ""
                    cases += _case_of_patient(session + kind, path, volumes)
    return cases


def _folders_of_images(folder: str) -> Iterator[str]:
    if _images(folder):
        yield folder
    for path in _subfolders(folder):
        yield from _folders_of_images(path)


def _cases_of_table(path: str) -> List[Case]:
    base, name = os.path.dirname(os.path.abspath(path)), os.path.basename(path)
    cases: List[Case] = []
    for row in _rows_of_table(path):
        case = row.get("case", "")
        phases = tuple(os.path.join(base, row[key]) for key in ("phase0", "phase1") if row.get(key))
        found = row.get("sequence") or row.get("volume")
        sequence = os.path.join(base, found) if found else None
        if not case or (len(phases) != 2) == (sequence is None):
            raise InputError(f"Row {len(cases) + 1} of {name} needs a case, and either phase0 and phase1 or a "
                             "sequence (or volume): complete it.")
        if re.search(r'[/\\<>:"|?*]', case):
            raise InputError(f"The case name {case} becomes a file name: leave / \\ < > : \" | ? * out of it.")
        cases.append(Case(case, phases, sequence))
    return cases


def _rows_of_table(path: str) -> List[Dict[str, str]]:
    """Return the rows of a table with commas, or with semicolons, as spreadsheets write it in many countries."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{quoted(path)} is not a table in UTF-8: save it as \"CSV UTF-8\".") from None
    table = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    return [{(key or "").strip(): value.strip() for key, value in row.items() if isinstance(value, str)}
            for row in table]


def _images(folder: str) -> List[str]:
    return [path for path in _visible(folder) if is_image_file(path)]


def _subfolders(folder: str) -> List[str]:
    return [path for path in _visible(folder) if os.path.isdir(path)]


def _visible(folder: str) -> List[str]:
    """Return what a folder holds, in the order of the numbers in the names, without hidden files."""
    names = sorted(os.listdir(folder), key=natural_key)
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def _files_of(path: str) -> List[str]:
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
