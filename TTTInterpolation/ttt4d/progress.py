"""Progress is data: bars, JSON lines and Qt widgets are views of it."""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field
from typing import Callable, Dict, Optional, Tuple

from .errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """One moment of a run.

    stage: `reading`, `adaptation`, `interpolation` or `writing`.
    fraction: of the whole run, 0 to 1, never falling.
    message: one short line for a person, without any patient identifier.
    metrics: numbers of this moment, such as `{"iteration": 12, "loss": 0.031}`.
    """

    stage: str
    fraction: float
    message: str = ""
    metrics: Dict[str, float] = field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]


def ignore(progress: Progress) -> None:
    """The progress callback of those who do not ask for any."""


def never() -> bool:
    """The cancel check of those who never cancel."""
    return False


def stop_if(cancelled: CancelCheck) -> None:
    """Raise `Cancelled` if a cancel was asked for. Called at every iteration of every loop that takes time."""
    if cancelled():
        raise Cancelled("The run was cancelled; nothing was written.")


class Stopwatch:
    """Seconds since the start, and an estimate of those that remain, from the fraction done."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._moving: Optional[Tuple[float, float]] = None

    def __call__(self, fraction: float) -> Tuple[float, Optional[float]]:
        now = clock.monotonic()
        # Reading and loading say nothing about the pace of the work: it is timed from its own beginning.
        if self._moving is None and fraction >= 0.02:
            self._moving = now, fraction
        if self._moving is None or fraction - self._moving[1] < 0.01:
            return now - self._began, None
        return now - self._began, (now - self._moving[0]) / (fraction - self._moving[1]) * (1 - fraction)
