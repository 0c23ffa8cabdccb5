"""The folder of results: the files of each case, and which results are done. Standard library only."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Sequence

from ..errors import OutputError
from ..images.output_paths import staged
from ..settings import SettingsBase
from ..through_plane.settings import SliceRunSettings
from ..weights import checksum, locate
from .cases import Case
from .claims import CLAIM, claimed

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
# What is in progress, and which cases failed, lies in a hidden folder within the results.
STATE = ".ttt4d"
PART = ".part"


@dataclass(frozen=True)
class Row:
    """How a case ended: a row of the summary. `seconds` is the time it took, `message` what was wrong or assumed."""

    case: str
    status: str
    frames: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class CaseFiles:
    """Where everything of one case lies.

    Parameters
    ----------
    folder : str
        The folder of results.
    name : str
        Name of the case.
    suffix : str
        Ending of the result.
    """

    folder: str
    name: str
    suffix: str

    @classmethod
    def of(cls, folder: str, name: str, settings: SettingsBase) -> CaseFiles:
        """Return the files of a case by the axis of the settings."""
        # One NIfTI ending serves volumes and sequences, and which of them a case is shows only when it is read.
        return cls(folder, name, ".nii.gz" if isinstance(settings, SliceRunSettings) else ".seq.nrrd")

    @property
    def result(self) -> str:
        """The frames, or the volume with all slices."""
        return self._path(self.suffix)

    @property
    def report(self) -> str:
        """The report. It is put in place last: a case that has one is complete."""
        return self._path(".json")

    @property
    def preview(self) -> str:
        """The picture."""
        return self._path(".png")

    @property
    def claim(self) -> str:
        """Exists while a process computes the case."""
        return self._path(CLAIM, STATE)

    @property
    def failure(self) -> str:
        """The row of a case that failed."""
        return self._path(".failed.json", STATE)

    @property
    def part(self) -> str:
        """The folder of what is in progress. Whoever holds the claim may remove it."""
        return self._path(PART, STATE)

    @contextlib.contextmanager
    def staging(self) -> Iterator[CaseFiles]:
        """Yield the files of the case while it is computed, `in_progress`."""
        with in_progress(self.part) as folder:
            yield CaseFiles(folder, self.name, self.suffix)

    def _path(self, suffix: str, *folder: str) -> str:
        return os.path.join(self.folder, *folder, self.name + suffix)


@dataclass(frozen=True)
class Wanted:
    """What the results have to be made with, as their reports tell it.

    Parameters
    ----------
    settings : dict
        The settings; of the path of a weights file, only the file's name.
    weights : str, optional
        SHA-256 of the weights; None where their name in the settings tells which they are.
    slices : Wanted, optional
        What the slices of the frames have to be made with, in a run on both axes.
    """

    settings: Dict[str, Any]
    weights: Optional[str] = None
    slices: Optional[Wanted] = None

    @classmethod
    def of(cls, settings: Any, slices: Optional[SliceRunSettings] = None) -> Wanted:
        """Return what is wanted with these settings; raises WeightsError where the weights are not there."""
        return cls(as_reported(settings), checksum(locate(settings.weights)), cls.of(slices) if slices else None)

    def done_report(self, inputs: str, files: CaseFiles) -> Optional[Dict[str, Any]]:
        """Return the report of an earlier run if its result is still valid, else None.

        It is valid if it was made of the same images (`inputs`, their `Case.digest`) with the same settings and
        weights.
        """
        try:
            with open(files.report, encoding="utf-8") as file:
                found = json.load(file)
            same = inputs and inputs == found["inputs"] and self._are_of(found)
            return found if same and os.path.isfile(files.result) and isinstance(found["frames"], list) else None
        except (OSError, ValueError, KeyError, TypeError):  # damaged, or written by an earlier version
            return None

    def _are_of(self, found: Dict[str, Any]) -> bool:
        """Return whether a report, or its part on the slices of frames, tells of these settings and weights."""
        slices = found.get("slices", {})
        return (self.settings == found["settings"] and self.weights in (None, found["weights"]["sha256"])
                and (self.slices._are_of(slices) if self.slices else "settings" not in slices))


@dataclass(frozen=True)
class Plan:
    """What is made of every case, and where it goes.

    Parameters
    ----------
    folder : str
        The folder of results.
    settings : InterpolationSettings or SliceRunSettings
        The settings, which tell the axis too.
    wanted : Wanted
        What tells whether a result is done.
    slices : SliceRunSettings, optional
        How to fill in the slices of the frames too.
    """

    folder: str
    settings: Any
    wanted: Wanted
    slices: Optional[SliceRunSettings] = None

    @classmethod
    def of(cls, folder: str, settings: Any, slices: Optional[SliceRunSettings] = None) -> Plan:
        """Return the plan of these settings; raises WeightsError where the weights are not there."""
        slices = slices and slices.for_frames(settings)
        return cls(folder, settings, Wanted.of(settings, slices), slices)

    def for_case(self, case: Case) -> Plan:
        """Return what is made of one case: the same for all, except where a scheme goes from case to case."""
        return self

    def prepared(self, case: Case, folder: str) -> Plan:
        """Return `for_case` with all that it needs, made in a folder; called in the process that computes the case."""
        return self.for_case(case)

    def files(self, case: Case) -> CaseFiles:
        """Return where the files of a case lie."""
        return CaseFiles.of(self.folder, case.name, self.settings)

    def done(self, cases: Sequence[Case]) -> Dict[str, Row]:
        """Return the rows of the cases whose results are there and still valid."""
        reports = ((case, self.for_case(case).wanted.done_report(case.digest, self.files(case))) for case in cases)
        return {case.name: Row(case.name, SKIPPED, len(report["frames"])) for case, report in reports if report}

    def note_failure(self, row: Row, case: Case) -> None:
        """Keep the row of a failed case for the summary; on a full disk the summary of this run alone has it.

        This process holds the claim of the case.
        """
        files = self.files(case)
        with contextlib.suppress(OSError, OutputError), files.staging() as staging:
            with staged(files.failure, within=staging.folder) as temporary:
                with open(str(temporary), "w", encoding="utf-8") as file:
                    json.dump(dataclasses.asdict(row), file)

    def note_lost(self, case: Case, message: str) -> Optional[Row]:
        """Keep and return the row of a case whose process is gone; None where another process computes it by now."""
        row = Row(case.name, FAILED, message=message)
        with contextlib.suppress(OSError), claimed(self.files(case).claim) as mine:
            if not mine:
                return None
            self.note_failure(row, case)
        return row

    def forget_failure(self, case: Case) -> None:
        """Remove what `note_failure` has kept, if anything: the case is done, or is just about to be."""
        with contextlib.suppress(OSError):
            os.remove(self.files(case).failure)


def as_reported(settings: Any) -> Dict[str, Any]:
    """Return the settings as a report holds them: of the path of a weights file, only the file's name."""
    return json.loads(json.dumps({**settings.to_json(), "weights": os.path.basename(settings.weights)}))


@contextlib.contextmanager
def in_progress(part: str) -> Iterator[str]:
    """Yield a new folder within `part`, which is emptied first and removed in the end; the caller holds its claim.

    The new folder has a name of its own: a process that has slept while its claim was taken over works in another one.
    """
    shutil.rmtree(part, ignore_errors=True)  # what a process left that was killed
    folder = os.path.join(part, uuid.uuid4().hex[:12])
    os.makedirs(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(part)


def clear_state(folder: str) -> None:
    """Remove what processes that were killed have left in the hidden folder of the results, and the folder if empty.

    A case that a living process computes is left alone: what is removed is claimed first.
    """
    state = os.path.join(folder, STATE)
    names = os.listdir(state) if os.path.isdir(state) else []
    for case in sorted({os.path.splitext(name)[0] for name in names if name.endswith((PART, CLAIM))}):
        with contextlib.suppress(OSError), claimed(os.path.join(state, case + CLAIM)) as mine:
            if mine:
                shutil.rmtree(os.path.join(state, case + PART), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(state)
