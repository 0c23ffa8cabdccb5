"""Where a weights file lies and which one it is. Standard library only: Slicer imports it."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Dict, Optional, Tuple

from ..errors import WeightsError

FOLDER = Path(__file__).parent
# The axes; files that name none are for the first.
TEMPORAL, THROUGH_PLANE = "temporal", "through_plane"
# There is no 4D CT to train on yet: the lung takes the weights that know every contrast.
ALIASES = {"lung": "general"}


def names(axis: Optional[str] = None) -> Tuple[str, ...]:
    """Return the names of the packaged weights, and the other names that stand for them.

    Parameters
    ----------
    axis : str, optional
        Only the weights for this axis, such as "temporal".
    """
    packaged = sorted(path.stem for path in FOLDER.glob("*.safetensors")
                      if axis is None or axis == axis_of(path))
    return tuple(packaged + [alias for alias, name in ALIASES.items() if name in packaged])


def axis_of(path: Path) -> str:
    """Return the axis that weights are for, as the header of their file says."""
    return _metadata(path).get("axis", TEMPORAL)


def description(name: str) -> str:
    """Return one line that describes packaged weights."""
    return json.loads(_metadata(locate(name)).get("card", "{}")).get("description", "")


def licence(name: str) -> str:
    """Return the licence note of packaged weights; an empty text for a user's own file or an unknown name.

    Examples
    --------
    >>> licence("general")
    'no acquired image was used'
    """
    if name not in names():
        return ""
    return json.loads(_metadata(locate(name)).get("card", "{}")).get("licence", "")


def _metadata(path: Path) -> Dict[str, str]:
    return _read_metadata(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read_metadata(path: Path, modified: int) -> Dict[str, str]:
    """Return the metadata of a file; `modified` makes a file that was written anew another one to the cache."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return header.get("__metadata__", {})


def locate(weights: str) -> Path:
    """Return the file of a packaged name or of a path; `WeightsError` if there is none."""
    path = FOLDER / f"{ALIASES.get(weights, weights)}.safetensors"
    if weights in names():
        return path
    if Path(weights).is_file():
        return Path(weights)
    raise WeightsError(f"There are no weights '{Path(weights).name}': "
                       f"choose one of {', '.join(names())}, or give the path of a weights file.")


def checksum(path: Path) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
