"""Exit statuses of the command line and of the worker, and the signals that end a program."""

from __future__ import annotations

import signal
from typing import Tuple

from ..errors import Cancelled, UserError

EXIT_OK, EXIT_CASES_FAILED, EXIT_USER_ERROR, EXIT_INTERNAL_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

# The signals by which a system ends a program: SIGTERM by a batch system or a shutdown, SIGHUP by a closed terminal.
# Windows has no SIGHUP.
TERMINATION_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def failure(error: BaseException) -> Tuple[int, str]:
    """Return the exit status and one sentence for the error that stopped a command."""
    if isinstance(error, UserError):
        return EXIT_USER_ERROR, str(error)
    if isinstance(error, (KeyboardInterrupt, Cancelled)):
        return EXIT_INTERRUPTED, "Interrupted: nothing was written."
    if isinstance(error, ImportError):
        return EXIT_USER_ERROR, f"A Python package cannot be imported ({error}): install it, or install it again."
    return EXIT_INTERNAL_ERROR, f"This is a bug in ttt4d ({type(error).__name__}): please report it with the traceback."
