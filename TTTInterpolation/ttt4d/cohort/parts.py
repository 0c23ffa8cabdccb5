"""Parts of a cohort: which of the cases one of several computers takes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence, Tuple, TypeVar

from ..errors import SettingsError

T = TypeVar("T")

# Of each scheduler: the variables with the number of this task, the lowest and the highest number, and the step.
# PBS and Kubernetes do not say how many tasks there are.
SCHEDULERS = {
    "Slurm": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"),
    "SGE": ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"),
    "LSF": ("LSB_JOBINDEX", None, "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP"),
    "PBS": ("PBS_ARRAY_INDEX", None, None, None),
    "Torque": ("PBS_ARRAYID", None, None, None),
    "Kubernetes": ("JOB_COMPLETION_INDEX", None, None, None),
}


@dataclass(frozen=True)
class Part:
    """One part of several: every so many cases, so that parts of a sorted list take about as long.

    Parameters
    ----------
    number : int
        From 0 to `count` - 1.
    count : int
        How many parts there are.

    Examples
    --------
    >>> Part.parse("2/3").of("abcdefg")
    ['b', 'e']
    >>> Part.parse("auto", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "4"})
    Part(number=2, count=4)
    >>> Part.parse("auto/8", {"JOB_COMPLETION_INDEX": "0"})
    Part(number=0, count=8)
    """

    number: int
    count: int

    def of(self, cases: Sequence[T]) -> List[T]:
        """Return the cases of this part."""
        return list(cases[self.number::self.count])

    @classmethod
    def parse(cls, text: str, environment: Optional[Mapping[str, str]] = None) -> Part:
        """Return the part of `I/N`, or of `auto` or `auto/N` in a job array.

        Raises
        ------
        SettingsError
            The text is none of them, or this is no task of a job array.
        """
        found = re.fullmatch(r"(auto|\d+)(?:/(\d+))?", text)
        if not found or text.isdigit():
            raise SettingsError(f"The part '{text}' is not clear: give I/N, such as 2/8, or auto in a job array.")
        count = int(found.group(2) or 0)
        if found.group(1) != "auto":
            number = int(found.group(1)) - 1
            if not 0 <= number < count:
                raise SettingsError(f"There is no part {text}: the parts are numbered from 1 to {max(count, 1)}.")
            return cls(number, count)
        number, told = _of_array(os.environ if environment is None else environment)
        if not (count or told):
            raise SettingsError("This scheduler does not say how many tasks its array has: give --part auto/N.")
        # With N from the user, arrays that count from 0 and those that count from 1 are both served.
        return cls(number % (count or told), count or told)


def _of_array(environment: Mapping[str, str]) -> Tuple[int, int]:
    """Return the number of this task of an array, from 0 where the lowest is known, and the count; 0 if unknown."""
    for index, low, high, step in SCHEDULERS.values():
        number = environment.get(index, "")
        if not number.isdigit() or (index == "LSB_JOBINDEX" and number == "0"):  # "undefined" and 0: not in an array
            continue
        last = environment.get(high, "") if high else ""
        if not last.isdigit():
            return int(number), 0
        first, width = int(environment.get(low or "", 1)), int(environment.get(step or "", 1))
        return (int(number) - first) // width, (int(last) - first) // width + 1
    raise SettingsError("This is no task of a job array (Slurm, SGE, PBS, LSF, Kubernetes): give --part I/N.")
