"""One job, from paths to files: what the command line and the worker both go through.

Heavy libraries are imported when they are needed, so that the first progress is reported at once.
"""

from __future__ import annotations

import dataclasses
import time as clock
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable, List, Optional

from ..errors import Cancelled, DeviceError
from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from ..report import JobReport, peak_gpu_memory_mib, peak_memory_mib, versions
from .request import Request

if TYPE_CHECKING:
    from ..temporal.pipeline import InterpolationResult
    from .inputs import Inputs
    from .outputs import Outputs

# Number, index in percent, acquired, and path of its own file if it has one.
FrameCallback = Callable[[int, float, bool, Optional[str]], None]


class Job:
    """Carries out one request. Whatever stops it, no output is left behind, whether complete or not.

    Parameters
    ----------
    request : Request
        Inputs, settings and outputs.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
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
        from .inputs import check_paths, read_inputs

        check_paths(self.request)
        from .. import devices
        from ..temporal.pipeline import Interpolator

        settings = self.request.settings
        messages: List[str] = []
        began = clock.monotonic()
        interpolator = Interpolator(settings.weights, settings.device)
        interpolator.check(settings)
        loaded = clock.monotonic()
        try:
            inputs = read_inputs(self.request, progress, cancelled, messages)
            read = clock.monotonic()
            result = interpolator.run(
                inputs.phases, settings, progress=_within(progress, 0.02, 0.98), cancelled=cancelled,
                displacements=self.request.displacements is not None, phase_times=inputs.phase_times)
            result.report["messages"][:0] = messages
            result.report["seconds"].update(reading=read - loaded, loading=loaded - began, writing=0.0)
            self._write(inputs, result, progress, frame_written, cancelled)
        except (MemoryError, RuntimeError) as error:
            if not devices.is_out_of_memory(error):
                raise
            raise DeviceError("The run does not fit in memory: crop the volumes or choose a smaller canvas.") from error
        progress(Progress("writing", 1.0, "Done"))
        return result.report

    def abandon(self) -> None:
        """Remove what is written so far, while `run` is busy with a long computation in another thread.

        The process has to end at once after this.
        """
        if self._outputs is not None:
            self._outputs.close(Cancelled())

    def _write(self, inputs: Inputs, result: InterpolationResult, progress: ProgressCallback,
               frame_written: FrameCallback, cancelled: CancelCheck) -> None:
        from .outputs import Outputs

        report = result.report
        report.update(versions=versions(), date=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        outputs = self._outputs = Outputs(self.request, inputs, result.index, report)
        try:
            for number, frame in enumerate(result.frames):
                began = clock.monotonic()
                path = outputs.write(number, frame)
                report["seconds"]["writing"] += clock.monotonic() - began
                frame_written(number, frame.index, frame.acquired, path)
                stop_if(cancelled)
            progress(Progress("writing", 0.98, "Putting the result in place"))
            report.update(peak_memory_mib=peak_memory_mib(), peak_gpu_memory_mib=peak_gpu_memory_mib(report["device"]))
            report["seconds"] = {stage: round(seconds, 3) for stage, seconds in report["seconds"].items()}
            outputs.finish()
        except BaseException as error:
            outputs.close(error)
            raise
        outputs.close()


def _within(progress: ProgressCallback, start: float, stop: float) -> ProgressCallback:
    """Return a callback for a part of the run, which maps the part's fraction of 0 to 1 to `start` to `stop`."""
    return lambda part: progress(dataclasses.replace(part, fraction=start + (stop - start) * part.fraction))
