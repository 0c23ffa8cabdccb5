"""Fill in the slices of volumes, top to bottom as the data flow.

slices and their positions  ->  robust intensity scale  ->  stack
  ->  adaptation: scheme x auxiliary task over the stacks, only f learns
  ->  classical interpolation + residual of the views, at the positions asked for, tile by tile
  ->  in `thick`: data consistency, seen through the slice profile the result is what was acquired
  ->  original intensities and type; in `gap` the acquired slices as they were
"""

from __future__ import annotations

import copy
import dataclasses
import os
import time as clock
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import devices
from ..adaptation.schemes import LOOPS, Adaptation
from ..errors import InputError
from ..progress import CancelCheck, Progress, ProgressCallback, ignore, never, stop_if
from ..report import WeightsReport
from ..settings import NO_ADAPTATION
from ..weights import checksum, locate
from . import models
from .auxiliary.slice_task import LEAST_SLICES
from .data_consistency import made_consistent
from .inference import interpolate
from .scale import RobustScale
from .settings import THICK, SliceSettings
from .stack import SliceStack

# Part of the slice spacing within which a position asked for is that of an acquired slice.
SAME_POSITION = 1e-3


@dataclass(frozen=True)
class SliceRequest:
    """The slices of one volume, and the positions of the slices looked for.

    Parameters
    ----------
    array : ndarray of shape (k, j, i), any real type
    positions : ndarray of shape (k,)
        Positions of the slice centres along their normal, mm, strictly increasing.
    pixels : (row, column) spacing, mm
    wanted : ndarray of shape (n,)
        Positions of the slices looked for, mm, increasing, within those of the first and last slice.

    Examples
    --------
    >>> request = SliceRequest.by_factor(np.zeros((3, 8, 8), np.int16), 4.0, (1.0, 1.0), 2)
    >>> request.wanted.tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """

    array: np.ndarray
    positions: np.ndarray
    pixels: Tuple[float, float]
    wanted: np.ndarray

    @classmethod
    def by_factor(cls, array: np.ndarray, spacing: float, pixels: Tuple[float, float], factor: float
                  ) -> "SliceRequest":
        """Evenly spaced slices, brought `factor` times as close; the first and, if they meet it, the last one stay."""
        positions = np.arange(len(array)) * spacing
        count = int(np.floor((len(array) - 1) * factor + 1e-6)) + 1
        return cls(array, positions, pixels, np.minimum(np.arange(count) * spacing / factor, positions[-1]))

    def check(self) -> None:
        """Raise InputError where there is nothing to interpolate between, or intensities have no scale."""
        if self.array.ndim != 3 or len(self.array) < 2:
            raise InputError("Slices can only be filled in between two or more slices: give a volume that has them.")
        if len(self.positions) != len(self.array) or not (np.diff(self.positions) > 0).all():
            raise InputError("The slice positions must rise, one for each slice: check the volume's geometry.")
        if np.issubdtype(self.array.dtype, np.floating) and not np.isfinite(self.array).all():
            raise InputError("The volume holds values that are not finite: replace them first.")
        if self.array.min() == self.array.max():
            raise InputError("The volume is constant: give an image with contrast.")

    @property
    def numbers(self) -> np.ndarray:
        """The positions looked for as real slice numbers; those of acquired slices are exactly whole."""
        numbers = np.interp(self.wanted, self.positions, np.arange(len(self.positions)))
        nearest = np.rint(numbers)
        return np.where(np.abs(numbers - nearest) < SAME_POSITION, nearest, numbers)

    @property
    def acquired(self) -> Tuple[int, ...]:
        """Numbers of the slices looked for that lie where an acquired one does."""
        return tuple(int(n) for n in np.flatnonzero(self.numbers == np.rint(self.numbers)))


@dataclass(frozen=True)
class SliceResult:
    """The slices looked for.

    Parameters
    ----------
    array : ndarray of shape (n, j, i), in the type and units of the input
    acquired : numbers of the result's slices that are acquired ones, bit for bit; empty for `thick`
    report : what was done: settings, weights, device, messages, seconds, adaptation
    """

    array: np.ndarray
    acquired: Tuple[int, ...]
    report: Dict[str, Any]


