"""Progress as data: bars, JSON lines and Qt widgets show it."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field
from typing import Callable, Dict, Optional, Tuple

from .errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """The progress of a run at one time.

    Parameters
    ----------
    stage : str
        "reading", "adaptation", "interpolation" or "writing".
    fraction : float
        Part of the whole run that is done, from 0 to 1; it never decreases.
    message : str
        One short line for the user, without any patient identifier.
    metrics : dict of str to float
        Numbers, such as `{"iteration": 12, "loss": 0.031}`.
    """

    stage: str
    fraction: float
    message: str = ""
    metrics: Dict[str, float] = field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]


def ignore(progress: Progress) -> None:
    """Do nothing: the default progress callback."""


def never() -> bool:
    """Return False: the default cancel check."""
    return False


def stop_if(cancelled: CancelCheck) -> None:
    """Raise `Cancelled` if a cancel was asked for; called at every iteration of every loop that takes time."""
    if cancelled():
        raise Cancelled("The run was cancelled; nothing was written.")


class Stopwatch:
    """Called with the fraction done, returns the seconds since the start and an estimate of those that remain."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._moving: Optional[Tuple[float, float]] = None

    def __call__(self, fraction: float) -> Tuple[float, Optional[float]]:
        """Return the seconds since the start, and an estimate of those that remain; None before there is one."""
        now = clock.monotonic()
        # Reading and loading say nothing about the pace of the work: it is timed from its own beginning.
        if self._moving is None and fraction >= 0.02:
            self._moving = now, fraction
        if self._moving is None or fraction - self._moving[1] < 0.01:
            return now - self._began, None
        return now - self._began, (now - self._moving[0]) / (fraction - self._moving[1]) * (1 - fraction)
