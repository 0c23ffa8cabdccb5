"""One interpolation under way: waited for (`BlockingRun`), or beside the event loop (`EventLoopRun`)."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Callable, Iterator, Optional

from slicer.i18n import tr as _

from ttt4d.errors import UserError

from .conversation import JobError, Outcome
from .job import BlockingJob, EventLoopJob
from .transfer import Outputs, Transfer

_END = object()


@dataclass
class Callbacks:
    """What a run calls to report about itself.

    Parameters
    ----------
    progress : callable
        Called with each progress message of the engine, a dict.
    log : callable
        Called with each line that the engine prints.
    finished : callable
        Called with the `Outcome` and the `Outputs`; the second is None where there is no result.
    """

    progress: Callable[[dict], None] = field(default=lambda message: None)
    log: Callable[[str], None] = field(default=lambda line: None)
    finished: Callable[[Outcome, Optional[Outputs]], None] = field(default=lambda outcome, outputs: None)


class _Run:
    """What both kinds of run share: a transfer, and who is told about it."""

    def __init__(self, transfer: Transfer, callbacks: Optional[Callbacks] = None) -> None:
        self._transfer = transfer
        self._callbacks = callbacks or Callbacks()
        self._job = None
        self.folder = transfer.folder

    @property
    def pid(self) -> int:
        """Process number of the child; 0 when there is none."""
        return self._job.pid if self._job else 0

    def _hear(self, message: dict) -> None:
        if message["type"] == "progress":
            self._callbacks.progress(message)
        elif message["type"] == "frame":
            self._transfer.frameWritten(message)


class BlockingRun(_Run):
    """A run for scripts, tests and batch, where no event loop turns."""

    def wait(self) -> Optional[Outputs]:
        """Run to the end.

        Returns
        -------
        Outputs or None
            The result; None if the run was cancelled.

        Raises
        ------
        JobError
            If the run failed.
        """
        outputs = None
        try:
            with BlockingJob(self._hear, self._callbacks.log, self.folder) as self._job:
                _exhaust(self._transfer.writeInputs())
                outcome = self._job.run(self._transfer.request())
                if outcome.kind == "result":
                    _exhaust(self._transfer.readFrames())
                    outputs = self._transfer.place(outcome.report)
        finally:
            self._transfer.removeFolder()
        self._callbacks.finished(outcome, outputs)
        if outcome.kind in ("user", "bug"):
            raise JobError(outcome)
        return outputs

    def cancel(self) -> None:
        """Ask the child to stop. `wait` then returns None; a callback may call this."""
        self._job.cancel()


class EventLoopRun(_Run):
    """A run beside Qt's event loop. `Callbacks.finished` is called exactly once, however it ends."""

    def start(self) -> None:
        """Start the run and return at once."""
        self._ended = False
        self._stopped: Optional[Outcome] = None
        self._scene = self._transfer.scene
        self._turns = Turns(self._onStepFailed)
        self._job = EventLoopJob(self._hear, self._callbacks.log, self._onJobFinished, self.folder)
        self._closing = self._scene.AddObserver(self._scene.StartCloseEvent, lambda caller, event: self.cancel())
        self._job.start()
        # The child needs seconds to start. Meanwhile the phases are written.
        self._turns.take(self._transfer.writeInputs(), lambda: self._job.send(self._transfer.request()))

    def cancel(self) -> None:
        """Ask the child to stop. Nothing is put into the scene, and `Callbacks.finished` gets the outcome."""
        self._stop(Outcome("cancelled", _("Cancelled.")))

    def stopNow(self) -> None:
        """Cancel, and return when the child has ended and the folder is removed."""
        self.cancel()
        self._job.stopNow()

    def _onStepFailed(self, error: Exception) -> None:
        if self._ended:
            raise error
        kind = "user" if isinstance(error, UserError) else "bug"
        details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self._stop(Outcome(kind, str(error), details))

    def _stop(self, outcome: Outcome) -> None:
        self._turns.stop()
        if self._job.ended:
            self._end(outcome)
        else:
            self._stopped = outcome
            self._job.cancel()

    def _onJobFinished(self, outcome: Outcome) -> None:
        if outcome.kind != "result":
            self._end(self._stopped or outcome)
        else:
            self._turns.take(self._transfer.readFrames(),
                             lambda: self._end(outcome, self._transfer.place(outcome.report)))

    def _end(self, outcome: Outcome, outputs: Optional[Outputs] = None) -> None:
        if self._ended:
            return
        self._ended = True
        self._turns.stop()
        self._scene.RemoveObserver(self._closing)
        self._transfer.removeFolder()
        self._job.letGo()
        self._transfer = None  # PythonQt keeps the receivers of signals for ever: the volumes must not stay with them
        self._callbacks.finished(outcome, outputs)


class Turns:
    """Long work in short steps, one in each turn of the event loop, so that the application stays responsive.

    Parameters
    ----------
    onError : callable
        Called with an exception that a step raised; no further step is taken.
    """

    def __init__(self, onError: Callable[[Exception], None]) -> None:
        import qt

        self._onError = onError
        self._steps: Iterator[None] = iter(())
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._takeTurn)

    def take(self, steps: Iterator[None], then: Callable[[], None]) -> None:
        """Take the steps one by one, and call `then` after the last."""
        self._steps, self._then = steps, then
        self._timer.start()

    def stop(self) -> None:
        """Take no further step."""
        self._timer.stop()
        self._steps, self._then = iter(()), None

    def _takeTurn(self) -> None:
        try:
            if next(self._steps, _END) is _END:
                then = self._then
                self.stop()
                then()
        except Exception as error:  # Qt would swallow it
            self._onError(error)


def _exhaust(steps: Iterator[None]) -> None:
    for _step in steps:
        pass
