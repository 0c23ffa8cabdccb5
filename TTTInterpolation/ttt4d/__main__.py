"""`python -m ttt4d` and the command `ttt4d`."""

from __future__ import annotations

import signal
import sys

from .cli import run


def main() -> None:
    # A batch system ends a job with SIGTERM: nothing half-written may stay behind then either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())


if __name__ == "__main__":
    main()
