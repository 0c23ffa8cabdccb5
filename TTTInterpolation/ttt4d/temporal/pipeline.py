"""From phases to frames, top to bottom.

    phases  ->  common grid, one scale  ->  canvas (network grid, [0, 1])                prepared, canvas
      ->  adaptation: scheme x auxiliary task over the batches, only f and g learn       adapted
      ->  estimate for each time on the canvas: motion, confidence, residual             estimation
      ->  native resolution: fields brought back, original voxels warped and blended     native
      ->  original intensities, type and geometry  ->  frames, one at a time             frames

References
----------
.. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

import torch

from .. import devices
from ..adaptation.schemes import check_task
from ..errors import GeometryError, InputError
from ..images.intensity import Fences, IntensityScale
from ..images.volume import Volume
from ..progress import CancelCheck, ProgressCallback, ignore, never, stop_if
from ..report import JobReport
from ..settings import NO_ADAPTATION, InterpolationSettings
from ..weights import checksum, locate
from . import models
from .adapted import Adapted, adapted_cohort
from .canvas import Canvas
from .fallback import Fallback
from .frames import Frame, FrameStream
from .memory import canvas_voxels
from .prepared import PhasePairs
from .record import RunRecord


@dataclass(frozen=True)
class InterpolationResult:
    """The result of a run.

    Parameters
    ----------
    frames : iterator of Frame
        Each frame is made when it is asked for.
    index : tuple of float
        Position of every frame in the whole sequence, in percent.
    report : JobReport
        What was done. It is complete when the last frame was made.
    """

    frames: Iterator[Frame]
    index: Tuple[float, ...]
    report: JobReport


class Interpolator:
    """Base weights on a device: give it the phases of one patient, get the frames between them.

    `run` does everything. `adapt` and `interpolate` are its two halves, for other times without adapting again.

    Parameters
    ----------
    weights : str
        Name of packaged weights, such as "cardiac", or path of a weights file.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises
    ------
    WeightsError, DeviceError
        The weights or the device cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from ttt4d import Geometry, InterpolationSettings, Interpolator, Volume
    >>> grid = Geometry((4, 24, 24), (8.0, 1.5, 1.5))
    >>> pair = [Volume(np.random.default_rng(n).integers(0, 400, grid.shape).astype(np.int16), grid) for n in (0, 1)]
    >>> settings = InterpolationSettings.from_json({"frames": 1, "adaptation": {"auxiliary": "none"}})
    >>> interpolator = Interpolator(device="cpu")
    >>> [frame.acquired for frame in interpolator.run(pair, settings).frames]
    [True, False, True]
    >>> adapted = interpolator.adapt(pair, settings)
    >>> [frame.time for frame in interpolator.interpolate(adapted, times=(0.25,))]
    [0.0, 0.25, 1.0]
    """

    def __init__(self, weights: str = "cardiac", device: str = "auto") -> None:
        self.messages: List[str] = []
        self.device = devices.choose(device, self.messages)
        self.name, self.path = os.path.basename(weights), locate(weights)
        self.model = models.load(weights)

    def check(self, settings: InterpolationSettings) -> None:
        """Check that the weights serve the auxiliary task of the settings, or raise WeightsError."""
        if settings.adaptation.auxiliary != NO_ADAPTATION:
            check_task(self.model, settings.adaptation)

    def run(self, phases: Sequence[Volume], settings: InterpolationSettings = InterpolationSettings(), *,
            progress: ProgressCallback = ignore, cancelled: CancelCheck = never, displacements: bool = False,
            phase_times: Sequence[float] = ()) -> InterpolationResult:
        """Adapt to the phases and interpolate between each two neighbouring ones.

        Parameters
        ----------
        phases : sequence of Volume
            Two or more phases on one grid and of one scalar type, in order of time.
        settings : InterpolationSettings
            Times of the frames and how to adapt. Its `weights` and `device` are not used: they are those that this
            object was made with.
        progress : callable
            Called with a `Progress` after every step and every frame.
        cancelled : callable
            Asked after every step and every frame; the run ends when it returns True.
        displacements : bool
            Whether each frame has its displacement to the first phase, and the confidence in it.
        phase_times : sequence of float
            When each phase was acquired, strictly increasing, in any unit. By default evenly spaced.

        Returns
        -------
        InterpolationResult
            The phases and the frames between them in order of time. Where memory is full, the run goes on with a
            smaller canvas, then on the CPU, and says so in the report.

        Raises
        ------
        GeometryError, InputError
            The phases differ in grid or scalar type, or one is missing, was itself computed, or has no contrast.
        Cancelled
            While frames are made, when a cancel was asked for.
        """
        fences = check_phases_for_run(phases)
        index = settings.frame_percents(phase_times or range(len(phases)))
        record = RunRecord(new_report(self, settings, fences), index, settings.adaptation.auxiliary != NO_ADAPTATION,
                           progress, cancelled)
        stream = FrameStream(settings, record, displacements)

        def adapted_on(canvas: Canvas, device: torch.device) -> Adapted:
            pairs = PhasePairs(phases, canvas, device, cyclic=settings.cyclic, fences=fences, cancelled=cancelled)
            record.begin(pairs)
            adapted, = adapted_cohort(self.model, [pairs], [phase_times], settings, record.step)
            record.iterations = adapted.weights.iterations
            return adapted

        fallback = Fallback(phases[0].geometry, self.model.network.levels, settings.canvas, self.device,
                            record.report["messages"])
        frames = fallback.repeated(lambda canvas, device: stream.frames(adapted_on(canvas, device)))
        return InterpolationResult(frames, index, record.report)

    def adapt(self, phases: Sequence[Volume], settings: InterpolationSettings = InterpolationSettings(), *,
              cancelled: CancelCheck = never, phase_times: Sequence[float] = ()) -> Adapted:
        """Take all steps for the phases of one patient; see `run` for parameters and errors."""
        adapted, = self.adapt_cohort([phases], settings, cancelled=cancelled, phase_times=[phase_times])
        adapted.network(len(adapted.pairs) - 1)
        return adapted

    def adapt_cohort(self, patients: Sequence[Sequence[Volume]],
                     settings: InterpolationSettings = InterpolationSettings(), *, cancelled: CancelCheck = never,
                     phase_times: Sequence[Sequence[float]] = ()) -> List[Adapted]:
        """Adapt to a cohort: the batches of the scheme are the pairs of all patients, in the order given.

        Parameters
        ----------
        patients : sequence of sequences of Volume
            The phases of each patient.
        settings, cancelled, phase_times
            As for `run`; the times are one sequence for each patient.

        Returns
        -------
        list of Adapted
            One for each patient. Its steps are done when it is first interpolated. The order in which patients are
            interpolated does not change the result.
        """
        cohort = [self.batches(phases, settings, cancelled) for phases in patients]
        return adapted_cohort(self.model, cohort, phase_times or [()] * len(cohort), settings,
                              lambda *step: stop_if(cancelled))

    def batches(self, phases: Sequence[Volume], settings: InterpolationSettings,
                cancelled: CancelCheck = never) -> PhasePairs:
        """Return the phases of one patient as the batches of an adaptation; see `run` for parameters and errors."""
        fences = check_phases_for_run(phases)
        canvas = Canvas.fit(phases[0].geometry, self.model.network.levels,
                            canvas_voxels(self.device, phases[0].array.size), settings.canvas)
        return PhasePairs(phases, canvas, self.device, cyclic=settings.cyclic, fences=fences, cancelled=cancelled)

    def interpolate(self, adapted: Adapted, times: Sequence[float] = (), *,
                    displacements: bool = False) -> Iterator[Frame]:
        """Yield the phases and the frames between them, with weights that were adapted before.

        Parameters
        ----------
        adapted : Adapted
            From `adapt` or `adapt_cohort`.
        times : sequence of float
            Times of the new frames of each pair, between 0 and 1; by default those of the settings of `adapt`.
            They must be strictly increasing.
        displacements : bool
            Whether each frame has its displacement to the first phase.
        """
        settings = adapted.settings
        if times:
            settings = dataclasses.replace(settings, times=tuple(times))
        phase_times = adapted.phase_times or range(len(adapted.pairs) + (not settings.cyclic))
        report, index = new_report(self, settings, adapted.pairs.fences), settings.frame_percents(phase_times)
        yield from FrameStream(settings, RunRecord(report, index, adapts=False), displacements).frames(adapted)


def check_phases_for_run(phases: Sequence[Volume]) -> Fences:
    """Check that phases can be interpolated, and find their outliers; see `Interpolator.run` for the errors."""
    for phase in phases[1:]:
        differences = phases[0].geometry.differences(phase.geometry)
        if differences:
            raise GeometryError(f"The phases lie on different grids ({differences}): resample them onto one.")
        if phase.array.dtype != phases[0].array.dtype:
            raise InputError(f"The phases have different scalar types ({phases[0].array.dtype} and "
                             f"{phase.array.dtype}): convert them to one.")
    if len(phases) < 2:
        raise InputError("Interpolation needs at least two phases: give another.")
    for number, phase in enumerate(phases):
        if phase.synthetic:
            raise InputError(f"Phase {number} was computed, not measured, as its file says: give the acquired phases.")
        IntensityScale.of([phase], Fences()).check()
    fences = Fences.of(phases)
    for phase in phases:
        IntensityScale.of([phase], fences).check()
    return fences


def new_report(interpolator: Interpolator, settings: InterpolationSettings, fences: Fences) -> JobReport:
    """Return the report of a run that has not begun."""
    return {
        # The weights that were loaded, without the folders of a user's own file: they may name a person.
        "settings": {**settings.to_json(), "weights": interpolator.name},
        "weights": {"name": interpolator.name, "sha256": checksum(interpolator.path),
                    "date": interpolator.model.card.get("date")},
        "device": str(interpolator.device), "messages": [*interpolator.messages, *filter(None, [fences.message])],
        "seconds": {"adaptation": 0.0, "interpolation": 0.0},
        "adaptation": [], "frames": [], "not_for_clinical_use": True}
