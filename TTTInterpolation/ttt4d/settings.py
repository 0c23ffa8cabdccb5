"""Every choice of a run: one list, validated on construction, plain JSON both ways, the source of user interfaces.

A new option is one field made with `option`, in the class it belongs to. The command line, its help and the checks
follow from the field. Standard library only: 3D Slicer imports this file.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from .errors import SettingsError
from .temporal.auxiliary import TASKS

SCHEMES = ("naive", "online", "mini-batch")
NO_ADAPTATION = "none"
DEFAULT_AUXILIARY = "agreement"

_S = TypeVar("_S", bound="SettingsBase")


def option(default: Any, help: str, *, flags: Sequence[str] = (), metavar: Optional[str] = None, group: str = "",
           least: Optional[float] = None, most: Optional[float] = None, above: Optional[float] = None,
           choices: Sequence[str] = (), choice: str = "") -> Any:
    """Return a field of a settings class, with what user interfaces and checks must know of it.

    Parameters
    ----------
    default : object
        Taken where the user does not choose; None leaves the choice to the program.
    help : str
        One line for `--help`. The default is added to it where there is one.
    flags : sequence of str
        Names on the command line; by default `--` and the name of the field.
    metavar : str, optional
        Stands for the value in `--help`.
    group : str
        Title of the group in `--help`; options that share a title with a trailing "|" exclude each other.
    least, most, above : float, optional
        Limits of a number: at least, at most, more than.
    choices : sequence of str
        The names that can be chosen.
    choice : str
        What such a name is called in messages.
    """
    return field(default=default, metadata={
        "help": help, "flags": tuple(flags), "metavar": metavar, "group": group, "least": least, "most": most,
        "above": above, "choices": tuple(choices), "choice": choice})


def auxiliary_option(default: str, tasks: Iterable[str]) -> Any:
    """Return the field of the auxiliary task of an axis that has some tasks."""
    names = tuple(tasks)
    return option(default, f"what the network trains itself on: {', '.join(names)}, or {NO_ADAPTATION} for the base "
                  "weights' answer", metavar="TASK", choices=(NO_ADAPTATION, *names), choice="auxiliary task")


class SettingsBase:
    """What all settings classes share: checks by field, and JSON both ways."""

    def __post_init__(self) -> None:
        kinds = types_of(type(self))
        for found in dataclasses.fields(typing.cast(Any, self)):
            value = _checked(found.name, getattr(self, found.name), kinds[found.name], found.metadata)
            object.__setattr__(self, found.name, value)

    def to_json(self) -> Dict[str, Any]:
        """Return the settings as plain data."""
        return dataclasses.asdict(typing.cast(Any, self))

    @classmethod
    def from_json(cls: Type[_S], values: Any) -> _S:
        """Return the settings of a JSON object.

        Parameters
        ----------
        values : dict
            Names left out take their defaults.

        Raises
        ------
        SettingsError
            A name is unknown, or a value is not allowed.
        """
        if not isinstance(values, dict):
            raise SettingsError(f"Settings must be a JSON object, not {type(values).__name__}.")
        kinds = types_of(cls)
        unknown = sorted(set(values) - set(kinds))
        if unknown:
            raise SettingsError(f"Unknown setting '{unknown[0]}': the settings are {', '.join(kinds)}.")
        return cls(**{name: kinds[name].from_json(value) if is_settings(kinds[name]) else value
                      for name, value in values.items()})


def types_of(cls: type) -> Dict[str, Any]:
    """Return the type of every field of a settings class, by name."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def is_settings(kind: Any) -> bool:
    """Whether the type of a field is itself a settings class."""
    return isinstance(kind, type) and issubclass(kind, SettingsBase)


@dataclass(frozen=True)
class AdaptationSettings(SettingsBase):
    """How the network adapts to the patient before it interpolates.

    Parameters
    ----------
    auxiliary : str
        The self-supervised task g: a name of `ttt4d.temporal.auxiliary.TASKS`, or "none" for the base weights.
    scheme : str
        "naive", "online" or "mini-batch". They differ only where there is more than one pair of phases.
    iterations : int, optional
        Gradient steps on each pair ("naive": passes over all pairs). None takes the number of the weights for this
        task, or the task's own.
    learning_rate : float, optional
        Learning rate of these steps. None takes that of the weights for this task, or the task's own.

    Raises
    ------
    SettingsError
        A value is not allowed.

    References
    ----------
    .. [1] "Test Time Training for 4D Medical Image Interpolation", arXiv:2502.02341: the section on deployment.
    """

    auxiliary: str = auxiliary_option(DEFAULT_AUXILIARY, TASKS)
    scheme: str = option("online", f"for sequences: {', '.join(SCHEMES)}", metavar="NAME", choices=SCHEMES,
                         choice="scheme")
    iterations: Optional[int] = option(None, "gradient steps (default: those of the weights, or the task's own)",
                                       metavar="N", least=1, most=10000)
    learning_rate: Optional[float] = option(None, "of the steps (default: that of the weights, or the task's own)",
                                            metavar="X", above=0, most=1)


ADAPTATION = "adaptation to the patient"
MACHINE = "the machine"


