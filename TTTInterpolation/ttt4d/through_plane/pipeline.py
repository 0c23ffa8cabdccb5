"""The way of the data, top to bottom.

    slices and their positions  ->  robust intensity scale  ->  stack
      ->  adaptation: scheme x auxiliary task over the stacks, only f learns
      ->  classical interpolation + residual of the views, at the positions asked for, tile by tile
      ->  original intensities and type; in `gap` the acquired slices as they were
"""

from __future__ import annotations

import copy
import os
import time as clock
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import devices
from ..adaptation.schemes import LOOPS, Adaptation
from ..errors import InputError
from ..progress import CancelCheck, Progress, ProgressCallback, ignore, never, stop_if
from ..settings import NO_ADAPTATION
from ..weights import checksum, locate
from . import models
from .auxiliary.slice_task import LEAST_SLICES
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
        """Raises WeightsError or DeviceError when either cannot be used."""
        self.messages: List[str] = []
        self.device = devices.choose(device, self.messages)
        self.name, self.path = os.path.basename(weights), locate(weights)
        self.model = models.load(weights)
        devices.keep_freed_memory()

    def run(self, request: SliceRequest, settings: SliceSettings = SliceSettings(),
            progress: ProgressCallback = ignore, cancelled: CancelCheck = never) -> SliceResult:
        """Fill in the slices of one volume.

        Raises InputError for a volume that cannot be filled in, Cancelled when asked to stop.
        """
        return next(self.run_all([request], settings, progress, cancelled))

    def run_all(self, requests: Sequence[SliceRequest], settings: SliceSettings = SliceSettings(),
                progress: ProgressCallback = ignore, cancelled: CancelCheck = never) -> Iterator[SliceResult]:
        """Fill in the slices of several volumes, one result each, in order; the scheme tells how they share what they
        learn. A sequence in time is such a cohort under the scheme `naive`.
        """
        for request in requests:
            request.check()
        run = _Run(self, requests, settings, progress, cancelled)
        for number, network in enumerate(run.adapted_networks()):
            yield run.filled(number, network)


class _Run:
    """What the steps of one run share."""

    def __init__(self, interpolator: SliceInterpolator, requests: Sequence[SliceRequest], settings: SliceSettings,
                 progress: ProgressCallback, cancelled: CancelCheck) -> None:
        self.interpolator, self.requests, self.settings = interpolator, requests, settings
        self.progress, self.cancelled = progress, cancelled
        self.scales = [RobustScale.of(torch.from_numpy(np.asarray(r.array, np.float32))) for r in requests]
        self.messages = list(interpolator.messages)
        self.adaptation_seconds, self.steps, self.total = 0.0, 0, 0
        self.done = {"adaptation": 0.0, "interpolation": 0.0}
        self.adaptation: Dict[int, Dict[str, Any]] = {}

    def stack(self, number: int) -> SliceStack:
        """One volume as the network sees it."""
        request, device = self.requests[number], self.interpolator.device
        slices = self.scales[number].to_unit(torch.from_numpy(np.asarray(request.array, np.float32))).to(device)
        steps = torch.from_numpy(np.diff(request.positions).astype(np.float32)).to(device)
        spacing = float(steps.mean())
        thickness = (self.settings.thickness or spacing) if self.settings.slices == THICK else 0.0
        target = float(np.diff(request.wanted).mean()) if len(request.wanted) > 1 else spacing / 2
        return SliceStack(slices, steps, request.pixels, thickness, target)

    # -- adaptation ------------------------------------------------------------------------------------------------

    def adapted_networks(self) -> Iterator[nn.Module]:
        """The network for each volume in turn, adapted as the settings say."""
        chosen = self.settings.adaptation
        model, device = self.interpolator.model, self.interpolator.device
        if chosen.auxiliary != NO_ADAPTATION and min(len(r.array) for r in self.requests) < LEAST_SLICES:
            self.messages.append(f"Fewer than {LEAST_SLICES} slices: no adaptation could be checked, so none was made.")
        elif chosen.auxiliary != NO_ADAPTATION:
            adaptation = Adaptation.of(model, chosen, device, self.settings.seed, self._on_step)
            self.total = adaptation.iterations * len(self.requests)
            schedule = LOOPS[chosen.scheme](adaptation, [self.stack(n) for n in range(len(self.requests))])
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
        """The result of one volume."""
        began = clock.monotonic()
        request, stack, numbers = self.requests[number], self.stack(number), self.requests[number].numbers

        def on_tile(fraction: float) -> None:
            done = (number + fraction) / len(self.requests)
            self._report(done, "interpolation", f"Volume {number + 1} of {len(self.requests)}", {"volume": number})

        unit = interpolate(network, stack, torch.from_numpy(numbers).float(), on_tile=on_tile)
        array = self._native(unit, number)
        acquired = () if stack.thickness else tuple(int(n) for n in np.flatnonzero(numbers == np.rint(numbers)))
        for n in acquired:
            array[n] = request.array[int(numbers[n])]
        return SliceResult(array, acquired, self._summary(number, clock.monotonic() - began))

    def _native(self, unit: Tensor, number: int) -> np.ndarray:
        """Intensities of the file, in its type. Nothing is darker than the darkest acquired voxel; in `gap` nothing is
        brighter than the brightest either, while a thick slice may have hidden a brighter structure.
        """
        source, scale = self.requests[number].array, self.scales[number]
        thick = self.settings.slices == THICK
        high = float(np.finfo(np.float32).max) if thick else float(source.max())
        if np.issubdtype(source.dtype, np.integer):
            high = min(high, float(np.iinfo(source.dtype).max))
        result = np.empty(unit.shape, dtype=source.dtype)
        for n, plane in enumerate(unit):
            values = scale.from_unit(plane).cpu().numpy().astype(np.float64).clip(float(source.min()), high)
            result[n] = np.rint(values) if np.issubdtype(source.dtype, np.integer) else values
        return result

    def _summary(self, number: int, seconds: float) -> Dict[str, Any]:
        interpolator = self.interpolator
        return {"weights": {"name": interpolator.name, "sha256": checksum(interpolator.path),
                            "date": interpolator.model.card.get("date")},
                "device": str(interpolator.device), "messages": self.messages,
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
