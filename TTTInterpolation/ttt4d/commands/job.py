"""One job, from paths to files: what the command line and the worker both walk through.

Nothing heavy is imported before it is needed, so that the first sign of life comes at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time as clock
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..errors import Cancelled, DeviceError, GeometryError, SettingsError
from ..images import marks
from ..images.phase_times import strictly_increasing
from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from .request import Request

# number, index in percent, acquired, path of its own file if it has one
FrameCallback = Callable[[int, float, bool, Optional[str]], None]


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
        phases, phase_times = self._read(progress, cancelled, messages)
        read = clock.monotonic()

        from .. import devices
        from ..temporal.pipeline import Interpolator

        settings = self.request.settings
        interpolator = Interpolator(settings.weights, settings.device)
        try:
            result = interpolator.run(
                phases, settings, progress=_within(progress, 0.02, 0.98), cancelled=cancelled,
                displacements=self.request.displacements is not None, phase_times=phase_times)
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
            if not devices.is_out_of_memory(error):
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

        from ..images.checks import check_phases
        from ..images.output_paths import check_writable
        from ..images.readers import check_inputs, read_sequence, read_volume
        from ..images.resampling import coverage, resample_to, to_type
        from ..images.writers import check_output

        request = self.request
        check_inputs(request.inputs)
        check_output(request.output, request.inputs)
        for path, folder in ((request.displacements, True), (request.report, False), (request.preview, False)):
            if path is not None:
                check_writable(path, request.inputs, folder)
        if request.sequence is not None:
            progress(Progress("reading", 0.005, "Reading the sequence"))
            sequence = read_sequence(request.sequence, messages)
            phases, phase_times = list(sequence.phases), sequence.index
        else:
            phases, phase_times = [], range(len(request.phases))
            for number, path in enumerate(request.phases):
                progress(Progress("reading", 0.005 + 0.01 * number / len(request.phases), f"Reading phase {number}"))
                phases.append(read_volume(path, messages))
                stop_if(cancelled)
        phase_times = request.phase_times or phase_times
        if len(phase_times) != len(phases):
            raise SettingsError(f"There are {len(phase_times)} phase times for {len(phases)} phases: give one for "
                                "each.")
        check_phases(phases, request.settings.cyclic)
        first = phases[0]
        for number, phase in enumerate(phases[1:], start=1):
            differences = first.geometry.differences(phase.geometry)
            if differences:
                covered = coverage(phase.geometry, first.geometry)
                if 0 < covered < 0.5:
                    raise GeometryError(f"Phase {number} covers only {covered:.0%} of phase 0's space: crop phase 0 to "
                                        "what both show.")
                edge = "" if covered > 0.99 else f", {1 - covered:.0%} of which only the edge of its image fills"
                messages.append(f"Phase {number} is on another grid ({differences}): resampled onto phase 0's{edge}.")
            phases[number] = to_type(first.array.dtype, resample_to(phase, first.geometry), number, messages)
        if messages:  # what was resampled or converted may have lost its content
            check_phases(phases, request.settings.cyclic)
        if not strictly_increasing(request.settings.frame_percents(phase_times), least=1e-3):  # closer ones are one to 3D Slicer
            phase_times = range(len(phases))
            messages.append("The phases lie too unevenly in time for a place of its own for every frame: they count "
                            "evenly.")
        frames = len(request.settings.frame_percents(phase_times))
        voxel = first.array.dtype.itemsize + (12 if request.displacements else 0)
        check_output(request.output, request.inputs, frames * first.array.size * voxel)
        stop_if(cancelled)
        return phases, phase_times

    def _write(self, phases: Sequence[Any], result: Any, progress: ProgressCallback, frame_written: FrameCallback,
               cancelled: CancelCheck) -> None:
        """Stream the frames into every output. They get their names only when the last of them is complete."""
        from ..images.displacement import write_displacement
        from ..images.output_paths import staged, writing
        from ..images.preview import Preview
        from ..images.writers import open_writer
        from ..report import peak_gpu_memory_mib, peak_memory_mib, provenance, versions

        request, report, enter = self.request, result.report, self._outputs.enter_context
        report.update(versions=versions(), date=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        displacements = enter(staged(request.displacements, folder=True))
        preview_file, report_file = (enter(staged(path)) for path in (request.preview, request.report))
        geometry, index = phases[0].geometry, result.index
        acquired = [frame % (len(request.settings.frame_times) + 1) == 0 for frame in range(len(index))]
        # Entered last, so that it is the first to be put in place: its end is what may still fail.
        words = provenance(report)
        writer = enter(open_writer(request.output, geometry, phases[0].array.dtype, index, acquired, words,
                                   phases[0].source))
        report["messages"].extend(writer.messages)
        preview = Preview(phases) if preview_file else None
        for number, frame in enumerate(result.frames):
            began = clock.monotonic()
            path = writer.write(number, frame.array)
            if displacements:
                write_displacement(os.path.join(displacements, f"displacement_{number:03d}.nrrd"), geometry,
                                      frame.displacement,
                                      {**marks.metadata(frame.index, frame.acquired), **words})
            if preview:
                preview.add(frame.array, frame.index, frame.acquired)
            report["seconds"]["writing"] += clock.monotonic() - began
            frame_written(number, frame.index, frame.acquired, path)
            stop_if(cancelled)
        progress(Progress("writing", 0.98, "Putting the result in place"))
        if preview:
            with writing(request.preview):
                preview.save(preview_file, os.path.splitext(request.preview)[1])
        report.update(peak_memory_mib=peak_memory_mib(), peak_gpu_memory_mib=peak_gpu_memory_mib(report["device"]))
        report["seconds"] = {stage: round(seconds, 3) for stage, seconds in report["seconds"].items()}
        if report_file:
            with writing(request.report), open(report_file, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1)


def _within(progress: ProgressCallback, start: float, stop: float) -> ProgressCallback:
    """A callback for a part of the run, whose own fraction goes from 0 to 1."""
    return lambda part: progress(dataclasses.replace(part, fraction=start + (stop - start) * part.fraction))
