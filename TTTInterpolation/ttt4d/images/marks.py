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
SLICES = "ttt4d.slices"  # key of the numbers of the acquired slices, where all others of each frame are synthetic


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


def slices(acquired: Iterable[int], axis: str) -> Dict[str, str]:
    """Return the header entries of frames with computed slices.

    Parameters
    ----------
    acquired : iterable of int
        Numbers of the slices that are acquired, bit for bit; counted from 0.
    axis : {"i", "j", "k"}
        The axis of the file that counts the slices.

    Examples
    --------
    >>> slices([0, 4, 8], "k")
    {'ttt4d.slices': '0 4 8', 'ttt4d.slices.axis': 'k'}
    """
    return {SLICES: " ".join(map(str, acquired)) or "none", f"{SLICES}.axis": axis}
