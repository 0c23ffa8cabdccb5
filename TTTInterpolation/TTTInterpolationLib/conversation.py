"""What the engine's child process says, and how a job ended."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from dataclasses import dataclass
from typing import Callable, Optional

from slicer.i18n import tr as _

_LOG_LINES = 2000


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Parameters
    ----------
    kind : str
        `result`, `cancelled`, `user` (an error that the user can fix) or `bug`.
    message : str
        One sentence for the user; empty for a result.
    log : str
        The last lines that the child printed.
    report : dict, optional
        The engine's report of a result.
    """

    kind: str
    message: str = ""
    log: str = ""
    report: Optional[dict] = None


class JobError(Exception):
    """Raised for a job that failed. Its text is the outcome's message; `log` is what the child printed."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.log = outcome.log


class Conversation:
    """Turns the child's output into messages, a log and, at the end, an outcome.

    Lines of JSON on standard output are messages. All other lines, and all of standard error, go into the log.

    Parameters
    ----------
    onMessage : callable
        Called with each message (a dict) but the last.
    onLog : callable
        Called with each line of the log.
    """

    def __init__(self, onMessage: Callable[[dict], None], onLog: Callable[[str], None]) -> None:
        self._onMessage = onMessage
        self._onLog = onLog
        self._rest = b""
        self._started = False  # whether the child got as far as its first message
        self._last: Optional[dict] = None
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self.cancelAsked = False

    @property
    def ended(self) -> bool:
        """Whether the child has sent its last message."""
        return self._last is not None

    @property
    def succeeded(self) -> bool:
        """Whether the last message is a result, and nobody has cancelled."""
        return self.ended and self._last["type"] == "result" and not self.cancelAsked

    def hear(self, data: bytes) -> None:
        """Take bytes of standard output. They may end in the middle of a line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        with contextlib.ExitStack() as heard:  # every line is heard, even if the callback of another one raises
            for line in reversed(lines):
                heard.callback(self._hearLine, line.decode("utf-8", "replace").rstrip())

    def hearLog(self, data: bytes) -> None:
        """Take bytes of standard error."""
        for line in data.decode("utf-8", "replace").splitlines():
            self._keep(line)

    def outcome(self, exitStatus: Optional[int]) -> Outcome:
        """Return how the job ended.

        Parameters
        ----------
        exitStatus : int or None
            The child's exit status: negative if a signal or a crash ended it, None if it could not be started.
        """
        log = "\n".join(self._log)
        last = self._last or {}
        if self.succeeded:
            return Outcome("result", log=log, report=last.get("report") or {})
        if last.get("type") == "cancelled" or self.cancelAsked:
            return Outcome("cancelled", _("Cancelled."), log)
        if last.get("type") == "error":
            log = "\n".join(filter(None, [log, last.get("details")]))
            return Outcome(last.get("kind", "bug"), last.get("message", ""), log)
        return Outcome("bug", self._failure(exitStatus), log)

    def _failure(self, exitStatus: Optional[int]) -> str:
        """Return the sentence for a child that ended without a last message."""
        if exitStatus is None:
            return _("The computation could not be started: Slicer's Python was not found.")
        reason = self._log[-1].strip() if self._log else ""
        # A shell reports a signal as 128 and its number, and Slicer's launcher as 1 with a line of its own.
        killed = not 0 < exitStatus < 128 or "exit abnormally" in reason or reason.startswith("MemoryError")
        if reason and not killed and not self._started:
            return _("The computation could not be started: {reason}").format(reason=reason)
        return _("The computation was stopped from outside or ran out of memory (exit status {status}). The scene is "
                 "unchanged; try again, with a smaller working resolution under Advanced if it happens again.").format(
                     status=exitStatus)

    def _hearLine(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or "type" not in message:
            self._keep(line)
            return
        self._started = True
        if message["type"] in ("result", "error", "cancelled"):
            self._last = message
        else:
            self._onMessage(message)

    def _keep(self, line: str) -> None:
        if line:
            self._log.append(line)
            self._onLog(line)
