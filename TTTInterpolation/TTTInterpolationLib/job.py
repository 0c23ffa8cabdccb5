"""The corridor to the engine: a child process that gets one JSON request and answers in JSON lines.

The same `Conversation` listens whether Qt's event loop runs (`EventLoopJob`) or not (`BlockingJob`). Cancelling is
asked for by closing the child's standard input; only a child that does not react in time is killed, with its whole
tree, because PythonSlicer is a launcher and killing it alone leaves the real Python running.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, List, Optional

from slicer.i18n import tr as _

GRACE_SECONDS = 10.0
_LOG_LINES = 2000
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, no console window pops up


@dataclass(frozen=True)
class Outcome:
    """How a job ended. kind: `result`, `user` (the user can mend it), `bug` or `cancelled`."""

    kind: str
    message: str = ""
    log: str = ""
    report: Optional[dict] = None


class JobError(Exception):
    """A job that ended without a result and without being cancelled; `log` is what the child printed."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.log = outcome.log


def engineCommand(*arguments: str) -> List[str]:
    """The command line of `python -m ttt4d`, on Slicer's own Python where there is one."""
    return [shutil.which("PythonSlicer") or sys.executable, "-u", "-m", "ttt4d", *arguments]


def _workerCommand(scratch: str) -> List[str]:
    """Of a worker that removes a folder of images once its standard input ends; '' where there is none."""
    return engineCommand("worker", *(["--scratch", scratch] if scratch else []))


