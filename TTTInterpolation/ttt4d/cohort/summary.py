"""The summary of a cohort: a row a case, from the run itself or from the reports. Standard library only."""

from __future__ import annotations

import csv
import json
import os
import time as clock
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

from ..errors import InputError, OutputError
from ..images.output_paths import staged, writing
from ..images.phase_times import natural_key
from .cases import Case
from .results import DONE, STATE, Row

TABLE = "summary.csv"


@dataclass(frozen=True)
class Entry:
    """One case of a folder of results: its row, and its report where it has one.

    Parameters
    ----------
    row : Row
        How it ended.
    report : dict or None
        None for a case that failed.
    """

    row: Row
    report: Optional[Dict[str, Any]] = None


def rows_of_results(folder: str) -> List[Entry]:
    """Return the cases of a folder of results in natural order.

    Raises
    ------
    InputError
        There is no report in the folder.
    """
    found: Dict[str, Entry] = {}
    for path in _json_files(folder):
        report = _read(path)
        if isinstance(report.get("frames"), list) and "settings" in report:
            name = os.path.basename(path)[:-len(".json")]
            seconds = round(sum(report.get("seconds", {}).values()), 1)
            found[name] = Entry(Row(name, DONE, len(report["frames"]), seconds, " ".join(report["messages"])), report)
    for path in _json_files(os.path.join(folder, STATE)):
        failed = _read(path)
        if "case" in failed:
            found[failed["case"]] = Entry(Row(**failed))
    if not found:
        raise InputError(f"There is no result in {folder}: give a folder that `ttt4d batch` has filled.")
    return [found[name] for name in sorted(found, key=natural_key)]


def _json_files(folder: str) -> List[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.name.endswith(".json")]
    except OSError:
        return []


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_table(rows: Sequence[Row], folder: str) -> str:
    """Write `summary.csv`, whole or not at all, and return its path."""
    path = os.path.join(folder, TABLE)
    with staged(path) as temporary, writing(path):
        with open(str(temporary), "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["case", "status", "frames", "seconds", "message"])
            table.writerows([row.case, row.status, row.frames, row.seconds, row.message] for row in rows)
    return path


class Summary:
    """Keeps the rows of a run, and `summary.csv` up to date, so that an interrupted run has one too.

    Parameters
    ----------
    folder : str
        The folder of results.
    cases : sequence of Case
        All cases; the rows are kept in their order.
    say : callable
        Called with a sentence where the table cannot be written. The run goes on.
    table : bool
        Whether to write the table; a part of a cohort leaves that to `ttt4d summary`.
    """

    # The table is written anew after a case, but no more than this part of the time goes into it.
    SHARE = 0.05

    def __init__(self, folder: str, cases: Sequence[Case], say: Callable[[str], None], table: bool = True) -> None:
        self._folder, self._say, self._table = folder, say, table
        self._place = {case.name: place for place, case in enumerate(cases)}
        self._rows: Dict[str, Row] = {}
        self._written, self._not_before = 0, 0.0

    def __enter__(self) -> Summary:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._table and self._written < len(self._rows):
            self._write()

    @property
    def rows(self) -> List[Row]:
        """The rows so far, in the order of the cases."""
        return sorted(self._rows.values(), key=lambda row: self._place[row.case])

    def add(self, row: Row) -> None:
        """Add the row of a case."""
        self._rows[row.case] = row
        if self._table and clock.monotonic() >= self._not_before:
            self._write()

    def _write(self) -> None:
        began = clock.monotonic()
        self._written = len(self._rows)
        try:
            write_table(self.rows, self._folder)
        except OutputError as error:  # on Windows, a spreadsheet program locks the file it shows
            self._say(f"    {TABLE} cannot be written: close it where it is open. The batch goes on. {error}")
        ended = clock.monotonic()
        self._not_before = ended + (ended - began) / self.SHARE
