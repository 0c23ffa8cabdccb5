"""Where a weights file lies and which one it is. Standard library only: Slicer imports it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Tuple

from ..errors import WeightsError

FOLDER = Path(__file__).parent
# There is no 4D CT to train on yet: the lung takes the weights that know every contrast.
ALIASES = {"lung": "general"}


def names() -> Tuple[str, ...]:
    """The packaged weights, and the names that stand for them."""
    packaged = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
    return tuple(packaged + [alias for alias, name in ALIASES.items() if name in packaged])


def locate(weights: str) -> Path:
    """The file of a packaged name or of a path; `WeightsError` if there is none."""
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
