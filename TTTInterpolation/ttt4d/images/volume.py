"""A volume with its geometry.

Array axes are (k, j, i) = (slice, row, column) everywhere in the engine, and so are sizes, spacings and the columns of
a direction. Physical points are LPS millimetres (x to the patient's left, y to posterior, z to superior).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Optional, Sequence, Tuple

import numpy as np

from ..errors import GeometryError

Triple = Tuple[float, float, float]

# Axes up to this far from a right angle count as rounded, not as sheared, in degrees. Directions written with three
# decimals stay below it.
RIGHT_ANGLE_TOLERANCE = 0.1
_PERPENDICULAR = 1e-5  # the cosine of two axes up to which they count as perpendicular: single precision leaves 1e-7


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
        """Return what differs between two grids, in words; empty when they agree.

        Parameters
        ----------
        other : Geometry
        tolerance : float
            How far any voxel's position may be off, as a fraction of the smallest spacing.
        """
        words = []
        if tuple(self.shape) != tuple(other.shape):
            words.append(f"size {_text(self.shape)} and {_text(other.shape)}")
        else:
            corners = _corners(self.shape)
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
    name: of the file that it was read from, for messages.
    slice_thickness: mm along k, which may be less or more than the spacing, where the file tells it.
    slice_positions: mm along k from the first slice, where they are not even; the spacing is then their mean distance.
    """

    array: np.ndarray
    geometry: Geometry
    synthetic: bool = False
    source: Optional[object] = None
    name: str = ""
    slice_thickness: Optional[float] = None
    slice_positions: Optional[Tuple[float, ...]] = None

    def __post_init__(self) -> None:
        if self.array.shape != tuple(self.geometry.shape):
            raise GeometryError(f"An array of {self.array.shape} does not fit a grid of {tuple(self.geometry.shape)}.")


def check_spacing(name: str, spacing: Iterable[float]) -> None:
    """Raise `GeometryError` for a voxel spacing that is zero, negative or not a number.

    Parameters
    ----------
    name : str
        The file's name in the message, in quotes.
    spacing : iterable of float
        As the header holds it, in mm.
    """
    for value in spacing:
        if not np.isfinite(value) or value <= 0:
            raise GeometryError(f"The voxel spacing of {name} holds {value:g}, which is not above zero: correct the "
                                "file's header.")


def rectangular_geometry(name: str, shape: Sequence[int], matrix, origin) -> Tuple[Geometry, str]:
    """Return the rectangular grid that a header describes, and what was changed for it.

    The one rule for sheared grids of every format. Axes that are a little off a right angle, as rounded headers have
    them, are replaced by the nearest perpendicular ones; the centre of the volume stays where it is.

    Parameters
    ----------
    name : str
        The file's name in messages, in quotes.
    shape : sequence of int
        Voxels along (k, j, i).
    matrix : array-like of shape (3, 3)
        Column a is the step in LPS mm from one voxel to the next along array axis a, in the order (k, j, i).
    origin : array-like of shape (3,)
        LPS mm of the centre of voxel (0, 0, 0).

    Returns
    -------
    geometry : Geometry
        The grid, its axes at right angles.
    message : str
        A sentence for the user; empty where nothing was changed.

    Raises
    ------
    GeometryError
        For an axis without length, a value that is not a number, and axes more than `RIGHT_ANGLE_TOLERANCE` degrees
        from a right angle.

    Examples
    --------
    >>> step = [[0, 0, 1], [0, 1, 0.001], [2, 0, 0]]
    >>> geometry, message = rectangular_geometry("'a.nii'", (5, 40, 30), step, (0, 0, 0))
    >>> message.split(":")[0]
    "The axes of 'a.nii' are 0.057 degrees off a right angle"
    """
    matrix, origin = np.asarray(matrix, dtype=float), np.asarray(origin, dtype=float)
    spacing = np.linalg.norm(matrix, axis=0)
    check_spacing(name, spacing)
    if not np.isfinite(origin).all():
        raise GeometryError(f"The origin of {name} holds a value that is not a number: correct the file's header.")
    direction = matrix / spacing
    cosine = np.abs(direction.T @ direction - np.eye(3)).max()
    angle = np.degrees(np.arcsin(min(cosine, 1.0)))
    if angle > RIGHT_ANGLE_TOLERANCE:
        raise GeometryError(f"The axes of {name} are {angle:.2g} degrees off a right angle (a sheared grid or a tilted "
                            "gantry): resample it to a rectangular grid first.")
    corners, message = _corners(shape), ""
    places = corners @ matrix.T + origin
    if cosine > _PERPENDICULAR:
        u, _, vt = np.linalg.svd(direction)
        direction = u @ vt  # the nearest orthogonal matrix
        origin = places.mean(axis=0) - (direction * spacing) @ corners.mean(axis=0)
        moved = np.linalg.norm(corners @ (direction * spacing).T + origin - places, axis=1).max()
        message = (f"The axes of {name} are {angle:.2g} degrees off a right angle: it is read on the nearest "
                   f"rectangular grid, in which no voxel moves by more than {moved:.2g} mm.")
    n_k, n_j, n_i = (int(size) for size in shape)
    x, y, z = (_triple(row) for row in direction)
    return Geometry((n_k, n_j, n_i), _triple(spacing), _triple(origin), (x, y, z)), message


def _corners(shape: Sequence[int]) -> np.ndarray:
    """Return the indices (8, 3) of the corner voxels; no voxel moves farther between two grids than one of them."""
    return np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(shape) - 1)


def _triple(values: Iterable[float]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _text(values) -> str:
    return " x ".join(f"{v:.9g}" for v in values)
