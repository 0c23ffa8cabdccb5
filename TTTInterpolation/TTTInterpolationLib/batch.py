r"""Interpolate many cases, one after the other, without a window.

  Slicer --no-splash --no-main-window --additional-module-paths TTTInterpolation \
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
import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Callable, Optional

from ttt4d.commands.settings_arguments import add_settings, settings_of
from ttt4d.errors import OutputError, UserError, WeightsError
from ttt4d.settings import InterpolationSettings
from ttt4d.weights import checksum, locate
from TTTInterpolationLib import dependencies
from TTTInterpolationLib.cases import Case, findCases
from TTTInterpolationLib.job import BlockingJob

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Row:
    """How a case ended: a row of the summary. `seconds` is the time it took, `message` what was wrong or assumed."""

    case: str
    status: str
    frames: int = 0
    seconds: float = 0.0
    message: str = ""


def runBatch(cases: list[Case], folder: str, settings: InterpolationSettings,
             say: Callable[[str], None] = print) -> list[Row]:
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
    rows: list[Row] = []
    for number, case in enumerate(cases, start=1):
        say(f"[{number}/{len(cases)}] {case.name}")
        rows.append(_runCase(case, folder, settings))
        say(f"    {rows[-1].status} {rows[-1].message}")
        try:
            _writeSummary(rows, os.path.join(folder, "summary.csv"))
        except OSError as error:  # on Windows, a spreadsheet program locks the file it shows
            say(f"    summary.csv cannot be written ({error.strerror}): close it where it is open. The batch goes on.")
    return rows


def main(arguments: list[str]) -> int:
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
    inputs = case.digest  # taken before the run: an image that changes during the run makes the case due again
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

    It is valid if it was made of the same images (`inputs`, their `Case.digest`) with the same settings and weights.
    """
    try:
        with open(report, encoding="utf-8") as file:
            found = json.load(file)
        same = (inputs == found["inputs"] and _asReported(settings) == found["settings"]
                and checksum(locate(settings.weights)) == found["weights"]["sha256"])
        return found if same and os.path.isfile(output) and isinstance(found["frames"], list) else None
    except (OSError, ValueError, KeyError, TypeError, WeightsError):  # damaged, or written by an earlier version
        return None


def _asReported(settings: InterpolationSettings) -> dict:
    """Return the settings as a report holds them: of the path of a weights file, only the file's name."""
    return json.loads(json.dumps({**settings.to_json(), "weights": os.path.basename(settings.weights)}))


def _writeSummary(rows: list[Row], path: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["case", "status", "frames", "seconds", "message"])
        table.writerows([row.case, row.status, row.frames, row.seconds, row.message] for row in rows)


if __name__ == "__main__":
    import slicer

    status = 2
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
    finally:  # without this, Slicer would go on for ever, without a window
        slicer.util.exit(status) if hasattr(slicer, "app") else sys.exit(status)
