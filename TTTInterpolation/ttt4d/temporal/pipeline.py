"""The way of the data, top to bottom.

    phases  ->  common grid, one scale  ->  canvas (network grid, [0, 1])
      ->  adaptation: scheme x auxiliary task over the batches, only f and g learn
      ->  estimate for each time on the canvas: motion, confidence, residual
      ->  native resolution: fields brought back, original voxels warped once, blended, refined
      ->  original intensities, type and geometry  ->  frames, one at a time
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import time as clock
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch

from .. import devices
from ..adaptation.schemes import LOOPS, Adaptation
from ..errors import GeometryError, InputError
from ..images.intensity import IntensityScale
from ..images.volume import Volume
from ..motion import warping
from ..progress import CancelCheck, Progress, ProgressCallback, ignore, never, stop_if
from ..settings import NO_ADAPTATION, InterpolationSettings
from ..weights import checksum, locate
from . import models
from .canvas import Canvas
from .memory import CPU_VOXELS, canvas_voxels
from .network.interpolator import Estimate
from .phase_pair import PhasePair

# How often a canvas that does not fit a device is made half as large before the device is given up.
HALVINGS = 3
# Times estimated in one batch.
AT_ONCE = 3


@dataclass(frozen=True)
class Frame:
    """One volume of the result.

    array: (k, j, i) on the first phase's grid, in its scalar type and units; index: percent of the whole;
    pair, time: which pair of phases and when in it, 0 to 1; acquired: whether it is a given phase, unchanged.
    displacement: (k, j, i, 3) voxels (components k, j, i), from this frame's grid to the very first phase, through the
    phases between; None unless asked for.
    """

    array: np.ndarray
    index: float
    pair: int
    time: float
    acquired: bool
    displacement: Optional[np.ndarray] = None


@dataclass(frozen=True)
class InterpolationResult:
    """frames: an iterator, each made when asked for; index: percent of the whole of each of them;
    report: what was done, complete when the frames are exhausted.
    """

    frames: Iterator[Frame]
    index: Tuple[float, ...]
    report: Dict[str, Any]


class Interpolator:
    """Base weights on a device: give it the phases of one patient, get the frames between them.

    >>> import numpy as np
    >>> from ttt4d.volume import Geometry, Volume
    >>> grid = Geometry((4, 24, 24), (8.0, 1.5, 1.5))
    >>> pair = [Volume(np.random.default_rng(n).integers(0, 400, grid.shape).astype(np.int16), grid) for n in (0, 1)]
    >>> settings = InterpolationSettings.from_json({"frames": 1, "adaptation": {"auxiliary": "none"}})
    >>> [frame.acquired for frame in Interpolator(device="cpu").run(pair, settings).frames]
    [True, False, True]
    """

    def __init__(self, weights: str = "cardiac", device: str = "auto") -> None:
        """Raises WeightsError or DeviceError when either cannot be used."""
        self.messages: List[str] = []
        self.device = devices.choose(device, self.messages)
        self.name, self.path = os.path.basename(weights), locate(weights)
        self.model = models.load(weights)

    def run(self, phases: Sequence[Volume], settings: InterpolationSettings, progress: ProgressCallback = ignore,
            cancelled: CancelCheck = never, displacements: bool = False,
            phase_times: Sequence[float] = ()) -> InterpolationResult:
        """Frames between each two neighbouring phases, the phases themselves among them, in order of time.

        phases: two or more on one grid; their last is followed by their first if the settings say cyclic.
        settings: their `weights` and `device` are those this object was made with, whatever they say.
        phase_times: when each phase was acquired, in rising numbers of any unit; evenly where nothing is given.
        Raises GeometryError when the grids differ (`ttt4d.images.resampling.resample_to` brings them together),
        InputError when the scalar types differ, a phase is missing, was itself computed or has no scale, Cancelled when
        asked to stop.
        """
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
                raise InputError(f"Phase {number} was computed, not measured, as its file says: give the acquired "
                                 "phases.")
            IntensityScale.of([phase]).check()
        run = _Run(self, list(phases), settings, progress, cancelled, displacements, phase_times or range(len(phases)))
        return InterpolationResult(run.frames(), run.index, run.report)


def _together(times: Tuple[float, ...]) -> List[Tuple[float, ...]]:
    """The times in groups to estimate at once, which bounds memory; never one alone where there are more."""
    groups = -(-len(times) // AT_ONCE)
    return [tuple(group.tolist()) for group in np.array_split(np.array(times), groups)] if times else []


class _Run:
    """One run: what its steps share. A run that does not fit its device starts again on a smaller canvas, then on the
    CPU.
    """

    def __init__(self, interpolator: Interpolator, phases: List[Volume], settings: InterpolationSettings,
                 progress: ProgressCallback, cancelled: CancelCheck, displacements: bool,
                 phase_times: Sequence[float]) -> None:
        self.model, self.device = interpolator.model, interpolator.device
        self.phases, self.settings, self.progress, self.cancelled = phases, settings, progress, cancelled
        # The displacement of the phase that the finished pairs have led to; None is the first phase itself.
        self.displacements, self.reached = displacements, None
        self.times = settings.frame_times
        self.pairs = list(zip(phases, phases[1:] + (phases[:1] if settings.cyclic else [])))
        self.index = settings.index(phase_times)
        self.count = len(self.index)
        self.dtype = IntensityScale.of(phases).dtype
        self.voxels = canvas_voxels(self.device, phases[0].array.size)
        self.halvings = HALVINGS
        self.adapted = 0.0
        self.seconds = {"adaptation": 0.0, "interpolation": 0.0}
        self.made = 0
        self.report: Dict[str, Any] = {
            # The weights that were loaded, without the folders of a user's own file: they may name a person.
            "settings": {**settings.to_json(), "weights": interpolator.name},
            "weights": {"name": interpolator.name, "sha256": checksum(interpolator.path),
                        "date": self.model.card.get("date")},
            "device": str(self.device), "messages": list(interpolator.messages), "seconds": self.seconds,
            "adaptation": [], "frames": [], "not_for_clinical_use": True}

    def frames(self) -> Iterator[Frame]:
        """Every frame in order of time."""
        pair = 0
        while pair < len(self.pairs):
            try:
                for adapted, batch in self._adapted_pairs(pair):
                    pair = adapted
                    yield from self._pair_frames(pair, batch)
                pair += 1
            except (RuntimeError, MemoryError) as error:
                # Only what was not yet handed out is made again: `self.made` counts the frames the user has.
                if not devices.is_out_of_memory(error) or not self._smaller():
                    raise
        if not self.settings.cyclic:
            yield self._frame(self.phases[-1].array, len(self.pairs) - 1, 1.0, True, self.reached)

    # -- adaptation ------------------------------------------------------------------------------------------------

    def _adapted_pairs(self, first: int) -> Iterator[Tuple[int, PhasePair]]:
        """Pairs from `first`, on the canvas; when one is yielded the network holds the weights adapted for it."""
        chosen = self.settings.adaptation
        levels = len(self.model.network.settings.features)
        self.canvas = Canvas.fit(self.phases[0].geometry, levels, self.voxels, self.settings.canvas)
        self.report.update(canvas=list(self.canvas.padded), device=str(self.device))
        if chosen.auxiliary == NO_ADAPTATION:
            self.network = copy.deepcopy(self.model.network).to(self.device)
            yield from itertools.islice(enumerate(self._batches()), first, None)
            return
        done = 0

        def on_step(number: int, iteration: int, loss: float) -> None:
            nonlocal done
            done += 1
            # A run that starts again on a smaller canvas has been further.
            self.adapted = max(self.adapted, done / (adaptation.iterations * len(self.pairs)))
            self._tell("adaptation", f"Adapting to the patient, {iteration} of {adaptation.iterations}",
                       {"batch": number, "iteration": iteration, "iterations": adaptation.iterations, "loss": loss})
            stop_if(self.cancelled)

        adaptation = Adaptation.of(self.model, chosen, self.device, self.settings.seed, on_step)
        self.network = adaptation.network
        batches = list(self._batches())
        loop = LOOPS[chosen.scheme](adaptation, batches)
        for pair, batch in enumerate(batches):
            began = clock.monotonic()
            next(loop)
            self.seconds["adaptation"] += clock.monotonic() - began
            self.report["adaptation"] = [
                {"batch": n, "losses": adaptation.losses[n], "held_out_loss": list(adaptation.held_out_losses[n]),
                 "kept": kept}
                for n, kept in sorted(adaptation.accepted.items())]
            if pair >= first:
                yield pair, batch

    def _batches(self) -> Iterator[PhasePair]:
        """The pairs on the canvas; a phase that ends one and begins the next goes there once."""
        after = self._on_canvas(self.phases[0])
        for _, phase1 in self.pairs:
            before, after = after, self._on_canvas(phase1)
            yield PhasePair(torch.cat([before, after]), self.canvas.strides)

    def _on_canvas(self, phase: Volume) -> torch.Tensor:
        stop_if(self.cancelled)
        return self.canvas.scaled_phase(IntensityScale.of([phase]).to_unit(phase.array)).to(self.device)

    # -- interpolation ---------------------------------------------------------------------------------------------

    def _pair_frames(self, pair: int, batch: PhasePair) -> Iterator[Frame]:
        phase0, phase1 = self.pairs[pair]
        already = self.made - pair * (len(self.times) + 1)
        if already <= 0:
            yield self._frame(phase0.array, pair, 0.0, True, self.reached)
            already = 1
        scale = IntensityScale.of([phase0, phase1])
        native0, native1 = (scale.to_unit(phase.array).to(self.device) for phase in (phase0, phase1))
        residual_scale = self._residual_scale(scale, phase0, phase1)
        led_on = None
        if self.reached is not None:
            led_on = torch.from_numpy(self.reached).permute(3, 0, 1, 2)[None].to(self.device)
        with torch.no_grad(), self._precision():
            features = self.network.features(batch.phases, self.canvas.strides)
        for times in _together(self.times[already - 1:]):
            began = clock.monotonic()
            estimate = self._estimate(batch, features, times)
            self.seconds["interpolation"] += clock.monotonic() - began
            for n, time in enumerate(times):
                stop_if(self.cancelled)
                began = clock.monotonic()
                one = estimate.item(n)
                one = dataclasses.replace(one, residual=one.residual * residual_scale(time))
                array, displacement = self._at_native_resolution(one, native0, native1, scale, led_on)
                self.seconds["interpolation"] += clock.monotonic() - began
                yield self._frame(array, pair, time, False, displacement)
        leads_on = not self.settings.cyclic or pair < len(self.pairs) - 1  # a cycle ends where it began
        if self.displacements and leads_on:
            end = self._estimate(batch, features, (1.0,)).item(0)
            self.reached = self._at_native_resolution(end, native0, native1, scale, led_on)[1]

    @torch.no_grad()
    def _estimate(self, batch: PhasePair, features: List[torch.Tensor], times: Tuple[float, ...]) -> Estimate:
        # A time alone goes twice: a batch of one falls to a slow 3D convolution on the CPU.
        time = torch.tensor(times if len(times) > 1 else times * 2, device=self.device)

        def for_each(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.expand(len(time), -1, -1, -1, -1)

        with self._precision():
            return self.network.estimate(for_each(batch.phases[:1]), for_each(batch.phases[1:]),
                                         [for_each(f[:1]) for f in features], [for_each(f[1:]) for f in features], time)

    def _precision(self) -> torch.autocast:
        return devices.mixed_precision(self.device, self.canvas.padded)

    @torch.no_grad()
    def _at_native_resolution(self, estimate: Estimate, native0: torch.Tensor, native1: torch.Tensor,
                              scale: IntensityScale, led_on: Optional[torch.Tensor]
                              ) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """A frame, and its displacement to the first phase if asked for.

        led_on: the displacement (1, 3, k, j, i) of the pair's phase 0; None where that is the first phase.
        """
        array = np.empty(self.canvas.native, dtype=self.dtype)
        displacement = np.empty((*self.canvas.native, 3), dtype=np.float32) if self.displacements else None
        for slab, frame, to0 in self.canvas.restore(estimate, native0, native1):
            array[slab] = scale.from_unit(frame)
            if displacement is not None:
                if led_on is not None:
                    index = warping.identity(to0.shape[1:], to0) + to0
                    index[:, 0] += slab.start
                    to0 = to0 + warping.sample(led_on, index)[0]
                displacement[slab] = to0.permute(1, 2, 3, 0).cpu().numpy()
            stop_if(self.cancelled)
        return array, displacement

    @staticmethod
    def _residual_scale(scale: IntensityScale, phase0: Volume, phase1: Volume):
        """From the canvas's intensities, each phase scaled by its own range, to the pair's one scale, at a time."""
        own = [IntensityScale.of([phase]) for phase in (phase0, phase1)]
        ratio = [(s.high - s.low) / (scale.high - scale.low) for s in own]
        return lambda time: (1 - time) * ratio[0] + time * ratio[1]

    # -- both ------------------------------------------------------------------------------------------------------

    def _frame(self, array: np.ndarray, pair: int, time: float, acquired: bool,
               displacement: Optional[np.ndarray]) -> Frame:
        if displacement is None and self.displacements:
            displacement = np.zeros((*array.shape, 3), dtype=np.float32)
        index = self.index[self.made]
        self.made += 1
        self.report["frames"].append({"index": index, "pair": pair, "time": time, "acquired": acquired})
        self._tell("interpolation", f"Frame {self.made} of {self.count}", {"frame": self.made, "frames": self.count})
        return Frame(array, index, pair, time, acquired, displacement)

    def _tell(self, stage: str, message: str, metrics: Dict[str, float]) -> None:
        """The fraction is split half and half between the stages; without adaptation all of it is interpolation."""
        share = 0.0 if self.settings.adaptation.auxiliary == NO_ADAPTATION else 0.5
        fraction = share * self.adapted + (1 - share) * self.made / self.count
        self.progress(Progress(stage, min(fraction, 1.0), message, metrics))

    def _smaller(self) -> bool:
        """Make the canvas half as large, a few times, then go to the CPU; False when there is nothing left to try."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.halvings:
            self.halvings -= 1
            self.voxels = min(self.voxels, int(np.prod(self.canvas.padded))) // 2
            self.report["messages"].append(
                f"The {self.device.type.upper()}'s memory is full: going on with a canvas of {self.voxels} voxels.")
            return True
        if self.device.type != "cpu":
            self.report["messages"].append(
                f"The {self.device.type.upper()}'s memory is too small: going on with the CPU.")
            self.device = torch.device("cpu")
            self.voxels = CPU_VOXELS
            self.halvings = HALVINGS
            return True
        return False
