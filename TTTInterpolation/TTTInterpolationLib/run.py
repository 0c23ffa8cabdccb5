"""One interpolation under way: from nodes to a request, from the child's frames to sequences.

The scene is touched in one place only, at the very end of a run that succeeded; until then the frames gather in
sequences outside any scene, so that a cancel, a crash or a closed scene leaves nothing behind.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import traceback
from dataclasses import dataclass, field
from typing import Callable, Iterator, List, Optional, Tuple

from slicer.i18n import tr as _

from ttt4d.errors import InputError, UserError
from ttt4d.settings import InterpolationSettings

from . import sequences, volumes
from .job import BlockingJob, EventLoopJob, JobError, Outcome

_LAST = object()


@dataclass(frozen=True)
class Inputs:
    """What is interpolated.

    like: the volume the result shall look and lie like, one of the scene where possible; nodes: those the user chose;
    phase_times: of the phases of a sequence, empty where its index does not say.
    """

    phases: Tuple[object, ...]
    like: object
    nodes: Tuple[object, ...]
    isSequence: bool = False
    phase_times: Tuple[float, ...] = ()

    @classmethod
    def pair(cls, phase0, phase1) -> "Inputs":
        return cls((phase0, phase1), phase0, (phase0, phase1))

    @classmethod
    def fromSequence(cls, sequence) -> "Inputs":
        phases = tuple(sequence.GetNthDataNode(n) for n in range(sequence.GetNumberOfDataNodes()))
        return cls(phases, sequences.proxyOf(sequence) or phases[0], (sequence,), True, sequences.momentsOf(sequence))


@dataclass
class Callbacks:
    """What a run tells about itself. progress(message: dict), log(line), finished(outcome, frames or None)."""

    progress: Callable[[dict], None] = field(default=lambda message: None)
    log: Callable[[str], None] = field(default=lambda line: None)
    finished: Callable[[Outcome, Optional[object]], None] = field(default=lambda outcome, frames: None)


class Run:
    """One run. Use `wait` where no event loop turns, `start` where one does."""

    def __init__(self, scene, inputs: Inputs, settings: InterpolationSettings, outputSequence=None,
                 displacementSequence=None, temporaryFolder: str = "", callbacks: Optional[Callbacks] = None) -> None:
        self._scene = scene
        self._inputs = inputs
        self._settings = settings
        self._output = outputSequence
        self._displacementOutput = displacementSequence
        self.displacementSequence = None  # in the scene, from the success of the run to the end of `finished`
        self._callbacks = callbacks or Callbacks()
        self._frameMessages: List[dict] = []
        self._job = None
        self._timer = None  # where the event loop turns
        self._ended = False
        self._stopped: Optional[Outcome] = None
        self._steps: Optional[Iterator[None]] = None
        try:
            # mkdtemp inside: only its owner can look in. Short, because paths on Windows are limited.
            self._folder = tempfile.TemporaryDirectory(prefix="ttt", dir=temporaryFolder or None)
        except OSError as error:
            raise InputError(_("The temporary folder {folder} cannot be used ({reason}): choose another one under "
                               "Advanced.").format(folder=temporaryFolder or tempfile.gettempdir(),
                                                   reason=error.strerror)) from None

    @property
    def folder(self) -> str:
        return self._folder.name

    @property
    def pid(self) -> int:
        """Of the child process; 0 when there is none."""
        return self._job.pid if self._job else 0

    def wait(self):
        """Run to the end and return the sequence of frames, or None if it was cancelled. Raises `JobError`."""
        frames = None
        try:
            with BlockingJob(self._hear, self._callbacks.log, self.folder) as self._job:
                _exhaust(self._writeInputs())
                outcome = self._job.run(self._request())
                if outcome.kind == "result":
                    _exhaust(self._takeFrames())
                    frames = self._conclude(outcome)
        finally:
            self._removeFolder()
        self._callbacks.finished(outcome, frames)
        if outcome.kind in ("user", "bug"):
            raise JobError(outcome)
        return frames

    def start(self) -> None:
        """Start and return at once; `callbacks.finished` is called in every case, once."""
        import qt

        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._takeTurn)
        self._job = EventLoopJob(self._hear, self._callbacks.log, self._onJobFinished, self.folder)
        self._closing = self._scene.AddObserver(self._scene.StartCloseEvent, lambda caller, event: self.cancel())
        self._job.start()
        # The child takes seconds to start: meanwhile the phases are written.
        self._inTurns(self._writeInputs(), lambda: self._job.send(self._request()))

    def cancel(self) -> None:
        """Ask the child to stop. The outcome comes to `callbacks.finished`, and nothing to the scene."""
        self._stop(Outcome("cancelled", _("Cancelled.")))

    def stopNow(self) -> None:
        """Cancel, and return when child and folder are gone."""
        self.cancel()
        if self._timer is not None:
            self._job.stopNow()

    # In the event loop, long work is cut into steps, one in each turn, so that the application stays awake.

    def _inTurns(self, steps: Iterator[None], then: Callable[[], None]) -> None:
        self._steps, self._then = steps, then
        self._timer.start()

    def _takeTurn(self) -> None:
        try:
            if next(self._steps, _LAST) is _LAST:
                self._timer.stop()
                self._then()
        except Exception as error:  # nobody else would make it known
            if self._ended:
                raise
            kind = "user" if isinstance(error, UserError) else "bug"
            self._stop(Outcome(kind, str(error), traceback.format_exc()))

    def _stop(self, outcome: Outcome) -> None:
        if self._timer is None:
            self._job.cancel()
            return
        self._timer.stop()
        if self._job.ended:
            self._end(outcome)
        else:
            self._stopped = outcome
            self._job.cancel()

    def _onJobFinished(self, outcome: Outcome) -> None:
        if outcome.kind != "result":
            self._end(self._stopped or outcome)
        else:
            self._inTurns(self._takeFrames(), lambda: self._end(outcome, self._conclude(outcome)))

    def _end(self, outcome: Outcome, frames=None) -> None:
        if self._ended:
            return
        self._ended = True
        self._timer.stop()
        self._scene.RemoveObserver(self._closing)
        self._removeFolder()
        self._job.letGo()
        # PythonQt never lets go of what its signals are connected to: this run stays, its volumes must not.
        self._inputs = self._frames = self._displacements = self._steps = self._then = None
        self._output = self._displacementOutput = None
        self._callbacks.finished(outcome, frames)
        self.displacementSequence = None

    def _removeFolder(self) -> None:
        try:
            self._folder.cleanup()
        except OSError:  # Windows keeps a file that a dying process still holds open: once more when Slicer ends
            atexit.register(shutil.rmtree, self._folder.name, ignore_errors=True)

    # What is passed through the folder

    def _writeInputs(self) -> Iterator[None]:
        os.mkdir(self._path("in"))
        for n, phase in enumerate(self._inputs.phases):
            volumes.writePhase(phase, self._phasePath(n), frameOf=self._inputs.phases[0])
            yield

    def _request(self) -> dict:
        inputs = ({"sequence": self._path("in")} if self._inputs.isSequence
                  else {"phases": [self._phasePath(n) for n in range(2)]})
        return {**inputs, "phase_times": self._inputs.phase_times, "output": self._path("out"),
                "settings": self._settings.to_json(), "report": None, "preview": None,
                "displacements": self._path("d") if self._displacementOutput else None}

    def _hear(self, message: dict) -> None:
        if message["type"] == "progress":
            self._callbacks.progress(message)
        elif message["type"] == "frame":
            self._frameMessages.append(message)

    def _takeFrames(self) -> Iterator[None]:
        """Move the frames, and the displacements if asked for, from their files into sequences outside the scene."""
        name = self._inputs.nodes[0].GetName()
        self._frames = sequences.newSequence(_("{name} interpolated").format(name=name))
        self._displacements = sequences.newSequence(_("{name} displacement").format(name=name))
        for message in self._frameMessages:
            number, index, acquired = message["number"], message["index"], message["acquired"]
            frame = volumes.readFrame(self._path("out", f"frame_{number:03d}.nrrd"), like=self._inputs.phases[0])
            sequences.addItem(self._frames, frame, index, acquired)
            yield
            if self._displacementOutput:
                displacement = volumes.readDisplacement(self._path("d", f"displacement_{number:03d}.nrrd"))
                sequences.addItem(self._displacements, displacement, index, acquired)
                yield

    def _conclude(self, outcome: Outcome):
        """Put what was made into the scene, and nothing before."""
        frames = self._placed(self._frames, self._output, outcome)
        if self._displacementOutput:
            self.displacementSequence = self._placed(self._displacements, self._displacementOutput, outcome, frames)
        sequences.browse(frames, self._inputs.like, self.displacementSequence)
        return frames

    def _placed(self, built, chosen, outcome: Outcome, beside=None):
        sequence = sequences.place(self._scene, built, chosen, self._inputs.nodes, beside)
        sequences.annotate(sequence, outcome.report, self._inputs.nodes)
        return sequence

    def _path(self, *names: str) -> str:
        return os.path.join(self._folder.name, *names)

    def _phasePath(self, n: int) -> str:
        return self._path("in", f"phase_{n:03d}.nrrd")


def _exhaust(steps: Iterator[None]) -> None:
    for _step in steps:
        pass
