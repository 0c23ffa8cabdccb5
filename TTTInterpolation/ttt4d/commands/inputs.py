"""Reading of the phases of a request: checked, on one grid, in one scalar type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from ..errors import GeometryError, OutputError, SettingsError
from ..images import readers
from ..images.checks import check_phases
from ..images.files import quoted
from ..images.formats import DICOM, WRITABLE_VOLUMES, output_format_of
from ..images.label_maps import LabelMap
from ..images.output_paths import check_writable
from ..images.phase_times import strictly_increasing
from ..images.resampling import coverage, resample_to, to_type
from ..images.sequence import FrameTimes, PhaseSequence
from ..images.volume import Volume
from ..images.writers import check_output
from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from .labels_input import read_labels
from .request import Request

# Frames that lie closer together, in percent of the sequence, have the same index in 3D Slicer.
_LEAST_STEP = 1e-3
# The share of phase 0's grid that another phase has to cover.
_LEAST_COVERAGE = 0.5


@dataclass(frozen=True)
class Inputs:
    """The phases of a request.

    Parameters
    ----------
    phases : tuple of Volume
        On the grid of the first and in its scalar type, in order of time.
    phase_times : tuple of float
        When each phase was acquired, strictly increasing, in any unit.
    frame_times : FrameTimes or None
        When each frame of the result is, in the unit of the input; None where the input tells no unit.
    labels : LabelMap or None
        The label map of the first phase, on its grid.
    """

    phases: Tuple[Volume, ...]
    phase_times: Tuple[float, ...]
    frame_times: Optional[FrameTimes]
    labels: Optional[LabelMap] = None


def check_paths(request: Request) -> None:
    """Check that all inputs exist and all outputs can be written, before anything is read.

    Raises
    ------
    InputError, OutputError
        The first path that cannot be used.
    """
    readers.check_inputs(request.inputs)
    if request.slices is not None:
        check_slices_can_be_marked(request.output)
    check_output(request.output, request.inputs)
    if request.carried is not None:
        if output_format_of(request.carried) is DICOM:
            raise OutputError(f"{quoted(request.carried)} would be a DICOM series, which holds images, not label maps: "
                              "end the carried labels in .seq.nrrd, .nii.gz or .nii, or choose a folder.")
        check_output(request.carried, request.inputs)
    for path, folder in ((request.displacements, True), (request.maps, True), (request.report, False),
                         (request.preview, False), (request.volumes, False)):
        if path is not None:
            check_writable(path, request.inputs, folder)


def check_slices_can_be_marked(output: str) -> None:
    """Raise OutputError for an output that cannot tell acquired slices from computed ones."""
    if output_format_of(output) is DICOM:
        raise OutputError(f"{quoted(output)} would be a DICOM series, in which computed slices cannot be marked one by "
                          f"one: end the output in {WRITABLE_VOLUMES}.")


def read_inputs(request: Request, progress: ProgressCallback, cancelled: CancelCheck, messages: List[str]) -> Inputs:
    """Read all phases, resample them to the grid of the first and convert them to its scalar type.

    Parameters
    ----------
    request : Request
        Names the files, and the acquisition times where the caller knows them.
    progress : callable
        Called before each phase is read.
    cancelled : callable
        Asked after each phase.
    messages : list of str
        Every assumption and change is appended.

    Raises
    ------
    InputError, GeometryError, SettingsError, OutputError
        The phases cannot be interpolated, or the disk has no room for the result.
    """
    settings = request.settings
    sequence = _read(request, progress, cancelled, messages)
    phase_times = request.phase_times or sequence.index
    if len(phase_times) != len(sequence.phases):
        raise SettingsError(f"There are {len(phase_times)} phase times for {len(sequence.phases)} phases: give one for "
                            "each.")
    check_phases(sequence.phases, settings.cyclic)
    phases = to_first_grid(sequence.phases, messages)
    if any(new is not old for new, old in zip(phases, sequence.phases)):  # the change may have lost their content
        check_phases(phases, settings.cyclic)
    frame_times = None
    if sequence.index_unit and not request.phase_times:
        frame_times = FrameTimes(settings.acquisition_times(phase_times), sequence.index_name, sequence.index_unit)
    if not strictly_increasing(settings.frame_percents(phase_times), least=_LEAST_STEP):
        phase_times = tuple(range(len(phases)))
        messages.append("The acquisition times are too uneven: some frames would be less than 0.001 % apart. The "
                        "phases are treated as evenly spaced.")
    labels = None if request.labels is None else read_labels(request.labels, phases[0].geometry, messages)
    voxel_bytes = phases[0].array.dtype.itemsize + (12 if request.displacements else 0) + (24 if request.maps else 0)
    frames = len(settings.frame_percents(phase_times))
    check_output(request.output, request.inputs, frames * phases[0].array.size * voxel_bytes)
    stop_if(cancelled)
    return Inputs(phases, tuple(phase_times), frame_times, labels)


def to_first_grid(phases: Sequence[Volume], messages: List[str]) -> Tuple[Volume, ...]:
    """Return the phases on the grid of the first and in its scalar type; those that are there already stay as they are.

    Parameters
    ----------
    phases : sequence of Volume
        In order of time.
    messages : list of str
        Every change is appended.

    Raises
    ------
    GeometryError
        A phase covers less than half of the grid.
    InputError
        A phase would lose its content in the scalar type.
    """
    first = phases[0]
    found = [first]
    for number, phase in enumerate(phases[1:], start=1):
        differences = first.geometry.differences(phase.geometry)
        if differences:
            covered = coverage(phase.geometry, first.geometry)
            if 0 < covered < _LEAST_COVERAGE:
                raise GeometryError(f"Phase {number} covers only {covered:.0%} of phase 0's space: crop phase 0 to "
                                    "what both show.")
            edge = "" if covered > 0.99 else (f". {1 - covered:.0%} of that grid lies outside phase {number} and was "
                                              "filled with its edge values")
            messages.append(f"Phase {number} is on another grid ({differences}): it was resampled onto phase 0's"
                            f"{edge}.")
        phase = resample_to(phase, first.geometry) if differences else phase
        found.append(to_type(first.array.dtype, phase, number, messages))
    return tuple(found)


def _read(request: Request, progress: ProgressCallback, cancelled: CancelCheck, messages: List[str]) -> PhaseSequence:
    if request.sequence is not None:
        progress(Progress("reading", 0.005, "Reading the sequence"))
        return readers.read_sequence(request.sequence, messages)
    phases = []
    for number, path in enumerate(request.phases):
        progress(Progress("reading", 0.005 + 0.01 * number / len(request.phases), f"Reading phase {number}"))
        phases.append(readers.read_volume(path, messages))
        stop_if(cancelled)
    return PhaseSequence.counted(phases)
