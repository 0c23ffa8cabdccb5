"""What tests of the command line and of the worker share: a small grid, and what lies in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import List

from ttt4d.images.volume import Geometry

SMALL = Geometry((5, 24, 24), (8.0, 5.0, 5.0), (-60.0, -60.0, -16.0))


def files_in(folder) -> List[str]:
    """Every file and folder under a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
