"""Every choice of a run, validated on construction, plain JSON both ways. Standard library only: Slicer imports it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from .auxiliary import TASKS
from .errors import SettingsError

SCHEMES = ("naive", "online", "mini-batch")
NO_ADAPTATION = "none"
DEFAULT_AUXILIARY = "agreement"

# What a run takes, measured (peak of the process or of the GPU): the program itself, each voxel of the native pair, and
# each voxel of the canvas while the network trains.
BASE_MIB = 700
NATIVE_BYTES = 40
CANVAS_BYTES = 2600


@dataclass(frozen=True)
class AdaptationSettings:
    """How the network trains itself on the patient before it interpolates (paper, section on deployment).

    auxiliary: the self-supervised task g, a name of `ttt4d.auxiliary.TASKS`, or `none` for the base weights' answer.
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


def rises(numbers: Sequence[float], least: float = 0.0) -> bool:
    """Whether each of the numbers, all finite, is more than `least` above the one before.

    >>> rises((0, 1, 5)), rises((0, 1, 1)), rises((0, 1, 5), least=2)
    (True, False, False)
    """
    return all(map(math.isfinite, numbers)) and all(b - a > least for a, b in zip(numbers, numbers[1:]))


def rising(words: Iterable[str]) -> Tuple[float, ...]:
    """The numbers that the words of an index stand for, where all are numbers and rise; else none.

    >>> rising(("0", "10", "12.5")), rising(("ED", "ES")), rising(("0", "nan"))
    ((0.0, 10.0, 12.5), (), ())
    """
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:  # such as the names of the phases
        return ()
    return numbers if rises(numbers) else ()


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

    def index(self, moments: Sequence[float]) -> Tuple[float, ...]:
        """Percent of the whole of every frame between phases at these moments (rising, of any unit), the phases among
        them.

        A cycle ends before it begins again; its way back, of which nobody tells, takes the mean of the other steps.
        """
        moments = list(moments)
        if self.cyclic:
            moments.append(moments[-1] + (moments[-1] - moments[0]) / (len(moments) - 1))
        first, whole = moments[0], moments[-1] - moments[0]
        index = [100 * (start - first + time * (stop - start)) / whole
                 for start, stop in zip(moments, moments[1:]) for time in (0.0, *self.frame_times)]
        return tuple(index if self.cyclic else [*index, 100.0])

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


# The largest canvas: a CPU stays within seconds a frame; a GPU takes what its memory holds, up to about a cube of 192.
CPU_VOXELS = 1_000_000
GPU_VOXELS = 7_000_000


def estimated_memory_mib(native_voxels: int, canvas_voxels: int) -> float:
    """Peak memory of a run in MiB, for volumes of `native_voxels` and a canvas of `canvas_voxels` voxels; an estimate.
    """
    return BASE_MIB + (native_voxels * NATIVE_BYTES + canvas_voxels * CANVAS_BYTES) / 2**20


def canvas_voxels_within(mib: float, native_voxels: int) -> int:
    """The largest canvas whose run is estimated to stay within `mib`; at least a cube of 16."""
    return max(16**3, int(((mib - BASE_MIB) * 2**20 - native_voxels * NATIVE_BYTES) / CANVAS_BYTES))


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