class SliceInterpolator:
    """Base weights on a device: give it the slices of a volume, get the slices between them.

    Examples
    --------
    >>> from ttt4d.through_plane.settings import SliceAdaptationSettings
    >>> slices = np.random.default_rng(0).integers(0, 400, (4, 16, 16)).astype(np.int16)
    >>> settings = SliceSettings(adaptation=SliceAdaptationSettings("none"))
    >>> request = SliceRequest.by_factor(slices, 4.0, (1.0, 1.0), 3)
    >>> result = SliceInterpolator(device="cpu").run(request, settings)
    >>> result.array.shape, result.acquired
    ((10, 16, 16), (0, 3, 6, 9))
    """

    def __init__(self, weights: str = "slices", device: str = "auto") -> None:
        """Load the weights onto the device; WeightsError or DeviceError when either cannot be used."""
        self.messages: List[str] = []
        self.device = devices.choose(device, self.messages)
        self.name, self.path = os.path.basename(weights), locate(weights)
        self.model = models.load(weights)
        devices.keep_freed_memory()

    @property
    def weights(self) -> WeightsReport:
        """The base weights, as a report names them."""
        return {"name": self.name, "sha256": checksum(self.path), "date": self.model.card.get("date")}

    def run(self, request: SliceRequest, settings: SliceSettings = SliceSettings(),
            progress: ProgressCallback = ignore, cancelled: CancelCheck = never) -> SliceResult:
        """Fill in the slices of one volume.

        Raises InputError for a volume that cannot be filled in, Cancelled when asked to stop.
        """
        return next(self.run_all([request], settings, progress, cancelled))

    def batches(self, requests: Sequence[SliceRequest], settings: SliceSettings) -> List[SliceStack]:
        """Return volumes as the batches of an adaptation; those of too few slices are left out."""
        for request in requests:
            request.check()
        run = _Run(self, requests, settings, ignore, never)
        return [run.stack(request)[0] for request in requests if len(request.array) >= LEAST_SLICES]

    def run_all(self, requests: Sequence[SliceRequest], settings: SliceSettings = SliceSettings(),
                progress: ProgressCallback = ignore, cancelled: CancelCheck = never) -> Iterator[SliceResult]:
        """Fill in the slices of several volumes, one result each, in order.

        The scheme tells how they share what they learn. A sequence in time is such a cohort under the scheme `naive`.
        """
        for request in requests:
            request.check()
        run = _Run(self, requests, settings, progress, cancelled)
        for number, network in enumerate(run.adapted_networks()):
            yield run.filled(number, network)

    def adapt(self, requests: Sequence[SliceRequest], settings: SliceSettings = SliceSettings(),
              progress: ProgressCallback = ignore, cancelled: CancelCheck = never) -> "AdaptedSlices":
        """Adapt once to all of several volumes (the scheme `naive`), to fill in others of the same kind."""
        for request in requests:
            request.check()
        adaptation = dataclasses.replace(settings.adaptation, scheme="naive")
        return AdaptedSlices(_Run(self, requests, dataclasses.replace(settings, adaptation=adaptation), progress,
                                  cancelled))


class AdaptedSlices:
    """Weights adapted once to some volumes: give them the slices of others, such as the frames between these volumes.

    Parameters
    ----------
    run : _Run
        The adaptation, made when this object is.

    Attributes
    ----------
    report : dict
        As that of a `SliceResult`; its `adaptation` is a list, one entry for each volume.
    """

    def __init__(self, run: "_Run") -> None:
        self._run, self._network = run, next(run.adapted_networks())
        steps = [{"batch": number, **found} for number, found in sorted(run.adaptation.items())]
        self.report = {**run.summary(0, 0.0), "adaptation": steps}

    def fill(self, request: SliceRequest) -> np.ndarray:
        """Return the slices looked for (n, j, i)."""
        return self._run.fill(request, self._network, lambda fraction: stop_if(self._run.cancelled))[0]


