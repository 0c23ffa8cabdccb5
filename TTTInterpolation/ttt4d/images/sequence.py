"""What a reader gives: the phases of one file or folder, in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

from .phase_times import strictly_increasing
from .volume import Volume


@dataclass(frozen=True)
class FrameTimes:
    """When the frames of a result are, in the unit of the input.

    Parameters
    ----------
    values : tuple of float
        One number a frame, strictly increasing.
    name, unit : str
        What the numbers count, as in `PhaseSequence`.
    """

    values: Tuple[float, ...]
    name: str
    unit: str


@dataclass(frozen=True)
class PhaseSequence:
    """The phases of one sequence, in order. A single volume is a sequence of one phase.

    Parameters
    ----------
    phases : tuple of Volume
        The phases, in order of time.
    index : tuple of float
        One number a phase, strictly increasing: when it was acquired, in `index_unit`. 0, 1, 2, ... where the file
        does not tell.
    index_name : str
        What the index counts, such as "phase" or "time"; "frame" where the file does not tell.
    index_unit : str
        Such as "%" or "ms"; "" where the file does not tell.
    messages : tuple of str
        What was assumed or changed while reading, a full sentence each, for the user and the report.
    is_label_map : bool
        Whether the file says that it is a label map.
    """

    phases: Tuple[Volume, ...]
    index: Tuple[float, ...]
    index_name: str = "frame"
    index_unit: str = ""
    messages: Tuple[str, ...] = ()
    is_label_map: bool = False

    @classmethod
    def counted(cls, phases: Sequence[Volume], messages: Sequence[str] = ()) -> PhaseSequence:
        """Return phases whose times nobody tells: they are counted from 0."""
        return cls(tuple(phases), tuple(float(number) for number in range(len(phases))), messages=tuple(messages))

    @classmethod
    def in_order(cls, file: str, phases: Sequence[Volume], times: Sequence[float], name: str, unit: str,
               messages: Sequence[str] = ()) -> PhaseSequence:
        """Return phases in order of their times.

        Parameters
        ----------
        file : str
            Name of the file or folder, in quotes, for messages.
        phases : sequence of Volume
            In any order.
        times : sequence of float
            One finite number a phase, in the order of `phases`.
        name, unit : str
            What the times count, as in `PhaseSequence`.
        messages : sequence of str
            What was assumed so far. It is added where phases change places, or where two of them have the same time,
            so that they are counted instead.
        """
        order = sorted(range(len(phases)), key=times.__getitem__)
        index = tuple(float(times[number]) for number in order)
        if not strictly_increasing(index):
            return cls.counted(phases, [*messages, f"Two phases in {file} have the same {name}: the phases are "
                                                   "counted in the order in which they are stored."])
        if order != list(range(len(phases))):
            messages = [*messages, f"The phases in {file} are not stored in the order of their {name}: they were "
                                   "sorted by it."]
        return cls(tuple(phases[number] for number in order), index, name, unit, tuple(messages))
