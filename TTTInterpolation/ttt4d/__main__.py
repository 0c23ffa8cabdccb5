"""`python -m ttt4d` and the command `ttt4d`."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import Any

from .commands.cli import run
from .commands.exit_status import TERMINATION_SIGNALS


def main() -> None:
    """Run the command line, and end the process with its exit status."""
    # Nothing half-written may stay behind where the system ends the program.
    for number in TERMINATION_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _interrupt)
    status = run()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
                stream.flush()
    # Everything is written: what libraries ask for at the end is done, but PyTorch is not taken apart, which would cost
    # half a second.
    atexit._run_exitfuncs()
    os._exit(status)


def _interrupt(number: int, frame: Any) -> None:
    for end in TERMINATION_SIGNALS:  # they come in pairs, and twice: the second must not stop the clearing up
        signal.signal(end, lambda *again: None)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
