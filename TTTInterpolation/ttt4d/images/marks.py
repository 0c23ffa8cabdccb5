"""The words that tell measured frames from computed ones, in files and in 3D Slicer's scene."""

from __future__ import annotations

from typing import Dict, Iterable

ACQUIRED, SYNTHETIC = "acquired", "synthetic"
FRAME = "ttt4d.frame"  # the key of a frame's own mark
FRAMES = "ttt4d.frames"  # of the marks of a sequence, in order, for readers that keep no words of its items


def mark(acquired: bool) -> str:
    return ACQUIRED if acquired else SYNTHETIC


def words(index: float, acquired: bool) -> Dict[str, str]:
    """What the header of a file of one frame, at `index` percent, says of it."""
    return {"ttt4d.index": f"{index:.10g}", FRAME: mark(acquired)}


def marks(acquired: Iterable[bool]) -> str:
    """The value of `FRAMES`."""
    return " ".join(map(mark, acquired))
