"""Interpolate many cases, one after the other, without a window.

  Slicer --no-splash --no-main-window --additional-module-paths TTTInterpolation \\
         --python-script TTTInterpolation/TTTInterpolationLib/batch.py CASES RESULTS --frames 9

CASES is a folder or a .csv table.
  In a folder, each 4D image is a case, and so is each subfolder: with two images it is a pair, with more a sequence, in
  the order of the numbers in their names; with one image it is that 4D file. A folder with one DICOM series counts as
  an image.
  A table has one row for each case, and the columns `case`, `phase0` and `phase1`, or `case` and `sequence`. Paths may
  be relative to the table.
RESULTS gets `<case>.seq.nrrd` and `<case>.json` (the report) for each case, and `summary.csv`. A case is skipped if its
result is there already, made of the same images with the same settings and weights. If a case fails, this is noted and
the next one is begun.
Exit status: 0 if every case has its result, 1 if a case failed, 2 if the batch could not be begun or broke off.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import os
import re
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

from ttt4d.commands.settings_arguments import add_settings, settings_of
from ttt4d.errors import InputError, OutputError, UserError, WeightsError
from ttt4d.images.formats import is_image_file, stem_of
from ttt4d.images.phase_times import natural_key
from ttt4d.settings import InterpolationSettings
from ttt4d.weights import checksum, locate
from TTTInterpolationLib import dependencies
from TTTInterpolationLib.job import BlockingJob

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


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
    phases: Tuple[str, ...] = ()
    sequence: Optional[str] = None

    @property
    def files(self) -> List[str]:
        """Paths of all files that the case is made of."""
        paths = [*self.phases, *filter(None, [self.sequence])]
        return [file for path in paths for file in _filesOf(path)]


@dataclass(frozen=True)
class Row:
    """How a case ended: a row of the summary. `seconds` is the time it took, `message` what was wrong or assumed."""

    case: str
    status: str
    frames: int = 0
    seconds: float = 0.0
    message: str = ""


def findCases(path: str, results: str = "") -> List[Case]:
    """Return the cases of a folder or of a .csv table.

    Parameters
    ----------
    path : str
        Path of the folder or the table; the module's text says how they are read.
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


def runBatch(cases: List[Case], folder: str, settings: InterpolationSettings,
             say: Callable[[str], None] = print) -> List[Row]:
    """Run the cases one after the other, and return a row of the summary for each.

    The summary file is written again after each case, so that an interrupted batch has one too. An error in a case is
    noted in its row.

    Parameters
    ----------
    cases : list of Case
        The cases.
    folder : str
        The folder of results. It is made if it is missing.
    settings : InterpolationSettings
        The engine's settings, the same for all cases.
    say : callable
        Called with each line of text about the progress.

    Raises
    ------
    UserError
        If a Python package is missing or the folder cannot be made.
    """
    dependencies.check()
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made ({error.strerror}): choose another one.") from None
    rows: List[Row] = []
    for number, case in enumerate(cases, start=1):
        say(f"[{number}/{len(cases)}] {case.name}")
        rows.append(_runCase(case, folder, settings))
        say(f"    {rows[-1].status} {rows[-1].message}")
        try:
            _writeSummary(rows, os.path.join(folder, "summary.csv"))
        except OSError as error:  # on Windows, a spreadsheet program locks the file it shows
            say(f"    summary.csv cannot be written ({error.strerror}): close it where it is open. The batch goes on.")
    return rows


def main(arguments: List[str]) -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(prog="batch.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", metavar="CASES")
    parser.add_argument("results", metavar="RESULTS")
    add_settings(parser)
    try:
        parsed = parser.parse_args(arguments)
        rows = runBatch(findCases(parsed.cases, parsed.results), parsed.results, settings_of(parsed))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except SystemExit as end:  # argparse: help was asked for, or the arguments make no sense
        return int(end.code or 0)
    return int(any(row.status == FAILED for row in rows))


