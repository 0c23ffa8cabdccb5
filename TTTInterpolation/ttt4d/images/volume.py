"""A volume with its geometry.

Array axes are (k, j, i) = (slice, row, column) everywhere in the engine, and so are sizes, spacings and the columns of
a direction. Physical points are LPS millimetres (x to the patient's left, y to posterior, z to superior).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from ..errors import GeometryError

Triple = Tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a volume are.

    shape: voxels along (k, j, i).
    spacing: mm along (k, j, i), each above zero.
    origin: LPS mm of the centre of voxel (0, 0, 0).
    direction: 3 x 3, column a is the LPS unit vector of array axis a; any rotation, left-handed ones too.

    >>> g = Geometry((5, 4, 3), (10.0, 1.5, 1.5))
    >>> g.index_to_world((1, 0, 2)).tolist()
    [3.0, 0.0, 10.0]
    """

    shape: Tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: Tuple[Triple, Triple, Triple] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))

    def __post_init__(self) -> None:
        if any(not np.isfinite(s) or s <= 0 for s in self.spacing):
            raise GeometryError(
                f"The voxel spacing {tuple(self.spacing)} is not above zero: correct the image's header.")
        if abs(np.linalg.det(np.asarray(self.direction))) < 1e-6:
            raise GeometryError("The image's axis directions are not three independent vectors: correct the header.")

    @property
    def matrix(self) -> np.ndarray:
        """3 x 3, maps a step in voxels (k, j, i) to a step in LPS mm."""
        return np.asarray(self.direction, dtype=float) * np.asarray(self.spacing, dtype=float)

    def index_to_world(self, index) -> np.ndarray:
        """LPS mm of a voxel index (..., 3) in (k, j, i) order, fractions allowed."""
        return np.asarray(index, dtype=float) @ self.matrix.T + np.asarray(self.origin)

    def world_to_index(self, point) -> np.ndarray:
        """Voxel index (..., 3) in (k, j, i) order of LPS mm."""
        return (np.asarray(point, dtype=float) - np.asarray(self.origin)) @ np.linalg.inv(self.matrix).T

    def differences(self, other: "Geometry", tolerance: float = 1e-2) -> str:
        """What differs between two grids, in words; empty when they agree.

        tolerance: of every voxel's position, as a fraction of the smallest spacing.
        """
        words = []
        if tuple(self.shape) != tuple(other.shape):
            words.append(f"size {_text(self.shape)} and {_text(other.shape)}")
        else:
            # No voxel lies farther off than the farthest corner does.
            corners = np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(self.shape) - 1)
            apart = np.linalg.norm(self.index_to_world(corners) - other.index_to_world(corners), axis=1).max()
            if apart <= tolerance * min(self.spacing):
                return ""
        # What each may differ by before it moves the farthest voxel by a tenth of the tolerance.
        origin = 0.1 * tolerance * min(self.spacing)
        spacing = origin / max(self.shape)
        if not np.allclose(self.spacing, other.spacing, rtol=0, atol=spacing):
            words.append(f"spacing {_text(self.spacing)} and {_text(other.spacing)} mm")
        if not np.allclose(self.direction, other.direction, rtol=0, atol=spacing / max(self.spacing)):
            words.append("axis directions")
        if not np.allclose(self.origin, other.origin, rtol=0, atol=origin):
            words.append(f"origin {_text(self.origin)} and {_text(other.origin)} mm")
        return ", ".join(words)


@dataclass(frozen=True)
class Volume:
    """A three-dimensional image: an array (k, j, i) of any real scalar type, and its geometry.

    synthetic: whether its file says that it was computed, not measured.
    source: what its format needs to write a result beside it, such as the two orientations of a NIfTI file; None where
    there is nothing of the kind.
    """

    array: np.ndarray
    geometry: Geometry
    synthetic: bool = False
    source: Optional[object] = None

    def __post_init__(self) -> None:
        if self.array.shape != tuple(self.geometry.shape):
            raise GeometryError(f"An array of {self.array.shape} does not fit a grid of {tuple(self.geometry.shape)}.")


def _text(values) -> str:
    return " x ".join(f"{v:.9g}" for v in values)
