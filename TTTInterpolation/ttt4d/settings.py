"""Every choice of a run, validated on construction, plain JSON both ways. Standard library only: Slicer imports it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Sequence, Tuple

from .errors import SettingsError
from .temporal.auxiliary import TASKS

SCHEMES = ("naive", "online", "mini-batch")
NO_ADAPTATION = "none"
DEFAULT_AUXILIARY = "agreement"

@dataclass(frozen=True)
class AdaptationSettings:
    """How the network trains itself on the patient before it interpolates (paper, section on deployment).

    auxiliary: the self-supervised task g, a name of `ttt4d.temporal.auxiliary.TASKS`, or `none` for the base weights'
    answer.
    scheme: `naive`, `online` or `mini-batch`; they differ only where there is more than one batch.
    iterations: gradient steps on each batch (naive: passes over all batches); None takes the task's own number.
    learning_rate: of those steps; None takes the task's own.
    """

    auxiliary: str = DEFAULT_AUXILIARY
    scheme: str = "online"
    iterations: Optional[int] = None
    learning_rate: Optional[float] = None

    def __post_init__(self) -> None:
        known = (NO_ADAPTATION, *TASKS)
        if self.auxiliary not in known:
            raise SettingsError(f"Unknown auxiliary task '{self.auxiliary}': choose one of {', '.join(known)}.")
        if self.scheme not in SCHEMES:
            raise SettingsError(f"Unknown scheme '{self.scheme}': choose one of {', '.join(SCHEMES)}.")
        if self.iterations is not None and not 1 <= _integer("iterations", self.iterations) <= 10000:
            raise SettingsError(f"iterations is {self.iterations}: choose a whole number from 1 to 10000.")
        if self.learning_rate is not None and not 0 < _number("learning_rate", self.learning_rate) <= 1:
            raise SettingsError(f"learning_rate is {self.learning_rate}: choose a number above 0, at most 1.")


@dataclass(frozen=True)
class InterpolationSettings:
    """One run.

    frames: new frames between each two neighbouring phases, evenly spaced in time.
    times: the times of the new frames instead, each strictly between 0 (first phase) and 1 (second phase).
    cyclic: in a sequence, also interpolate from the last phase back to the first.
    weights: the name of packaged ones, such as `cardiac`, or the path of a weights file.
    device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    canvas: longest edge of the network's grid in voxels, at most: what fits the device, which None takes, still holds.
    seed: of every random draw of the run.
    """

    frames: int = 9
    times: Tuple[float, ...] = ()
    cyclic: bool = False
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings)
    weights: str = "cardiac"
    device: str = "auto"
    canvas: Optional[int] = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= _integer("frames", self.frames) <= 1000:
            raise SettingsError(f"frames is {self.frames}: choose a whole number from 1 to 1000.")
        times = tuple(_number("times", t) for t in self.times)
        for t in times:
            if not 0 < t < 1:
                raise SettingsError(
                    f"Time {t:g} is not strictly between 0 and 1: 0 and 1 are the given phases themselves.")
        if any(b - a < 1e-3 for a, b in zip((0.0, *times), (*times, 1.0))):
            raise SettingsError("The times must rise, in steps of at least 0.001 all the way from 0 to 1: sort them "
                                "and drop doubles.")
        object.__setattr__(self, "times", times)
        if self.canvas is not None and not 16 <= _integer("canvas", self.canvas) <= 1024:
            raise SettingsError(f"canvas is {self.canvas}: choose a whole number of voxels from 16 to 1024.")
        if not 0 <= _integer("seed", self.seed) < 2**31:
            raise SettingsError(f"seed is {self.seed}: choose a whole number from 0 to 2147483647.")
        if not isinstance(self.cyclic, bool):
            raise SettingsError(f"cyclic is {self.cyclic!r}: choose true or false.")
        for name in ("weights", "device"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise SettingsError(f"{name} is {getattr(self, name)!r}: give a name.")

    @property
    def frame_times(self) -> Tuple[float, ...]:
        """The times of the new frames of one pair, rising, each strictly between 0 and 1."""
        return self.times or tuple(n / (self.frames + 1) for n in range(1, self.frames + 1))

    def frame_percents(self, phase_times: Sequence[float]) -> Tuple[float, ...]:
        """Return the position of every output frame, the phases included, as a percentage of the whole sequence.

        Parameters
        ----------
        phase_times : sequence of float
            When each phase was acquired, strictly increasing, in any unit.

        Returns
        -------
        tuple of float
            Strictly increasing from 0. It ends at 100, but not for a cycle: there 100 % is the first phase again, which
            is left out, and the unknown time from the last phase back to the first is the mean of the other intervals.

        Examples
        --------
        >>> InterpolationSettings(frames=1).frame_percents((0, 300, 400))
        (0.0, 37.5, 75.0, 87.5, 100.0)
        >>> InterpolationSettings(frames=1, cyclic=True).frame_percents((0, 400))
        (0.0, 25.0, 50.0, 75.0)
        """
        phase_times = list(phase_times)
        if self.cyclic:
            phase_times.append(phase_times[-1] + (phase_times[-1] - phase_times[0]) / (len(phase_times) - 1))
        first, whole = phase_times[0], phase_times[-1] - phase_times[0]
        percents = [100 * (start - first + time * (stop - start)) / whole
                    for start, stop in zip(phase_times, phase_times[1:]) for time in (0.0, *self.frame_times)]
        return tuple(percents if self.cyclic else [*percents, 100.0])

    def to_json(self) -> Dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Dict[str, Any]) -> "InterpolationSettings":
        """The settings of a JSON object; names left out take their defaults, unknown names raise `SettingsError`."""
        values = _known(cls, values)
        values["adaptation"] = AdaptationSettings(**_known(AdaptationSettings, values.get("adaptation", {})))
        times = values.get("times", ())
        if not isinstance(times, (list, tuple)):
            raise SettingsError(f"times is {times!r}: give a list of numbers between 0 and 1.")
        values["times"] = tuple(times)
        return cls(**values)


def _known(cls: type, values: Any) -> Dict[str, Any]:
    if not isinstance(values, dict):
        raise SettingsError(f"Settings must be a JSON object, not {type(values).__name__}.")
    names = [f.name for f in dataclasses.fields(cls)]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise SettingsError(f"Unknown setting '{unknown[0]}': the settings are {', '.join(names)}.")
    return dict(values)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(f"{name} is {value!r}: choose a whole number.")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SettingsError(f"{name} is {value!r}: choose a number.")
    return float(value)
