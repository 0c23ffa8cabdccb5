"""`python -m ttt4d` and the command `ttt4d`."""

from __future__ import annotations

import signal
import sys
from typing import Any

from .cli import run

ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main() -> None:
    # A batch system ends a job with SIGTERM, a terminal that is closed with SIGHUP, which Windows has not and `nohup`
    # ignores: nothing half-written may stay behind then either.
    for number in ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.exit(run())


def _interrupt(number: int, frame: Any) -> None:
    for end in ENDS:  # they come in pairs, and twice: the second must not stop the clearing up
        signal.signal(end, lambda *again: None)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