class _Run:
    """What the steps of one run share."""

    def __init__(self, interpolator: SliceInterpolator, requests: Sequence[SliceRequest], settings: SliceSettings,
                 progress: ProgressCallback, cancelled: CancelCheck) -> None:
        self.interpolator, self.requests, self.settings = interpolator, requests, settings
        self.progress, self.cancelled = progress, cancelled
        self.messages = list(interpolator.messages)
        self.adaptation_seconds, self.steps, self.total = 0.0, 0, 0
        self.done = {"adaptation": 0.0, "interpolation": 0.0}
        self.adaptation: Dict[int, Dict[str, Any]] = {}

    def stack(self, request: SliceRequest) -> Tuple[SliceStack, RobustScale]:
        """Return one volume as the network sees it, and the scale of its intensities."""
        device, slices = self.interpolator.device, torch.from_numpy(np.asarray(request.array, np.float32))
        scale = RobustScale.of(slices)
        steps = torch.from_numpy(np.diff(request.positions).astype(np.float32)).to(device)
        spacing = float(steps.mean())
        thickness = (self.settings.thickness or spacing) if self.settings.slices == THICK else 0.0
        target = float(np.diff(request.wanted).mean()) if len(request.wanted) > 1 else spacing / 2
        return SliceStack(scale.to_unit(slices).to(device), steps, request.pixels, thickness, target), scale

    # -- adaptation ------------------------------------------------------------------------------------------------

    def adapted_networks(self) -> Iterator[nn.Module]:
        """Yield the network for each volume in turn, adapted as the settings say."""
        chosen = self.settings.adaptation
        model, device = self.interpolator.model, self.interpolator.device
        if chosen.auxiliary != NO_ADAPTATION and min(len(r.array) for r in self.requests) < LEAST_SLICES:
            self.messages.append(f"Fewer than {LEAST_SLICES} slices: no adaptation could be checked, so none was made.")
        elif chosen.auxiliary != NO_ADAPTATION:
            adaptation = Adaptation.of(model, chosen, device, self.settings.seed, self._on_step)
            self.total = adaptation.iterations * len(self.requests)
            schedule = LOOPS[chosen.scheme](adaptation, [self.stack(request)[0] for request in self.requests])
            for _ in self.requests:
                began = clock.monotonic()
                next(schedule)
                self.adaptation_seconds += clock.monotonic() - began
                self.adaptation = {n: {"losses": adaptation.losses[n], "kept": kept,
                                       "held_out_loss": list(adaptation.held_out_losses[n])}
                                   for n, kept in adaptation.accepted.items()}
                yield adaptation.network
            return
        for _ in self.requests:
            yield copy.deepcopy(model.network).to(device)

    def _on_step(self, number: int, iteration: int, loss: float) -> None:
        self.steps += 1
        message = f"Adapting to the patient, step {self.steps} of {self.total}"
        self._report(self.steps / self.total, "adaptation", message,
                     {"volume": number, "iteration": iteration, "loss": loss})

    # -- interpolation ---------------------------------------------------------------------------------------------

    def filled(self, number: int, network: Any) -> SliceResult:
        """Return the result of one volume."""
        began = clock.monotonic()

        def on_tile(fraction: float) -> None:
            done = (number + fraction) / len(self.requests)
            self._report(done, "interpolation", f"Volume {number + 1} of {len(self.requests)}", {"volume": number})

        array, acquired = self.fill(self.requests[number], network, on_tile)
        return SliceResult(array, acquired, self.summary(number, clock.monotonic() - began))

    def fill(self, request: SliceRequest, network: Any, on_tile: Callable[[float], None]
             ) -> Tuple[np.ndarray, Tuple[int, ...]]:
        """Return the slices looked for, and the numbers of those that are acquired ones."""
        (stack, scale), positions = self.stack(request), torch.from_numpy(request.numbers).float()
        acquired = () if stack.thickness else request.acquired
        new = np.setdiff1d(np.arange(len(positions)), acquired)
        unit = interpolate(network, stack, positions[new], on_tile=on_tile)
        if stack.thickness:
            unit = made_consistent(unit, stack, positions)
        array = np.empty((len(positions), *request.array.shape[1:]), request.array.dtype)
        array[new] = self._native(unit, request.array, scale)
        for n in acquired:
            array[n] = request.array[int(positions[n])]
        return array, acquired

    def _native(self, unit: Tensor, source: np.ndarray, scale: RobustScale) -> np.ndarray:
        """Return intensities of the file, in its type.

        Nothing is darker than the darkest acquired voxel. In `gap` nothing is brighter than the brightest either, while
        a thick slice may have hidden a brighter structure.
        """
        thick = self.settings.slices == THICK
        high = float(np.finfo(np.float32).max) if thick else float(source.max())
        if np.issubdtype(source.dtype, np.integer):
            high = min(high, float(np.iinfo(source.dtype).max))
        result = np.empty(unit.shape, dtype=source.dtype)
        for n, plane in enumerate(unit):
            values = scale.from_unit(plane).cpu().numpy().astype(np.float64).clip(float(source.min()), high)
            result[n] = np.rint(values) if np.issubdtype(source.dtype, np.integer) else values
        return result

    def summary(self, number: int, seconds: float) -> Dict[str, Any]:
        """Return the report of one volume, whose slices took some seconds to compute."""
        interpolator = self.interpolator
        return {"weights": interpolator.weights, "device": str(interpolator.device), "messages": self.messages,
                "seconds": {"adaptation": self.adaptation_seconds, "interpolation": seconds},
                "adaptation": self.adaptation.get(number, {}), "not_for_clinical_use": True}

    # -- both ------------------------------------------------------------------------------------------------------

    def _report(self, fraction: float, stage: str, message: str, metrics: Dict[str, float]) -> None:
        """Without adaptation all of a run is interpolation; else the two count half and half."""
        stop_if(self.cancelled)
        self.done[stage] = fraction
        share = 0.5 if self.total else 0.0
        whole = share * self.done["adaptation"] + (1 - share) * self.done["interpolation"]
        self.progress(Progress(stage, min(whole, 1.0), message, metrics))
