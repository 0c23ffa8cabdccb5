"""Reading of a volume whose slices are to be filled in: checked, with the grid of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

import numpy as np

from ..devices import available_memory_mib
from ..errors import GeometryError, InputError
from ..images.checks import check_image
from ..images.files import quoted
from ..images.label_maps import LabelMap, read_label_map
from ..images.output_paths import check_writable
from ..images.readers import check_inputs, read_sequence
from ..images.sequence import FrameTimes
from ..images.volume import Geometry, Volume
from ..images.writers import check_output
from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from ..through_plane.plan import SlicePlan
from .inputs import check_slices_can_be_marked, to_first_grid
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
    plan : SlicePlan
        Which slices are filled in, and how.
    labels : LabelMap or None
        On the grid of the phases.
    """

    phases: Tuple[Volume, ...]
    percents: Tuple[float, ...]
    times: Optional[FrameTimes]
    plan: SlicePlan
    labels: Optional[LabelMap]

    @property
    def requests(self) -> List[SliceRequest]:
        """What the method is asked for each phase."""
        return [self.plan.request(phase.array) for phase in self.phases]


def check_paths(request: SlicesRequest) -> None:
    """Raise an error for the first path that cannot be used, before anything is read."""
    check_inputs([request.volume])
    check_slices_can_be_marked(request.output)
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
    sequence = read_sequence(request.volume, messages, uneven=True)
    for phase in sequence.phases:
        check_image(phase.array, name)
        if phase.synthetic:
            raise InputError(f"{name} was computed, not measured, as its file says: give the acquired volume.")
    stop_if(cancelled)
    _check_positions(name, sequence.phases, request.labels)
    phases = to_first_grid(sequence.phases, messages)
    plan = SlicePlan.of(name, phases[0], settings, messages)
    check_room(plan, phases[0].array.dtype)
    check_output(request.output, request.inputs, len(phases) * result_bytes(plan, phases[0].array.dtype), len(phases))
    labels = None if request.labels is None else _read_labels(request.labels, name, plan.source)
    stop_if(cancelled)
    times = None
    if sequence.index_unit:
        times = FrameTimes(sequence.index, sequence.index_name, sequence.index_unit)
    return SlicesInputs(phases, _percents(sequence.index), times, plan, labels)


def _percents(index: Sequence[float]) -> Tuple[float, ...]:
    whole = (index[-1] - index[0]) or 1.0
    return tuple(100 * (value - index[0]) / whole for value in index)


def _check_positions(name: str, phases: Sequence[Volume], labels: Optional[str]) -> None:
    """Raise an error for slices that are not evenly spaced where nothing tells how they belong to other slices."""
    if all(phase.slice_positions is None for phase in phases):
        return
    if labels is not None:
        raise InputError(f"The slices of {name} are not evenly spaced, and a label map does not tell on which of them "
                         "it was drawn: leave out the labels.")
    first = phases[0]
    for phase in phases[1:]:
        here, there = (np.asarray(other.slice_positions or ()) for other in (first, phase))
        if here.shape != there.shape or not np.allclose(here, there, atol=0.01) or (
                first.geometry.differences(phase.geometry)):
            raise GeometryError(f"The slices of {name} are not evenly spaced, and lie elsewhere in some of its phases: "
                                "give phases with slices at the same places.")


def result_bytes(plan: SlicePlan, dtype: np.dtype) -> int:
    """Return the size of one volume of the result."""
    return int(np.prod(plan.geometry.shape, dtype=float)) * dtype.itemsize


def check_room(plan: SlicePlan, dtype: np.dtype) -> None:
    """Raise InputError for a result that the memory does not hold."""
    free = available_memory_mib()
    given, made = (float(np.prod(grid.shape, dtype=float)) for grid in (plan.source, plan.geometry))
    needed = _BASE_MIB + (given * _INPUT_BYTES + made * (_RESULT_BYTES + dtype.itemsize)) / 2**20
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
