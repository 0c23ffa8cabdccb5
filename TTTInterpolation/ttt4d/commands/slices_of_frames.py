"""Both axes in one run: the slices of the frames between phases, filled in as the frames come."""

from __future__ import annotations

import dataclasses
import time as clock
from dataclasses import dataclass
from typing import Iterable, Iterator, List, Sequence, Tuple

from ..adaptation.schemes import check_task
from ..images.files import quoted
from ..images.writers import check_output
from ..progress import CancelCheck, ProgressCallback
from ..report import JobReport
from ..settings import NO_ADAPTATION
from ..temporal.frames import Frame
from ..through_plane.pipeline import AdaptedSlices, SliceInterpolator
from ..through_plane.plan import SlicePlan
from ..through_plane.settings import SliceRunSettings
from .inputs import Inputs
from .request import Request
from .slices_inputs import check_room, result_bytes


@dataclass(frozen=True)
class SlicesOfFrames:
    """Fills in the slices of frames, by one adaptation to the phases between which they are.

    Parameters
    ----------
    plan : SlicePlan
        Which slices.
    acquired : tuple of int
        Numbers of the slices that are acquired ones in a phase.
    adapted : AdaptedSlices
        Fills in the slices of one frame.
    settings : SliceRunSettings
        What was chosen, for the report.
    """

    plan: SlicePlan
    acquired: Tuple[int, ...]
    adapted: AdaptedSlices
    settings: SliceRunSettings

    def begin(self, report: JobReport, phases: Sequence[bool]) -> None:
        """Enter into a report what is known before the first frame; `phases` tells which frames are given ones."""
        found = self.adapted.report
        report["messages"] += [message for message in found["messages"] if message not in report["messages"]]
        report["seconds"]["slices"] = found["seconds"]["adaptation"]
        report["slices"] = {
            **self.plan.report(self.acquired),
            "frames": [number for number, given in enumerate(phases) if given and self.acquired],
            "weights": found["weights"], "settings": {**self.settings.to_json(), "weights": found["weights"]["name"]},
            "adaptation": found["adaptation"]}

    def fill(self, frames: Iterable[Frame], report: JobReport) -> Iterator[Frame]:
        """Yield the frames with their new slices. None of them counts as acquired: some of its slices are computed."""
        for frame in frames:
            began = clock.monotonic()
            array = self.plan.unstack(self.adapted.fill(self.plan.request(frame.array)))
            report["frames"][-1]["acquired"] = False
            report["seconds"]["slices"] += clock.monotonic() - began
            yield dataclasses.replace(frame, array=array, acquired=False)


class SliceAxis:
    """The network of the axis between slices, for a run between phases.

    Parameters
    ----------
    settings : SliceRunSettings
        How to fill in the slices, as `SliceRunSettings.for_frames` returns it.

    Raises
    ------
    WeightsError, DeviceError
        One of them cannot be used.
    """

    def __init__(self, settings: SliceRunSettings) -> None:
        self.settings = settings
        self.interpolator = SliceInterpolator(settings.weights, settings.device)
        if settings.adaptation.auxiliary != NO_ADAPTATION:
            check_task(self.interpolator.model, settings.adaptation)

    def adapt(self, request: Request, inputs: Inputs, messages: List[str], progress: ProgressCallback,
              cancelled: CancelCheck) -> SlicesOfFrames:
        """Decide on the slices, and adapt to the phases.

        Raises
        ------
        InputError, GeometryError, SettingsError, OutputError
            The slices cannot be filled in, or there is no room for the result.
        """
        first = inputs.phases[0]
        plan = SlicePlan.of(quoted(first.name), first, self.settings, messages)
        check_room(plan, first.array.dtype)
        frames = len(request.settings.frame_percents(inputs.phase_times))
        check_output(request.output, request.inputs, frames * result_bytes(plan, first.array.dtype))
        requests = [plan.request(phase.array) for phase in inputs.phases]
        adapted = self.interpolator.adapt(requests, plan.settings, progress, cancelled)
        return SlicesOfFrames(plan, plan.acquired(requests[0]), adapted, self.settings)