@dataclass(frozen=True)
class InterpolationSettings(SettingsBase):
    """The settings of one run.

    Parameters
    ----------
    frames : int
        New frames between each two neighbouring phases, evenly spaced in time.
    times : tuple of float
        The times of the new frames instead, each between 0 (first phase) and 1 (second phase), strictly increasing.
    cyclic : bool
        Whether the last phase of a sequence is followed by its first.
    adaptation : AdaptationSettings
        How the network adapts to the patient.
    weights : str
        Name of packaged weights, such as "cardiac", or path of a weights file.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    canvas : int, optional
        Longest edge of the network's grid, in voxels. None takes what fits the device, which is the limit anyway.
    seed : int
        Seed of every random draw of the run.

    Raises
    ------
    SettingsError
        A value is not allowed.

    Examples
    --------
    >>> InterpolationSettings(frames=3).frame_times
    (0.25, 0.5, 0.75)
    """

    frames: int = option(9, "new frames between each two phases, evenly spaced in time",
                         flags=("--frames", "--frames-between"), metavar="N", group="|", least=1, most=1000)
    times: Tuple[float, ...] = option(
        (), "times of the new frames instead: 0 is the first phase of each two, 1 the second", metavar="T", group="|")
    cyclic: bool = option(False, "also go from the last phase back to the first")
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings, metadata={"group": ADAPTATION})
    weights: str = option("cardiac", "base weights: a name that `ttt4d info` lists, or a file", metavar="NAME|FILE",
                          group=ADAPTATION)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps", group=MACHINE)
    canvas: Optional[int] = option(
        None, "longest edge of the grid the motion is found on, a few voxels more where its pyramid needs them; the "
        "device's own limit still holds (default: what fits the device)", metavar="VOXELS", group=MACHINE, least=16,
        most=1024)
    seed: int = option(0, "of every random draw", metavar="N", group=MACHINE, least=0, most=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for time in self.times:
            if not 0 < time < 1:
                raise SettingsError(
                    f"Time {time:g} is not strictly between 0 and 1: 0 and 1 are the given phases themselves.")
        if any(b - a < 1e-3 for a, b in zip((0.0, *self.times), (*self.times, 1.0))):
            raise SettingsError("The times must rise, in steps of at least 0.001 all the way from 0 to 1: sort them "
                                "and drop doubles.")

    @property
    def frame_times(self) -> Tuple[float, ...]:
        """The times of the new frames of one pair, strictly increasing, each between 0 and 1."""
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
        times = self._with_return(phase_times)
        first, whole = times[0], times[-1] - times[0]
        percents = [100 * (start - first + time * (stop - start)) / whole
                    for start, stop in zip(times, times[1:]) for time in (0.0, *self.frame_times)]
        return tuple(percents if self.cyclic else [*percents, 100.0])

    def acquisition_times(self, phase_times: Sequence[float]) -> Tuple[float, ...]:
        """Return the time of every output frame, the phases included, in the unit of `phase_times`.

        >>> InterpolationSettings(frames=1).acquisition_times((0, 300, 400))
        (0.0, 150.0, 300.0, 350.0, 400.0)
        """
        times = self._with_return(phase_times)
        found = [start + time * (stop - start)
                 for start, stop in zip(times, times[1:]) for time in (0.0, *self.frame_times)]
        return tuple(found if self.cyclic else [*found, float(times[-1])])

    def _with_return(self, phase_times: Sequence[float]) -> List[float]:
        """Return the times of the phases; for a cycle, also of the first phase's return."""
        times = list(phase_times)
        return [*times, times[-1] + (times[-1] - times[0]) / (len(times) - 1)] if self.cyclic else times


def _checked(name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Any:
    """Return the value of a field in its type, or raise SettingsError."""
    if typing.get_origin(kind) is Union:  # Optional: None leaves the choice to the program
        if value is None:
            return value
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if limits.get("choices"):
        if value not in limits["choices"]:
            raise SettingsError(f"Unknown {limits['choice']} '{value}': choose one of {', '.join(limits['choices'])}.")
    elif kind in (int, float):
        return _checked_number(name, value, kind, limits)
    elif kind is bool:
        if not isinstance(value, bool):
            raise SettingsError(f"{name} is {value!r}: choose true or false.")
    elif kind is str:
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{name} is {value!r}: give a name.")
    elif typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise SettingsError(f"{name} is {value!r}: give a list of numbers between 0 and 1.")
        return tuple(_checked_number(name, entry, float, limits) for entry in value)
    return value


def _checked_number(name: str, value: Any, kind: type, limits: Mapping[str, Any]) -> Any:
    what = "a whole number" if kind is int else "a number"
    least, most, above = limits.get("least"), limits.get("most"), limits.get("above")
    bounds = f" from {least} to {most}" if least is not None and most is not None else ""
    if above is not None:
        bounds = f" above {above}" + (f", at most {most}" if most is not None else "")
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int) or (
            not math.isfinite(value)):
        raise SettingsError(f"{name} is {value!r}: choose {what}{bounds}.")
    if (least is not None and value < least) or (most is not None and value > most) or (
            above is not None and value <= above):
        raise SettingsError(f"{name} is {value}: choose {what}{bounds}.")
    return kind(value)
