"""What a run says while it goes on: progress for the user, and the report."""

from __future__ import annotations

import contextlib
import time as clock
from typing import Any, Dict, Iterator, Tuple

from ..progress import CancelCheck, Progress, ProgressCallback, ignore, never, stop_if
from ..report import JobReport
from .adapted import Adapted
from .prepared import PhasePairs


class RunRecord:
    """Keeps count of steps and frames, reports progress, and fills the report.

    Parameters
    ----------
    report : JobReport
        Filled in place.
    index : tuple of float
        Position of every frame in the whole sequence, in percent.
    adapts : bool
        Whether the run adapts: adaptation is then the first half of the progress, interpolation the second.
    progress : callable
        Called after every step and every frame.
    cancelled : callable
        Asked after every step.
    """

    def __init__(self, report: JobReport, index: Tuple[float, ...], adapts: bool, progress: ProgressCallback = ignore,
                 cancelled: CancelCheck = never) -> None:
        self.report, self.index = report, index
        self.frames_done = 0
        self._progress, self._cancelled = progress, cancelled
        self._adaptation_share = 0.5 if adapts else 0.0
        self.iterations = 0  # of each batch
        self._steps = self._pairs = 0
        self._adaptation_done = 0.0

    def begin(self, pairs: PhasePairs) -> None:
        """Begin a run, or begin it again on another canvas or device."""
        self.report["canvas"] = list(pairs.canvas.padded)
        self.report["device"] = str(pairs.device)
        self._steps, self._pairs = 0, len(pairs)

    def step(self, batch: int, iteration: int, loss: float) -> None:
        """Record a step of adaptation. Raises Cancelled if a cancel was asked for."""
        self._steps += 1
        # Progress never falls, also where a run that begins again has been further.
        self._adaptation_done = max(self._adaptation_done, self._steps / (self.iterations * self._pairs))
        self._report_progress(
            "adaptation", f"Adapting to the patient, {iteration} of {self.iterations}",
            {"batch": batch, "iteration": iteration, "iterations": self.iterations, "loss": loss})
        stop_if(self._cancelled)

    def adapted(self, adapted: Adapted) -> None:
        """Record the losses of all steps so far."""
        self.report["adaptation"] = adapted.weights.report

    def motion(self, motion: Dict[str, Any]) -> None:
        """Record what is known of the motion of a pair, once all of its frames are made."""
        self.report.setdefault("motion", []).append(motion)

    def frame(self, pair: int, time: float, acquired: bool) -> float:
        """Record the next frame, and return its position in percent."""
        index = self.index[self.frames_done]
        self.frames_done += 1
        self.report["frames"].append({"index": index, "pair": pair, "time": time, "acquired": acquired})
        self._report_progress("interpolation", f"Frame {self.frames_done} of {len(self.index)}",
                              {"frame": self.frames_done, "frames": len(self.index)})
        return index

    @contextlib.contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the seconds that a block takes to those of a stage."""
        began = clock.monotonic()
        try:
            yield
        finally:
            seconds = self.report["seconds"]
            seconds[stage] = seconds.get(stage, 0.0) + clock.monotonic() - began

    def _report_progress(self, stage: str, message: str, metrics: Dict[str, float]) -> None:
        share = self._adaptation_share
        fraction = share * self._adaptation_done + (1 - share) * self.frames_done / len(self.index)
        self._progress(Progress(stage, min(fraction, 1.0), message, metrics))
