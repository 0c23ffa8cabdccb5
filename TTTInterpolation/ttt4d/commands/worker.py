"""A job for another program, such as 3D Slicer: one request in, messages out.

One line on standard input is the request, and the end of standard input cancels it, within a second:
  {"phases": [path, path] or "sequence": path, "phase_times": [number, ...], "output": path, "settings": {...},
   "displacements": folder or null, "report": path or null, "preview": path or null, "labels": path or null,
   "carried": path or null, "volumes": path or null, "maps": folder or null,
   "slices": {"factor": number or "spacing": mm, ...} or null for slices between those of every frame too}
For slices between the slices of a volume it is
  {"axis": "slices", "volume": path, "output": path, "settings": {"factor": number or "spacing": mm, ...},
   "labels": path or null, "labels_output": path or null, "report": path or null, "preview": path or null}
Each line on standard output is a message; the last is of one of the last three types:
  {"type": "progress", "stage", "fraction", "message", "metrics", "elapsed", "remaining"}
  {"type": "frame", "number", "index", "acquired", "path"}
  {"type": "result", "output", "report"}
  {"type": "error", "kind": "user" or "bug", "message", "details"}
  {"type": "cancelled"}
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from typing import NoReturn, Optional

from ..errors import Cancelled, SettingsError
from ..progress import Progress, Stopwatch
from . import messages
from .exit_status import EXIT_INTERNAL_ERROR, EXIT_INTERRUPTED, EXIT_OK, TERMINATION_SIGNALS, failure
from .job import BaseJob, Job
from .request import Request
from .slices_job import SlicesJob
from .slices_request import SlicesRequest

# A cancel is answered within a second: this long a computation may go on before the process is ended around it.
PATIENCE = 0.4
# What a request may be about: frames between phases, or slices between slices.
TIME, SLICES = "time", "slices"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the one argument; everything else is in the request."""
    parser.add_argument("--scratch", metavar="FOLDER",
                        help="holds the images that are passed on: once the last line is said and standard input has "
                             "ended, because the caller has read them or is gone (killed, crashed), it is removed")


def run(arguments: argparse.Namespace) -> NoReturn:
    """Serve the one request on standard input, and end the process with its exit status."""
    # Requests and messages have descriptors of their own. What a library prints goes to standard error. And no library
    # finds a pipe on standard input that is being read: on Windows, looking at such a pipe blocks until the read ends.
    requests, lines = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    status = Worker(requests, lines, arguments.scratch).run()
    sys.stderr.flush()
    os._exit(status)  # at once: all is said and written, and taking torch down in good order takes its time


class Worker:
    """Serves one request over two file descriptors.

    Parameters
    ----------
    requests, lines : int
        File descriptors of the request and of the messages.
    scratch : str, optional
        A folder that is removed when the caller has read the last message, or is gone.
    """

    def __init__(self, requests: int, lines: int, scratch: Optional[str] = None) -> None:
        self._requests, self._lines, self._scratch = requests, lines, scratch
        self._sending = threading.Lock()
        self._cancelled = threading.Event()
        self._end_of_file = threading.Event()
        self._last_word = threading.Lock()  # taken once, by who ends the process
        self._stopwatch = Stopwatch()
        self._job: Optional[BaseJob] = None

    def run(self) -> int:
        """Do what the one request asks for, and send its messages; returns the exit status."""
        try:
            try:
                line = self._receive()
            finally:
                threading.Thread(target=self._watch, daemon=True).start()
            self._job = _job(line)
            report = self._job.run(self._progress, self._frame, self._cancelled.is_set)
        except BaseException as error:  # an interrupt from the keyboard too: whatever it is, the other side is told
            self._take_last_word()
            return self._failed(error)
        self._take_last_word()
        self._end(messages.Result(self._job.request.output, report))
        return EXIT_OK

    def _take_last_word(self) -> None:
        for number in (signal.SIGINT, *TERMINATION_SIGNALS):  # there is nothing left to stop, but images to be removed
            signal.signal(number, signal.SIG_IGN)
        self._last_word.acquire()

    def _receive(self) -> bytes:
        """Return everything up to the first line end."""
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._requests, 1)
            if not byte:
                break
            line += byte
        return line

    def _watch(self) -> None:
        """Wait for end-of-file, then for the run to stop; if it is in the middle of something long, end it."""
        while os.read(self._requests, 4096):
            pass
        self._end_of_file.set()
        self._cancelled.set()
        time.sleep(PATIENCE)
        self._last_word.acquire()
        if self._job is not None:
            self._job.abandon()
        self._end(messages.Cancelled())
        os._exit(EXIT_INTERRUPTED)

    def _progress(self, progress: Progress) -> None:
        elapsed, remaining = self._stopwatch(progress.fraction)
        self._send(messages.ProgressMessage(progress.stage, progress.fraction, progress.message, progress.metrics,
                                            elapsed, remaining))

    def _frame(self, number: int, index: float, acquired: bool, path: Optional[str]) -> None:
        self._send(messages.Frame(number, index, acquired, path))

    def _failed(self, error: BaseException) -> int:
        status, sentence = failure(error)
        if status == EXIT_INTERRUPTED:
            self._end(messages.Cancelled())
        elif status == EXIT_INTERNAL_ERROR:
            self._end(messages.Error(messages.BUG, sentence, "".join(
                traceback.format_exception(type(error), error, error.__traceback__))))
        else:
            self._end(messages.Error(messages.USER_ERROR, sentence, None))
        return status

    def _end(self, message: messages.Message) -> None:
        """Send the last message. The images of a patient stay no longer than the caller, however that ends."""
        self._send(message)
        if self._scratch is not None:
            self._end_of_file.wait()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _send(self, message: messages.Message) -> None:
        line = message.to_line()
        with self._sending:
            try:
                while line:
                    line = line[os.write(self._lines, line):]
            except OSError:  # nobody listens any more: as good as a cancel
                self._cancelled.set()


def _job(line: bytes) -> BaseJob:
    if not line:
        raise Cancelled()
    try:
        values = json.loads(line)
    except ValueError as error:
        raise SettingsError("The request is not one line of JSON: see `ttt4d worker --help`.") from error
    axis = values.pop("axis", TIME) if isinstance(values, dict) else TIME
    if axis not in (TIME, SLICES):
        raise SettingsError(f"Unknown axis {axis!r} in the request: choose {TIME} or {SLICES}.")
    return SlicesJob(SlicesRequest.from_json(values)) if axis == SLICES else Job(Request.from_json(values))
