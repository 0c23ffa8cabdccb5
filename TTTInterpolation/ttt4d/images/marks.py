"""Header entries that tell acquired frames from synthetic ones, in files and in 3D Slicer's scene.

Standard library only, because Slicer imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, Optional

if TYPE_CHECKING:
    from .sequence import FrameTimes

ACQUIRED, SYNTHETIC = "acquired", "synthetic"
FRAME = "ttt4d.frame"  # key of a frame's own mark
FRAMES = "ttt4d.frames"  # key of the marks of all frames, in order, for readers that discard per-frame entries


def mark(acquired: bool) -> str:
    """Return the mark of a frame."""
    return ACQUIRED if acquired else SYNTHETIC


def metadata(index: float, acquired: bool) -> Dict[str, str]:
    """Return the header entries of a file of one frame, at `index` percent of the sequence."""
    return {"ttt4d.index": f"{index:.10g}", FRAME: mark(acquired)}


def marks(acquired: Iterable[bool]) -> str:
    """Return the value of `FRAMES`."""
    return " ".join(map(mark, acquired))


def times(times: Optional[FrameTimes]) -> Dict[str, str]:
    """Return the header entries of the times of all frames, in the unit of the input; none where it has no unit."""
    if times is None:
        return {}
    return {"ttt4d.times": " ".join(f"{value:.10g}" for value in times.values), "ttt4d.times.name": times.name,
            "ttt4d.times.unit": times.unit}