def engineEnvironment() -> Dict[str, str]:
    """What the child's environment has beside ours: the folder of the engine on its path, and UTF-8 in its pipes."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"}


class Conversation:
    """What the child says: JSON lines become messages, all else becomes the log; at the end, an outcome."""

    def __init__(self, onMessage: Callable[[dict], None], onLog: Callable[[str], None]) -> None:
        self._onMessage = onMessage
        self._onLog = onLog
        self._rest = b""
        self._last: Optional[dict] = None
        self._log: Deque[str] = deque(maxlen=_LOG_LINES)
        self.cancelAsked = False

    @property
    def ended(self) -> bool:
        """Whether the child has said its last word."""
        return self._last is not None

    @property
    def succeeded(self) -> bool:
        return self.ended and self._last["type"] == "result" and not self.cancelAsked

    def hear(self, data: bytes) -> None:
        """Some bytes of standard output, cut anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        with contextlib.ExitStack() as heard:  # every line, whatever goes wrong with what another one calls
            for line in reversed(lines):
                heard.callback(self._hearLine, line.decode("utf-8", "replace").rstrip())

    def hearLog(self, data: bytes) -> None:
        """Some bytes of standard error."""
        for line in data.decode("utf-8", "replace").splitlines():
            self._keep(line)

    def outcome(self, exitStatus: Optional[int]) -> Outcome:
        """How it ended; exitStatus is None where the child could not be started."""
        log = "\n".join(self._log)
        last = self._last or {}
        if self.succeeded:
            return Outcome("result", log=log, report=last.get("report") or {})
        if last.get("type") == "cancelled" or self.cancelAsked:
            return Outcome("cancelled", _("Cancelled."), log)
        if last.get("type") == "error":
            if last.get("details"):
                log = "\n".join(filter(None, [log, last["details"]]))
            return Outcome(last.get("kind", "bug"), last.get("message", ""), log)
        if exitStatus is None:
            return Outcome("bug", _("The computation could not be started: Slicer's Python was not found."), log)
        return Outcome("bug", _(
            "The computation was stopped from outside or ran out of memory (exit status {status}). The scene is "
            "unchanged; try again, with a smaller canvas under Advanced if it happens again.").format(
                status=exitStatus), log)

    def _hearLine(self, line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or "type" not in message:
            self._keep(line)
            return
        if message["type"] in ("result", "error", "cancelled"):
            self._last = message
        else:
            self._onMessage(message)

    def _keep(self, line: str) -> None:
        if line:
            self._log.append(line)
            self._onLog(line)


class BlockingJob:
    """A job that is waited for, where no event loop runs: scripts, tests and batch.

    As long as it is open, its child guards the scratch folder:

        with BlockingJob(hear, log, folder) as job:
            outcome = job.run(request)
            ...  # read what it wrote
    """

    def __init__(self, onMessage: Callable[[dict], None], onLog: Callable[[str], None] = lambda line: None,
                 scratch: str = "") -> None:
        self._conversation = Conversation(onMessage, onLog)
        self._command = _workerCommand(scratch)
        self._process: Optional[subprocess.Popen] = None

    @property
    def pid(self) -> int:
        """Of the child; 0 when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def __enter__(self) -> "BlockingJob":
        """Start the child. It waits for its request."""
        with contextlib.suppress(OSError):  # `run` says that there is none
            self._process = subprocess.Popen(
                self._command, env={**os.environ, **engineEnvironment()},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, creationflags=_NO_WINDOW)
            # Standard error has its own reader, or a child that prints much would block on a full pipe.
            self._errors: List[bytes] = []
            self._reader = threading.Thread(target=lambda: self._errors.extend(self._process.stderr), daemon=True)
            self._reader.start()
        return self

    def run(self, request: dict) -> Outcome:
        """Listen until the child has said its last word. `cancel` may be called from the callbacks."""
        if self._process is None:
            return self._conversation.outcome(None)
        with contextlib.suppress(OSError):  # where the child ended already, its last words say why
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
        """Ask the child to stop; kill it if it does not."""
        self._conversation.cancelAsked = True
        self._letGo()

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        """Let the child end, and return when it is gone."""
        if self._process is None or self._process.stdout.closed:
            return
        self._letGo()
        self._process.stdout.close()  # a child that goes on talking to nobody would block on the full pipe
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
    """A job beside a running Qt event loop. onFinished(outcome) comes last, once, in every case.

    With a result, the child is still there and guards the scratch folder until `letGo`.
    """

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
        """Of the child; 0 when there is none."""
        return int(self._process.processId())

    def start(self) -> None:
        """Start the child. It waits for its request."""
        startProcess(self._process, self._command)

    def send(self, request: dict) -> None:
        """Give the child its request. Its standard input stays open: closing it means cancel."""
        self._process.write(json.dumps(request).encode("utf-8") + b"\n")

    def cancel(self) -> None:
        """Ask the child to stop; kill it if it does not. The outcome comes to onFinished."""
        if not self.ended:
            self._conversation.cancelAsked = True
            self.letGo()

    def letGo(self) -> None:
        """The child, which has nothing more to do for us, ends; it is killed if it does not."""
        if self.pid:
            self._process.closeWriteChannel()
            self._grace.start()

    def stopNow(self) -> None:
        """Cancel, and return when the child is gone and onFinished was called: for the end of the application."""
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
        self._grace.stop()
        self._readOutput()
        self._readLog()
        self._end(exitCode)

    def _onProcessError(self, error) -> None:
        import qt

        if error == qt.QProcess.FailedToStart:  # every other error is followed by `finished`
            qt.QTimer.singleShot(0, lambda: self._end(None))  # after `start` has returned

    def _end(self, exitStatus: Optional[int]) -> None:
        if not self.ended:
            self.ended = True
            self._onFinished(self._conversation.outcome(exitStatus))

    def _kill(self) -> None:
        killTree(self.pid)


def startProcess(process, command: List[str]) -> None:
    """Start a QProcess with the engine's environment."""
    import qt

    environment = qt.QProcessEnvironment.systemEnvironment()
    for name, value in engineEnvironment().items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    process.start(command[0], command[1:])


def killTree(pid: int) -> None:
    """Kill a process and all its descendants, at once and without waiting."""
    if pid <= 0:
        return
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       creationflags=_NO_WINDOW)
        return
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE).stdout.decode()
    children: Dict[int, List[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    doomed = [pid]
    for parent in doomed:
        doomed.extend(children.get(parent, []))
    for each in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
