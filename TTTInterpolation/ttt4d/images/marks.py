"""Header entries that tell acquired frames from synthetic ones, in files and in 3D Slicer's scene.

Standard library only, because Slicer imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Optional

if TYPE_CHECKING:
    from .sequence import FrameTimes

ACQUIRED, SYNTHETIC = "acquired", "synthetic"
FRAME = "ttt4d.frame"  # key of a frame's own mark
FRAMES = "ttt4d.frames"  # key of the marks of all frames, in order, for readers that discard per-frame entries
SLICES = "ttt4d.slices"  # key of the numbers of the acquired slices, where all others of a frame are synthetic


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


def slices(report: Mapping[str, Any]) -> Dict[str, str]:
    """Return the header entries of frames with computed slices.

    Parameters
    ----------
    report : dict
        The entry `slices` of a report: the numbers of the `acquired` slices, counted from 0 along an `axis` of the
        file, and of the `frames` that have them, where there are others.

    Examples
    --------
    >>> slices({"acquired": [0, 4, 8], "axis": "k"})
    {'ttt4d.slices': '0 4 8', 'ttt4d.slices.axis': 'k'}
    """
    found = {SLICES: _numbers(report["acquired"]), f"{SLICES}.axis": report["axis"]}
    return {**found, f"{SLICES}.frames": _numbers(report["frames"])} if "frames" in report else found


def _numbers(values: Iterable[int]) -> str:
    return " ".join(map(str, values)) or "none"
