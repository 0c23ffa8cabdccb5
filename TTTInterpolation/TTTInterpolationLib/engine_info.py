"""What the engine knows about this computer: asked in a child process, so that Slicer never imports torch."""

from __future__ import annotations

import json
from typing import Callable

from .engine_process import engineCommand, killTree, startProcess


class EngineInfo:
    """Asks `ttt4d info --json` beside the event loop, until there is an answer.

    Before torch is installed there is no answer, and the panel works without one.

    Parameters
    ----------
    onAnswer : callable
        Called with the answer, a dict with the lists `devices` and `weights`.
    """

    def __init__(self, onAnswer: Callable[[dict], None]) -> None:
        import qt

        self._onAnswer = onAnswer
        self._asked = False
        self._process = qt.QProcess()
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)

    def ask(self) -> None:
        """Ask, unless there was an answer or one is being waited for."""
        if not self._asked:
            self._asked = True
            startProcess(self._process, engineCommand("info", "--json"))

    def stop(self) -> None:
        """End the child: its answer is no longer wanted."""
        self._onAnswer = None
        killTree(int(self._process.processId()))
        self._process.waitForFinished(1000)

    def _onFinished(self, exitCode, exitStatus) -> None:
        if self._onAnswer is None:
            return
        try:
            info = json.loads(bytes(self._process.readAllStandardOutput().data()).decode("utf-8"))
        except ValueError:
            self._asked = False
            return
        self._onAnswer(info)