def _runCase(case: Case, folder: str, settings: InterpolationSettings) -> Row:
    output, report = (os.path.join(folder, case.name + suffix) for suffix in (".seq.nrrd", ".json"))
    inputs = _digest(case)  # taken before the run: an image that changes during the run makes the case due again
    done = _doneReport(inputs, output, report, settings)
    if done:
        return Row(case.name, SKIPPED, len(done["frames"]))
    began = time.monotonic()
    request = {"output": output, "report": report, "settings": settings.to_json(), "phases": list(case.phases),
               "sequence": case.sequence}
    with BlockingJob(lambda message: None) as job:
        outcome = job.run(request)
    seconds = round(time.monotonic() - began, 1)
    if outcome.kind == "result":
        with contextlib.suppress(OSError), open(report, "w", encoding="utf-8") as file:  # else the case is done again
            json.dump({**outcome.report, "inputs": inputs}, file, indent=1)
        return Row(case.name, DONE, len(outcome.report["frames"]), seconds, " ".join(outcome.report["messages"]))
    return Row(case.name, FAILED, 0, seconds, outcome.message)


def _doneReport(inputs: str, output: str, report: str, settings: InterpolationSettings) -> Optional[dict]:
    """Return the report of an earlier run if its result is still valid, else None.

    It is valid if it was made of the same images (`inputs`, their `_digest`) with the same settings and weights.
    """
    try:
        with open(report, encoding="utf-8") as file:
            found = json.load(file)
        same = (inputs == found["inputs"] and _asReported(settings) == found["settings"]
                and checksum(locate(settings.weights)) == found["weights"]["sha256"])
        return found if same and os.path.isfile(output) and isinstance(found["frames"], list) else None
    except (OSError, ValueError, KeyError, TypeError, WeightsError):  # damaged, or written by an earlier version
        return None


def _digest(case: Case) -> str:
    """Return a hash of the paths, sizes and modification times of a case's files, to detect changed images.

    The text is empty if a file is missing.
    """
    try:
        files = [(os.path.abspath(file), os.stat(file)) for file in case.files]
    except OSError:
        return ""
    return hashlib.sha256(repr([(path, file.st_size, file.st_mtime_ns) for path, file in files]).encode()).hexdigest()


def _asReported(settings: InterpolationSettings) -> dict:
    """Return the settings as a report holds them: of the path of a weights file, only the file's name."""
    return json.loads(json.dumps({**settings.to_json(), "weights": os.path.basename(settings.weights)}))


def _writeSummary(rows: List[Row], path: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["case", "status", "frames", "seconds", "message"])
        table.writerows([row.case, row.status, row.frames, row.seconds, row.message] for row in rows)


def _casesOfFolder(folder: str, results: str) -> List[Case]:
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


def _casesOfTable(path: str) -> List[Case]:
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


def _rowsOfTable(path: str) -> List[dict]:
    """Return the rows of a table with commas, or with semicolons, as spreadsheets write it in many countries."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{os.path.basename(path)} is not a table in UTF-8: save it as \"CSV UTF-8\".") from None
    table = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    return [{(key or "").strip(): value.strip() for key, value in row.items() if isinstance(value, str)}
            for row in table]


def _images(folder: str) -> List[str]:
    return [path for path in _visible(folder) if is_image_file(path)]


def _subfolders(folder: str) -> List[str]:
    return [path for path in _visible(folder) if os.path.isdir(path)]


def _visible(folder: str) -> List[str]:
    """What a folder holds, in natural order, without what is hidden."""
    names = sorted(os.listdir(folder), key=natural_key)
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def _filesOf(path: str) -> List[str]:
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


if __name__ == "__main__":
    import slicer

    status = 2
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
    finally:  # without this, Slicer would go on for ever, without a window
        slicer.util.exit(status) if hasattr(slicer, "app") else sys.exit(status)
