"""The corridor to the engine: a child process that gets one JSON request and answers in JSON lines.

The same `Conversation` listens whether Qt's event loop runs (`EventLoopJob`) or not (`BlockingJob`). To cancel, the
child's standard input is closed. Only a child that does not end in time is killed, with all its descendants.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from typing import Callable, Optional

from .conversation import Conversation, Outcome
from .engine_process import NO_WINDOW, engineCommand, engineEnvironment, killTree, startProcess

GRACE_SECONDS = 10.0


def _workerCommand(scratch: str) -> list[str]:
    """Return the command line of a worker.

    The worker removes the folder `scratch` once its standard input ends; an empty text stands for no folder.
    """
    return engineCommand("worker", *(["--scratch", scratch] if scratch else []))


class BlockingJob:
    """A job that is waited for, where no event loop runs: scripts, tests and batch.

    Parameters
    ----------
    onMessage, onLog : callable
        Called with each message (a dict) of the child, and with each line of its log.
    scratch : str
        A folder that the child removes when the job is closed, or when this process is gone.

    Examples
    --------
    >>> with BlockingJob(print, print, "folder") as job:  # doctest: +SKIP
    ...     outcome = job.run(request)
    ...     # Read the files of the folder here: they are removed at the end of the block.
    """

    def __init__(self, onMessage: Callable[[dict], None], onLog: Callable[[str], None] = lambda line: None,
                 scratch: str = "") -> None:
        self._conversation = Conversation(onMessage, onLog)
        self._command = _workerCommand(scratch)
        self._process: Optional[subprocess.Popen] = None

    @property
    def pid(self) -> int:
        """Process number of the child; 0 when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def __enter__(self) -> "BlockingJob":
        """Start the child, which waits for its request."""
        with contextlib.suppress(OSError):  # `run` reports that the child could not be started
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **engineEnvironment()},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, creationflags=NO_WINDOW)
            # Standard error has its own reader, or a child that prints much would block on a full pipe.
            self._errors: list[bytes] = []
            self._reader = threading.Thread(target=lambda: self._errors.extend(self._process.stderr), daemon=True)
            self._reader.start()
        return self

    def run(self, request: dict) -> Outcome:
        """Send the request and listen until the child has sent its last message.

        The callbacks may call `cancel`.
        """
        if self._process is None:
            return self._conversation.outcome(None)
        with contextlib.suppress(OSError):  # the child has ended already: its log says why
            self._process.stdin.write(json.dumps(request).encode("utf-8") + b"\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            self._conversation.hear(line)
            if self._conversation.ended:
                break
        if not self._conversation.succeeded:
            self.close()
        return self._conversation.outcome(self._process.returncode)

    def cancel(self) -> None:
        """Ask the child to stop, and kill it if it does not."""
        self._conversation.cancelAsked = True
        self._letGo()

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        """Let the child end, and return when it has ended."""
        if self._process is None or self._process.stdout.closed:
            return
        self._letGo()
        self._process.stdout.close()  # a child that still writes would block on the full pipe
        self._process.wait()
        self._reader.join(GRACE_SECONDS)
        self._conversation.hearLog(b"".join(self._errors))
        self._process.stderr.close()

    def _letGo(self) -> None:
        if self._process is None or self._process.stdin.closed:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        timer = threading.Timer(GRACE_SECONDS, killTree, [self._process.pid])
        timer.daemon = True
        timer.start()
        # The timer is for a child that hangs: it must not fire at another process that got the same number later.
        threading.Thread(target=lambda: (self._process.wait(), timer.cancel()), daemon=True).start()


class EventLoopJob:
    """A job beside a running Qt event loop.

    After a result the child still runs, and the scratch folder stays, until `letGo` is called. A job lives until its
    child has ended, even if nobody else keeps it: Qt kills the child of a process object that is destroyed.

    Parameters
    ----------
    onMessage, onLog : callable
        Called with each message (a dict) of the child, and with each line of its log.
    onFinished : callable
        Called with the outcome, last and exactly once, however the job ends.
    scratch : str
        A folder that the child removes when it ends.
    """

    # All jobs whose child has been started and has not ended yet: this is what keeps them.
    withChild: set["EventLoopJob"] = set()

    def __init__(self, onMessage: Callable[[dict], None], onLog: Callable[[str], None],
                 onFinished: Callable[[Outcome], None], scratch: str = "") -> None:
        import qt

        self._conversation = Conversation(onMessage, onLog)
        self._command = _workerCommand(scratch)
        self._onFinished = onFinished
        self.ended = False
        self._grace = qt.QTimer()
        self._grace.setSingleShot(True)
        self._grace.setInterval(int(1000 * GRACE_SECONDS))
        self._grace.connect("timeout()", self._kill)
        self._process = qt.QProcess()
        self._process.connect("readyReadStandardOutput()", self._readOutput)
        self._process.connect("readyReadStandardError()", self._readLog)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onProcessFinished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onProcessError)

    @property
    def pid(self) -> int:
        """Process number of the child; 0 when there is none."""
        return int(self._process.processId())

    def start(self) -> None:
        """Start the child, which waits for its request."""
        self.withChild.add(self)
        startProcess(self._process, self._command)

    def send(self, request: dict) -> None:
        """Send the child its request. Its standard input stays open, because closing it means cancel."""
        self._process.write(json.dumps(request).encode("utf-8") + b"\n")

    def cancel(self) -> None:
        """Ask the child to stop, and kill it if it does not. `onFinished` gets the outcome."""
        if not self.ended:
            self._conversation.cancelAsked = True
            self.letGo()

    def letGo(self) -> None:
        """Let the child end, and kill it if it does not."""
        if self.pid:
            self._process.closeWriteChannel()
            self._grace.start()

    def stopNow(self) -> None:
        """Cancel, and return when the child has ended and `onFinished` was called."""
        self.cancel()
        if self.pid and not self._process.waitForFinished(3000):
            self._kill()
            self._process.waitForFinished(3000)

    def _readOutput(self) -> None:
        try:
            self._conversation.hear(bytes(self._process.readAllStandardOutput().data()))
        finally:
            if self._conversation.succeeded:
                self._readLog()
                self._end(0)
            elif self._conversation.ended:
                self.letGo()

    def _readLog(self) -> None:
        self._conversation.hearLog(bytes(self._process.readAllStandardError().data()))

    def _onProcessFinished(self, exitCode, exitStatus) -> None:
        import qt

        self._grace.stop()
        self.withChild.discard(self)
        self._readOutput()
        self._readLog()
        self._end(-abs(exitCode) if exitStatus == qt.QProcess.CrashExit else exitCode)

    def _onProcessError(self, error) -> None:
        import qt

        if error == qt.QProcess.FailedToStart:  # every other error is followed by `finished`
            self.withChild.discard(self)
            qt.QTimer.singleShot(0, lambda: self._end(None))  # after `start` has returned

    def _end(self, exitStatus: Optional[int]) -> None:
        if not self.ended:
            self.ended = True
            self._onFinished(self._conversation.outcome(exitStatus))

    def _kill(self) -> None:
        killTree(self.pid)
