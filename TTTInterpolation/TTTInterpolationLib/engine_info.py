"""What the engine knows about this computer: asked in a child process, so that Slicer never imports torch."""

from __future__ import annotations

import json
from typing import Callable

from .job import engineCommand, killTree, startProcess


class EngineInfo:
    """Asks `ttt4d info --json` beside the event loop, until there is an answer; onAnswer(info) is called with it.

    No answer is no trouble: before torch is installed there is none, and the panel works without.
    """

    def __init__(self, onAnswer: Callable[[dict], None]) -> None:
        import qt

        self._onAnswer = onAnswer
        self._asked = False
        self._process = qt.QProcess()
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)

    def ask(self) -> None:
        """Ask, unless there was an answer or one is awaited."""
        if not self._asked:
            self._asked = True
            startProcess(self._process, engineCommand("info", "--json"))

    def stop(self) -> None:
        """Forget the question: the panel is going away."""
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
