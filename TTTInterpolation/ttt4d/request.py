"""One job, from paths to files: what the command line and the worker both walk through.

Nothing heavy is imported before it is needed, so that the first sign of life comes at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import threading
import time as clock
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from . import marks
from .errors import Cancelled, DeviceError, GeometryError, InputError, OutputError, SettingsError, UserError
from .progress import CancelCheck, Progress, ProgressCallback, stop_if
from .settings import InterpolationSettings, rises

PREVIEWS = (".png", ".gif")
# Of grey that a phase must keep when it is rounded to the first one's type: an error of half a percent.
LEAST_LEVELS = 100
# By which a system ends a program: a batch system or a shutdown with the first, a terminal that is closed with the
# second, which Windows has not.
ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# Exit statuses of the command line and of the worker.
DONE, MENDABLE, BUG, INTERRUPTED = 0, 2, 3, 130

# number, index in percent, acquired, path of its own file if it has one
FrameCallback = Callable[[int, float, bool, Optional[str]], None]


@dataclass(frozen=True)
class Request:
    """What is wanted, as plain data.

    phases: paths of two or more volumes in order of time; or sequence: one path that holds them all.
    output: a `.seq.nrrd`, `.nii.gz` or `.nii` file, or a folder.
    displacements: a folder for one motion field a frame; report: a .json file; preview: a .png or .gif picture.
    moments: when each phase was acquired, rising, in any unit; without, what the sequence says itself, or evenly.
    """

    output: str
    phases: Tuple[str, ...] = ()
    sequence: Optional[str] = None
    settings: InterpolationSettings = InterpolationSettings()
    displacements: Optional[str] = None
    report: Optional[str] = None
    preview: Optional[str] = None
    moments: Tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.phases, (list, tuple)):
            raise SettingsError(f"phases is {self.phases!r}: give a list of paths.")
        object.__setattr__(self, "phases", tuple(self.phases))
        numbers = isinstance(self.moments, (list, tuple)) and all(isinstance(m, (int, float)) for m in self.moments)
        if not numbers or not rises(self.moments):
            raise SettingsError(f"moments is {self.moments!r}: give a rising list of numbers, one for each phase.")
        object.__setattr__(self, "moments", tuple(self.moments))
        for path in (*self.inputs, *self.outputs):
            if not isinstance(path, str) or not path:
                raise SettingsError(f"{path!r} is not the path of a file: give one.")
        if (self.sequence is None) == (not self.phases):
            raise SettingsError("A request takes either phases or one sequence: give one of the two.")
        if len(self.phases) == 1:
            raise SettingsError("One phase is not enough to interpolate: give two, or a sequence.")
        places = [os.path.normcase(os.path.realpath(path)) for path in self.outputs]
        if len(set(places)) < len(places):
            raise OutputError("Two of the outputs have the same name: give each its own.")
        if self.displacements is not None:
            folder = os.path.join(os.path.normcase(os.path.realpath(self.displacements)), "")
            if any(place.startswith(folder) for place in places):
                raise OutputError("The folder of the displacements would hold another output: give it one of its own.")
        if self.preview is not None and not self.preview.lower().endswith(PREVIEWS):
            raise OutputError(f"The preview '{os.path.basename(self.preview)}' is neither .png nor .gif: rename it.")

    @property
    def inputs(self) -> Tuple[str, ...]:
        return self.phases if self.sequence is None else (*self.phases, self.sequence)

    @property
    def outputs(self) -> Tuple[str, ...]:
        return (self.output, *(p for p in (self.displacements, self.report, self.preview) if p is not None))

    def to_json(self) -> Dict[str, Any]:
        return {**dataclasses.asdict(self), "settings": self.settings.to_json()}

    @classmethod
    def from_json(cls, values: Any) -> "Request":
        """The request of a JSON object; names left out take their defaults, unknown names raise `SettingsError`."""
        names = [f.name for f in dataclasses.fields(cls)]
        if not isinstance(values, dict) or "output" not in values:
            raise SettingsError("The request is not a JSON object with an output: see `ttt4d worker --help`.")
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise SettingsError(f"Unknown entry '{unknown[0]}' in the request: the entries are {', '.join(names)}.")
        given = {name: value for name, value in values.items() if value is not None}
        return cls(**{**given, "settings": InterpolationSettings.from_json(values.get("settings") or {})})


class Job:
    """A request on its way. Whatever stops it, it leaves no output, whole or half-written, behind.

    >>> from ttt4d.progress import ignore, never
    >>> request = Request("beat.seq.nrrd", ("ed.nii.gz", "es.nii.gz"))
    >>> Job(request).run(ignore, lambda *frame: None, never)["frames"]    # doctest: +SKIP
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._outputs, self._closing = contextlib.ExitStack(), threading.Lock()

    def run(self, progress: ProgressCallback, frame_written: FrameCallback, cancelled: CancelCheck) -> Dict[str, Any]:
        """Do it; returns the report. Raises a UserError, or Cancelled.

        frame_written: told of each frame once it is with the writer, in order.
        """
        progress(Progress("reading", 0.0, "Starting"))
        began = clock.monotonic()
        messages: List[str] = []
        phases, moments = self._read(progress, cancelled, messages)
        read = clock.monotonic()

        from . import device
        from .pipeline import Interpolator

        settings = self.request.settings
        interpolator = Interpolator(settings.weights, settings.device)
        try:
            result = interpolator.run(phases, settings, _part(progress, 0.02, 0.98), cancelled,
                                      self.request.displacements is not None, moments)
            report = result.report
            report["messages"][:0] = messages
            report["seconds"].update(reading=read - began, loading=clock.monotonic() - read, writing=0.0)
            try:
                self._write(phases, result, progress, frame_written, cancelled)
            except BaseException as error:
                self._close(error)
                raise
            self._close()
        except (MemoryError, RuntimeError) as error:
            if not device.is_out_of_memory(error):
                raise
            raise DeviceError("The run does not fit in memory: crop the volumes or choose a smaller canvas.") from error
        progress(Progress("writing", 1.0, "Done"))
        return report

    def abandon(self) -> None:
        """Remove what is written so far, while `run` is stuck in a long computation in another thread.

        The process has to end at once after this.
        """
        self._close(Cancelled())

    def _close(self, error: Optional[BaseException] = None) -> None:
        """Put every output in place, or after an error remove them all; the second to come finds it done."""
        with self._closing:
            self._outputs.__exit__(type(error) if error else None, error, None)

    def _read(self, progress: ProgressCallback, cancelled: CancelCheck,
              messages: List[str]) -> Tuple[List[Any], Sequence[float]]:
        """The phases on the first one's grid and in its scalar type, and when each was acquired, in any unit; what that
        took is said in `messages`.
        """
        from . import io

        request = self.request
        io.check_output(request.output, request.inputs)
        for path, folder in ((request.displacements, True), (request.report, False), (request.preview, False)):
            if path is not None:
                io.check_place(path, request.inputs, folder)
        if request.sequence is not None:
            progress(Progress("reading", 0.005, "Reading the sequence"))
            sequence = io.read_sequence(request.sequence)
            phases, moments = list(sequence.phases), sequence.index
        else:
            phases, moments = [], range(len(request.phases))
            for number, path in enumerate(request.phases):
                progress(Progress("reading", 0.005 + 0.01 * number / len(request.phases), f"Reading phase {number}"))
                phases.append(io.read_volume(path))
                stop_if(cancelled)
        moments = request.moments or moments
        if len(moments) != len(phases):
            raise SettingsError(f"There are {len(moments)} moments for {len(phases)} phases: give one for each.")
        io.check_phases(phases, request.settings.cyclic)
        first = phases[0]
        for number, phase in enumerate(phases[1:], start=1):
            differences = first.geometry.differences(phase.geometry)
            if differences:
                covered = io.coverage(phase.geometry, first.geometry)
                if 0 < covered < 0.5:
                    raise GeometryError(f"Phase {number} covers only {covered:.0%} of phase 0's space: crop phase 0 to "
                                        "what both show.")
                edge = "" if covered > 0.99 else f", {1 - covered:.0%} of which only the edge of its image fills"
                messages.append(f"Phase {number} is on another grid ({differences}): resampled onto phase 0's{edge}.")
            phases[number] = _of_type(first.array.dtype, io.onto_grid(phase, first.geometry), number, messages)
        if messages:  # what was resampled or converted may have lost its content
            io.check_phases(phases, request.settings.cyclic)
        if not rises(request.settings.index(moments), least=1e-3):  # closer ones are one to 3D Slicer
            moments = range(len(phases))
            messages.append("The phases lie too unevenly in time for a place of its own for every frame: they count "
                            "evenly.")
        frames = len(request.settings.index(moments))
        voxel = first.array.dtype.itemsize + (12 if request.displacements else 0)
        io.check_output(request.output, request.inputs, frames * first.array.size * voxel)
        stop_if(cancelled)
        return phases, moments

    def _write(self, phases: Sequence[Any], result: Any, progress: ProgressCallback, frame_written: FrameCallback,
               cancelled: CancelCheck) -> None:
        """Stream the frames into every output. They get their names only when the last of them is complete."""
        from . import io
        from .preview import Preview
        from .report import peak_gpu_memory_mib, peak_memory_mib, provenance, versions

        request, report, enter = self.request, result.report, self._outputs.enter_context
        report.update(versions=versions(), date=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        displacements = enter(_staged(request.displacements, folder=True))
        preview_file, report_file = enter(_staged(request.preview)), enter(_staged(request.report))
        geometry, index = phases[0].geometry, result.index
        acquired = [frame % (len(request.settings.frame_times) + 1) == 0 for frame in range(len(index))]
        # Entered last, so that it is the first to be put in place: its end is what may still fail.
        words = provenance(report)
        writer = enter(io.open_writer(request.output, geometry, phases[0].array.dtype, index, acquired, words))
        preview = Preview(phases) if preview_file else None
        for number, frame in enumerate(result.frames):
            began = clock.monotonic()
            path = writer.write(number, frame.array)
            if displacements:
                io.write_displacement(os.path.join(displacements, f"displacement_{number:03d}.nrrd"), geometry,
                                      frame.displacement,
                                      {**marks.words(frame.index, frame.acquired), **words})
            if preview:
                preview.add(frame.array, frame.index, frame.acquired)
            report["seconds"]["writing"] += clock.monotonic() - began
            frame_written(number, frame.index, frame.acquired, path)
            stop_if(cancelled)
        progress(Progress("writing", 0.98, "Putting the result in place"))
        if preview:
            with io.writing(request.preview):
                preview.save(preview_file, os.path.splitext(request.preview)[1])
        report.update(peak_memory_mib=peak_memory_mib(), peak_gpu_memory_mib=peak_gpu_memory_mib(report["device"]))
        report["seconds"] = {stage: round(seconds, 3) for stage, seconds in report["seconds"].items()}
        if report_file:
            with io.writing(request.report), open(report_file, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1)


def failure(error: BaseException) -> Tuple[int, str]:
    """Exit status and one sentence for whatever stopped a command."""
    if isinstance(error, UserError):
        return MENDABLE, str(error)
    if isinstance(error, (KeyboardInterrupt, Cancelled)):
        return INTERRUPTED, "Interrupted: nothing was written."
    return BUG, f"This is a bug in ttt4d ({type(error).__name__}): please report it with the traceback."


class Stopwatch:
    """Seconds since the start, and an estimate of those that remain, from the fraction done."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._moving: Optional[Tuple[float, float]] = None

    def __call__(self, fraction: float) -> Tuple[float, Optional[float]]:
        now = clock.monotonic()
        # Reading and loading say nothing about the pace of the work: it is timed from its own beginning.
        if self._moving is None and fraction >= 0.02:
            self._moving = now, fraction
        if self._moving is None or fraction - self._moving[1] < 0.01:
            return now - self._began, None
        return now - self._began, (now - self._moving[0]) / (fraction - self._moving[1]) * (1 - fraction)


def _part(progress: ProgressCallback, start: float, stop: float) -> ProgressCallback:
    """A callback for a part of the run, whose own fraction goes from 0 to 1."""
    return lambda part: progress(dataclasses.replace(part, fraction=start + (stop - start) * part.fraction))


def _of_type(dtype: Any, volume: Any, number: int, messages: List[str]) -> Any:
    """The volume in the first phase's scalar type, rounded where that takes whole numbers, never clipped."""
    import numpy as np

    from . import io

    if volume.array.dtype == dtype:
        return volume
    array = volume.array
    if dtype.kind in "iu":
        array = np.rint(array)
        low, high = float(array.min()), float(array.max())
        if low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
            raise InputError(f"Phase {number} has values from {low:g} to {high:g}, which phase 0's type {dtype} cannot "
                             "hold: convert both to one type.")
        if not np.array_equal(array, volume.array) and (high - low < LEAST_LEVELS or not io.is_image(array)):
            raise InputError(f"Phase {number} would lose its content if it were rounded to phase 0's type {dtype}: "
                             "convert both to one type, or rescale it.")
    messages.append(f"Phase {number} was converted from {volume.array.dtype} to phase 0's type {dtype}.")
    return dataclasses.replace(volume, array=array.astype(dtype))


@contextlib.contextmanager
def _staged(path: Optional[str], folder: bool = False) -> Iterator[Optional[str]]:
    """A temporary file beside `path`, which takes its name when all went well and else is gone; or a temporary folder,
    inside an empty one that is there already, which takes what is in it.
    """
    if path is None:
        yield None
        return
    from . import io

    real = os.path.realpath(path)
    there = folder and os.path.isdir(real)
    temporary = io.temporary_name(real if there else os.path.dirname(real))
    try:
        with io.writing(path):
            os.mkdir(temporary) if folder else open(temporary, "xb").close()
        yield temporary
        with io.writing(path):
            if there:
                _move_into(real, temporary)
            else:
                os.replace(temporary, real)
    finally:
        if os.path.isdir(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        elif os.path.exists(temporary):
            os.remove(temporary)


def _move_into(folder: str, temporary: str) -> None:
    """All that is in the temporary folder, or nothing."""
    names = os.listdir(temporary)
    try:
        for name in names:
            os.replace(os.path.join(temporary, name), os.path.join(folder, name))
    except BaseException:
        for name in names:
            with contextlib.suppress(OSError):
                os.remove(os.path.join(folder, name))
        raise
