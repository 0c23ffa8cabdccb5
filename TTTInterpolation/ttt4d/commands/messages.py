"""The messages of the worker: one JSON object a line, with the type of the message. Standard library only.

The other program imports this file too. `Result`, `Error` or `Cancelled` is the last message of a worker.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Optional

# Kinds of an `Error`.
USER_ERROR, BUG = "user", "bug"


@dataclass(frozen=True)
class Message:
    """What all messages share."""

    type: ClassVar[str]

    def to_line(self) -> bytes:
        r"""Return the message as one line of JSON.

        Examples
        --------
        >>> Frame(1, 50.0, False, None).to_line()
        b'{"type": "frame", "number": 1, "index": 50.0, "acquired": false, "path": null}\n'
        """
        return (json.dumps({"type": self.type, **vars(self)}) + "\n").encode()


@dataclass(frozen=True)
class ProgressMessage(Message):
    """A `ttt4d.progress.Progress`.

    Parameters
    ----------
    stage, fraction, message, metrics
        As in `Progress`.
    elapsed : float
        Seconds since the worker began.
    remaining : float or None
        Estimated seconds that are left; None where it cannot be estimated yet.
    """

    type: ClassVar[str] = "progress"
    stage: str
    fraction: float
    message: str
    metrics: Dict[str, float]
    elapsed: float
    remaining: Optional[float]


@dataclass(frozen=True)
class Frame(Message):
    """A frame was written.

    Parameters
    ----------
    number : int
        Counted from 0.
    index : float
        Position in the whole sequence, in percent.
    acquired : bool
        Whether it is a given phase; otherwise it is synthetic.
    path : str or None
        Its file, complete, where each frame has its own.
    """

    type: ClassVar[str] = "frame"
    number: int
    index: float
    acquired: bool
    path: Optional[str]


@dataclass(frozen=True)
class Result(Message):
    """The job is done.

    Parameters
    ----------
    output : str
        Path of the result.
    report : JobReport
        What was done; see `ttt4d.report`.
    """

    type: ClassVar[str] = "result"
    output: str
    report: Any


@dataclass(frozen=True)
class Error(Message):
    """The job failed, and nothing was written.

    Parameters
    ----------
    kind : str
        `USER_ERROR`, which the user can fix, or `BUG`.
    message : str
        One sentence for the user.
    details : str or None
        The traceback of a bug.
    """

    type: ClassVar[str] = "error"
    kind: str
    message: str
    details: Optional[str]


@dataclass(frozen=True)
class Cancelled(Message):
    """The job was cancelled, and nothing was written."""

    type: ClassVar[str] = "cancelled"


LAST_TYPES = (Result.type, Error.type, Cancelled.type)
