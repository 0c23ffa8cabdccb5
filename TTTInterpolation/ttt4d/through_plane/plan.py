"""How the slices of volumes on one grid are filled in: which axis, which new slices, gap or thick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

import numpy as np

from ..images.volume import Geometry, Volume
from .grid import AXES, check_slices, slice_axis, with_more_slices
from .settings import GAP, SliceRunSettings, SliceSettings
from .thickness import kind_of_slices

if TYPE_CHECKING:
    from .pipeline import SliceRequest


@dataclass(frozen=True)
class SlicePlan:
    """What is decided before the slices of a volume, or of several on one grid, are filled in.

    Parameters
    ----------
    axis : int
        The array axis of the slices.
    source : Geometry
        The grid of the volumes.
    geometry : Geometry
        The grid of the result.
    settings : SliceSettings
        Gap or thick, and the rest of what the method needs.
    positions : ndarray
        Positions of the acquired slices in mm, from the first.
    """

    axis: int
    source: Geometry
    geometry: Geometry
    settings: SliceSettings
    positions: np.ndarray

    @classmethod
    def of(cls, name: str, volume: Volume, settings: SliceRunSettings, messages: List[str]) -> SlicePlan:
        """Decide on the slices of a volume.

        Parameters
        ----------
        name : str
            Name of the volume, in messages.
        volume : Volume
            Stands for all volumes on its grid.
        settings : SliceRunSettings
            What the user chose.
        messages : list of str
            What was decided is appended, a full sentence each.

        Raises
        ------
        InputError, GeometryError, SettingsError
            The slices cannot be filled in.
        """
        source = volume.geometry
        axis = slice_axis(source, settings.axis)
        check_slices(name, source, axis, settings.force)
        geometry, changes = with_more_slices(source, axis, settings.factor, settings.spacing)
        spacing = (source.spacing[axis], *np.delete(source.spacing, axis).tolist())
        told = volume.slice_thickness if axis == 0 else None
        slices, thickness, message = kind_of_slices(np.moveaxis(volume.array, axis, 0), spacing, told, settings)
        messages += [*changes, *filter(None, [message])]
        positions = np.arange(source.shape[axis]) * source.spacing[axis]
        if axis == 0 and volume.slice_positions is not None:
            positions = np.array(volume.slice_positions)
            steps = np.diff(positions)
            messages.append(f"The slices of {name} are not evenly spaced (from {steps.min():.4g} to {steps.max():.4g} "
                            "mm): each is taken where it lies, and the new ones are evenly spaced.")
        return cls(axis, source, geometry, settings.for_slices(slices, thickness), positions)

    def request(self, array: np.ndarray) -> SliceRequest:
        """Return what the method is asked for a volume (k, j, i) on the grid `source`."""
        from .pipeline import SliceRequest

        row, column = (float(self.source.spacing[axis]) for axis in range(3) if axis != self.axis)
        wanted = np.arange(self.geometry.shape[self.axis]) * self.geometry.spacing[self.axis]
        return SliceRequest(self.stack(array), self.positions, (row, column), np.minimum(wanted, self.positions[-1]))

    def acquired(self, request: SliceRequest) -> Tuple[int, ...]:
        """Return the numbers of the slices of the result that are acquired ones, bit for bit."""
        return request.acquired if self.settings.slices == GAP else ()

    def stack(self, array: np.ndarray) -> np.ndarray:
        """Return an array (k, j, i) of the file with the slice axis first."""
        return np.ascontiguousarray(np.moveaxis(array, self.axis, 0))

    def unstack(self, array: np.ndarray) -> np.ndarray:
        """Undo `stack`."""
        return np.ascontiguousarray(np.moveaxis(array, 0, self.axis))

    def report(self, acquired: Tuple[int, ...]) -> Dict[str, Any]:
        """Return what the report of a run says of the slices."""
        axis, old, new = self.axis, self.source, self.geometry
        return {"axis": AXES[axis], "kind": self.settings.slices, "thickness": self.settings.thickness,
                "spacing": [old.spacing[axis], new.spacing[axis]], "count": [old.shape[axis], new.shape[axis]],
                "acquired": list(acquired)}
