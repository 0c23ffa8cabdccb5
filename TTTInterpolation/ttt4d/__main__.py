"""`python -m ttt4d` and the command `ttt4d`."""

from __future__ import annotations

import signal
import sys
from typing import Any

from .cli import run


def main() -> None:
    # A batch system ends a job with SIGTERM, a terminal that is closed with SIGHUP, which Windows has not and `nohup`
    # ignores: nothing half-written may stay behind then either.
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.exit(run())


def _interrupt(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # a terminal says it twice: the second time must not stop the clearing up
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
