"""One job, from paths to files: what the command line and the worker both go through.

Heavy libraries are imported when they are needed, so that the first progress is reported at once.
"""

from __future__ import annotations

import dataclasses
import time as clock
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Optional

from ..errors import Cancelled, DeviceError
from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from ..report import JobReport, peak_gpu_memory_mib, peak_memory_mib, versions

if TYPE_CHECKING:
    from .outputs import Outputs

# Where the progress is when the network has adapted to the slices, in a run on both axes.
_SLICES = 0.3
# Number, index in percent, acquired, and path of its own file if it has one.
FrameCallback = Callable[[int, float, bool, Optional[str]], None]


class BaseJob:
    """Carries out one request. Whatever stops it, no output is left behind, whether complete or not.

    A subclass has `_run`, and lets `_write` stream the frames into its outputs.

    Parameters
    ----------
    request : Request or SlicesRequest
        Inputs, settings and outputs.
    interpolator : Interpolator or SliceInterpolator, optional
        The network of the settings' weights on their device, where the caller has loaded it before.
    """

    # What helps where a run does not fit in memory.
    smaller = "crop the volumes"

    def __init__(self, request: Any, interpolator: Any = None) -> None:
        self.request, self._interpolator = request, interpolator
        self._outputs: Optional[Outputs] = None

    def run(self, progress: ProgressCallback, frame_written: FrameCallback, cancelled: CancelCheck) -> JobReport:
        """Check the request, read, interpolate and write.

        Parameters
        ----------
        progress : callable
            Called with a `Progress`.
        frame_written : callable
            Called for each frame, in order, when the writer has it.
        cancelled : callable
            Asked at every step.

        Returns
        -------
        JobReport
            What was done.

        Raises
        ------
        UserError
            Something that the user can fix. Paths, weights and device are checked before the first image is read.
        Cancelled
            A cancel was asked for.
        """
        progress(Progress("reading", 0.0, "Starting"))
        try:
            report = self._run(progress, frame_written, cancelled)
        except (MemoryError, RuntimeError) as error:
            from .. import devices

            if not devices.is_out_of_memory(error):
                raise
            raise DeviceError(f"The run does not fit in memory: {self.smaller}.") from error
        progress(Progress("writing", 1.0, "Done"))
        return report

    def abandon(self) -> None:
        """Remove what is written so far, while `run` is busy with a long computation in another thread.

        The process has to end at once after this.
        """
        if self._outputs is not None:
            self._outputs.close(Cancelled())

    def _run(self, progress: ProgressCallback, frame_written: FrameCallback, cancelled: CancelCheck) -> JobReport:
        raise NotImplementedError

    def _write(self, outputs: Outputs, frames: Iterable[Any], progress: ProgressCallback,
               frame_written: FrameCallback, cancelled: CancelCheck) -> None:
        """Write the frames as they come, then put every output in place; after an error remove them all."""
        self._outputs, report = outputs, outputs.report
        try:
            for number, frame in enumerate(frames):
                began = clock.monotonic()
                path = outputs.write(number, frame)
                report["seconds"]["writing"] += clock.monotonic() - began
                frame_written(number, frame.index, frame.acquired, path)
                stop_if(cancelled)
            progress(Progress("writing", 0.98, "Putting the result in place"))
            report["peak_memory_mib"] = peak_memory_mib()
            report["peak_gpu_memory_mib"] = peak_gpu_memory_mib(report["device"])
            report["seconds"] = {stage: round(seconds, 3) for stage, seconds in report["seconds"].items()}
            outputs.finish()
        except BaseException as error:
            outputs.close(error)
            raise
        outputs.close()


class Job(BaseJob):
    """Carries out a `Request`: frames between phases, with slices between theirs where it asks for them."""

    smaller = "crop the volumes or choose a smaller canvas"

    def _run(self, progress: ProgressCallback, frame_written: FrameCallback, cancelled: CancelCheck) -> JobReport:
        from .inputs import check_paths, read_inputs

        check_paths(self.request)
        from ..temporal.pipeline import Interpolator
        from .outputs import FrameOutputs
        from .slices_of_frames import SliceAxis

        settings = self.request.settings
        messages: List[str] = []
        began = clock.monotonic()
        interpolator = self._interpolator or Interpolator(settings.weights, settings.device)
        interpolator.check(settings)
        axis = SliceAxis(self.request.slices.for_frames(settings)) if self.request.slices else None
        loaded = clock.monotonic()
        inputs = read_inputs(self.request, progress, cancelled, messages)
        read = clock.monotonic()
        slices = axis and axis.adapt(self.request, inputs, messages, within(progress, 0.02, _SLICES), cancelled)
        result = interpolator.run(
            inputs.phases, settings, progress=within(progress, _SLICES if slices else 0.02, 0.98), cancelled=cancelled,
            displacements=self.request.needs_motion, phase_times=inputs.phase_times)
        report = result.report
        report["messages"][:0] = messages
        report["seconds"].update(reading=read - loaded, loading=loaded - began, writing=0.0)
        report["versions"], report["date"] = versions(), now()
        self._write(FrameOutputs(self.request, report, inputs, result.index, slices),
                    slices.fill(result.frames, report) if slices else result.frames, progress, frame_written, cancelled)
        return report


def now() -> str:
    """Return date and time, ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def within(progress: ProgressCallback, start: float, stop: float) -> ProgressCallback:
    """Return a callback for a part of the run, which maps the part's fraction of 0 to 1 to `start` to `stop`."""
    return lambda part: progress(dataclasses.replace(part, fraction=start + (stop - start) * part.fraction))
