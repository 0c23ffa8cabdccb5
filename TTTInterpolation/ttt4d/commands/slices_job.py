"""One run between slices, from paths to files. Heavy libraries are imported when they are needed."""

from __future__ import annotations

import time as clock
from typing import TYPE_CHECKING, Any, Iterator, List, Optional

from ..progress import CancelCheck, Progress, ProgressCallback, stop_if
from ..report import JobReport, versions
from .job import BaseJob, FrameCallback, now, within

if TYPE_CHECKING:
    import numpy as np

    from ..through_plane.pipeline import SliceInterpolator
    from .slices_inputs import SlicesInputs
    from .slices_outputs import FilledVolume


class SlicesJob(BaseJob):
    """Carries out a `SlicesRequest`: slices between the slices of a volume, or of each volume of a sequence."""

    smaller = "crop the volume or choose a smaller factor"

    def _run(self, progress: ProgressCallback, frame_written: FrameCallback, cancelled: CancelCheck) -> JobReport:
        from .slices_inputs import check_paths, read_inputs

        check_paths(self.request)
        from ..adaptation.schemes import check_task
        from ..settings import NO_ADAPTATION
        from ..through_plane.pipeline import SliceInterpolator
        from .slices_outputs import SlicesOutputs

        settings = self.request.settings
        messages: List[str] = []
        began = clock.monotonic()
        interpolator = self._interpolator or SliceInterpolator(settings.weights, settings.device)
        if settings.adaptation.auxiliary != NO_ADAPTATION:
            check_task(interpolator.model, settings.adaptation)
        loaded = clock.monotonic()
        inputs = read_inputs(self.request, progress, cancelled, messages)
        read = clock.monotonic()
        labels = _labels(inputs, within(progress, 0.01, 0.05), cancelled)
        report = _new_report(self.request.settings, interpolator, inputs, messages)
        report["seconds"].update(reading=read - loaded, loading=loaded - began, labels=clock.monotonic() - read)
        self._write(SlicesOutputs(self.request, report, inputs, labels),
                    _filled(interpolator, inputs, report, within(progress, 0.05, 0.98), cancelled), progress,
                    frame_written, cancelled)
        return report


def _labels(inputs: SlicesInputs, progress: ProgressCallback, cancelled: CancelCheck) -> Optional[np.ndarray]:
    """Return the label map on the grid of the result, where there is one."""
    if inputs.labels is None:
        return None
    from ..through_plane.labels import interpolate_labels

    def on_label(fraction: float) -> None:
        progress(Progress("reading", fraction, "Carrying the labels to the new slices"))
        stop_if(cancelled)

    request = inputs.plan.request(inputs.labels.array)
    return inputs.plan.unstack(interpolate_labels(request.array, request.numbers, request.pixels, on_label))


def _filled(interpolator: SliceInterpolator, inputs: SlicesInputs, report: Any, progress: ProgressCallback,
            cancelled: CancelCheck) -> Iterator[FilledVolume]:
    """Yield the volumes of the result, and keep the report up to date."""
    from .slices_outputs import FilledVolume

    results = interpolator.run_all(inputs.requests, inputs.plan.settings, progress, cancelled)
    for number, (percent, result) in enumerate(zip(inputs.percents, results)):
        found = result.report
        report["messages"] += [message for message in found["messages"] if message not in report["messages"]]
        report["seconds"]["adaptation"] = found["seconds"]["adaptation"]
        report["seconds"]["interpolation"] += found["seconds"]["interpolation"]
        report["adaptation"] += [{"batch": number, **found["adaptation"]}] if found["adaptation"] else []
        yield FilledVolume(inputs.plan.unstack(result.array), percent)


def _new_report(settings: Any, interpolator: SliceInterpolator, inputs: SlicesInputs, messages: List[str]) -> Any:
    return {
        # The weights that were loaded, without the folders of a user's own file: they may name a person.
        "settings": {**settings.to_json(), "weights": interpolator.name},
        "weights": interpolator.weights,
        "device": str(interpolator.device), "messages": [*messages, *interpolator.messages],
        "seconds": {"adaptation": 0.0, "interpolation": 0.0, "writing": 0.0}, "adaptation": [],
        "slices": inputs.plan.report(inputs.plan.acquired(inputs.requests[0])),
        "frames": [{"index": percent, "pair": number, "time": 0.0, "acquired": False}
                   for number, percent in enumerate(inputs.percents)],
        "versions": versions(), "date": now(), "not_for_clinical_use": True,
    }
