"""Reading of a volume whose slices are to be filled in: checked, with the grid of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

import numpy as np

from ..devices import available_memory_mib
from ..errors import GeometryError, InputError, OutputError
from ..images.checks import check_image
from ..images.files import quoted
from ..images.formats import DICOM, WRITABLE_VOLUMES, output_format_of
from ..images.label_maps import LabelMap, read_label_map
from ..images.output_paths import check_writable
from ..images.readers import check_inputs, read_sequence
from ..images.sequence import FrameTimes
from ..images.volume import Geometry, Volume
from ..images.writers import check_output
from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from ..through_plane.grid import check_slices, slice_axis, with_more_slices
from ..through_plane.settings import GAP, SliceSettings
from ..through_plane.thickness import kind_of_slices
from .inputs import to_first_grid
from .slices_request import SlicesRequest

if TYPE_CHECKING:
    from ..through_plane.pipeline import SliceRequest

# Memory that a run still takes once the program is loaded: the least for a part of the volume in the network, and bytes
# for each voxel of the input and of the result beside the voxels themselves.
_BASE_MIB, _INPUT_BYTES, _RESULT_BYTES = 300, 12, 4


@dataclass(frozen=True)
class SlicesInputs:
    """What a run between slices starts from.

    Parameters
    ----------
    phases : tuple of Volume
        One volume, or the phases of a sequence, all on one grid and in one scalar type.
    percents : tuple of float
        Position of each phase in the whole sequence, in percent.
    times : FrameTimes or None
        When each phase was acquired, where the input tells it with a unit.
    axis : int
        The array axis of the slices.
    geometry : Geometry
        The grid of the result.
    settings : SliceSettings
        Gap or thick, and the rest of what the method needs.
    labels : LabelMap or None
        On the grid of the phases.
    """

    phases: Tuple[Volume, ...]
    percents: Tuple[float, ...]
    times: Optional[FrameTimes]
    axis: int
    geometry: Geometry
    settings: SliceSettings
    labels: Optional[LabelMap]

    @property
    def requests(self) -> List[SliceRequest]:
        """What the method is asked for each phase."""
        from ..through_plane.pipeline import SliceRequest

        old, new = self.phases[0].geometry, self.geometry
        row, column = (float(old.spacing[axis]) for axis in range(3) if axis != self.axis)
        positions, wanted = (np.arange(grid.shape[self.axis]) * grid.spacing[self.axis] for grid in (old, new))
        return [SliceRequest(self.stack(phase.array), positions, (row, column), np.minimum(wanted, positions[-1]))
                for phase in self.phases]

    @property
    def acquired(self) -> Tuple[int, ...]:
        """Numbers of the slices of the result that are acquired ones, bit for bit."""
        if self.settings.slices != GAP:
            return ()
        numbers = self.requests[0].numbers
        return tuple(int(n) for n in np.flatnonzero(numbers == np.rint(numbers)))

    def stack(self, array: np.ndarray) -> np.ndarray:
        """Return an array (k, j, i) of the file with the slice axis first."""
        return np.ascontiguousarray(np.moveaxis(array, self.axis, 0))

    def unstack(self, array: np.ndarray) -> np.ndarray:
        """Undo `stack`."""
        return np.ascontiguousarray(np.moveaxis(array, 0, self.axis))


def check_paths(request: SlicesRequest) -> None:
    """Raise an error for the first path that cannot be used, before anything is read."""
    check_inputs([request.volume])
    if output_format_of(request.output) is DICOM:
        raise OutputError(f"{quoted(request.output)} would be a DICOM series, in which computed slices cannot be "
                          f"marked one by one: end the output in {WRITABLE_VOLUMES}.")
    for path in (request.report, request.preview):
        if path is not None:
            check_writable(path, request.inputs, folder=False)
    if request.labels_output is not None:
        check_output(request.labels_output, request.inputs, frames=1)


def read_inputs(request: SlicesRequest, progress: ProgressCallback, cancelled: CancelCheck,
                messages: List[str]) -> SlicesInputs:
    """Read the volume or sequence, and decide on the slices of the result.

    Parameters
    ----------
    request : SlicesRequest
        Names the files.
    progress, cancelled : callable
        As for a job.
    messages : list of str
        What was assumed or decided is appended, a full sentence each.

    Raises
    ------
    InputError, GeometryError, SettingsError, OutputError
        The slices cannot be filled in, or there is no room for the result.
    """
    progress(Progress("reading", 0.005, "Reading the volume"))
    settings, name = request.settings, quoted(request.volume)
    sequence = read_sequence(request.volume, messages)
    for phase in sequence.phases:
        check_image(phase.array, name)
        if phase.synthetic:
            raise InputError(f"{name} was computed, not measured, as its file says: give the acquired volume.")
    stop_if(cancelled)
    phases = to_first_grid(sequence.phases, messages)
    first = phases[0]
    axis = slice_axis(first.geometry, settings.axis)
    check_slices(name, first.geometry, axis, settings.force)
    geometry, changes = with_more_slices(first.geometry, axis, settings.factor, settings.spacing)
    messages += changes
    _check_room(request, phases, geometry)
    spacing = (first.geometry.spacing[axis], *np.delete(first.geometry.spacing, axis).tolist())
    told = first.slice_thickness if axis == 0 else None
    slices, thickness, message = kind_of_slices(np.moveaxis(first.array, axis, 0), spacing, told, settings)
    messages += [message] * bool(message)
    labels = None if request.labels is None else _read_labels(request.labels, name, first.geometry)
    stop_if(cancelled)
    times = None
    if sequence.index_unit:
        times = FrameTimes(sequence.index, sequence.index_name, sequence.index_unit)
    return SlicesInputs(phases, _percents(sequence.index), times, axis, geometry,
                        settings.for_slices(slices, thickness), labels)


def _percents(index: Sequence[float]) -> Tuple[float, ...]:
    whole = (index[-1] - index[0]) or 1.0
    return tuple(100 * (value - index[0]) / whole for value in index)


def _check_room(request: SlicesRequest, phases: Sequence[Volume], geometry: Geometry) -> None:
    """Raise an error for a result that the disk or the memory does not hold."""
    itemsize, voxels = phases[0].array.dtype.itemsize, int(np.prod(geometry.shape, dtype=float))
    check_output(request.output, request.inputs, len(phases) * voxels * itemsize, len(phases))
    free = available_memory_mib()
    needed = _BASE_MIB + (phases[0].array.size * _INPUT_BYTES + voxels * (_RESULT_BYTES + itemsize)) / 2**20
    if free is not None and needed > free:
        raise InputError(f"The result would take about {needed / 1024:.1f} GiB of memory, but only {free / 1024:.1f} "
                         "GiB are free: choose a smaller factor, or crop the volume.")


def _read_labels(path: str, volume: str, geometry: Geometry) -> LabelMap:
    labels = read_label_map(path)
    differences = labels.geometry.differences(geometry)
    if differences:
        raise GeometryError(f"The label map {quoted(path)} is on another grid than {volume} ({differences}): give the "
                            "one that was drawn on it.")
    return labels
