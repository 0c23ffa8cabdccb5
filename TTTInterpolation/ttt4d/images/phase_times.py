"""When the phases were acquired: numbers of any unit that rise strictly. Standard library only: Slicer imports it."""

from __future__ import annotations

import math
from typing import Iterable, Sequence, Tuple


def strictly_increasing(numbers: Sequence[float], least: float = 0.0) -> bool:
    """Whether each of the numbers, all finite, is more than `least` above the one before.

    >>> strictly_increasing((0, 1, 5)), strictly_increasing((0, 1, 1)), strictly_increasing((0, 1, 5), least=2)
    (True, False, False)
    """
    return all(map(math.isfinite, numbers)) and all(b - a > least for a, b in zip(numbers, numbers[1:]))


def parse_increasing(words: Iterable[str]) -> Tuple[float, ...]:
    """The numbers that the words of an index stand for, where all are numbers and rise; else none.

    >>> parse_increasing(("0", "10", "12.5")), parse_increasing(("ED", "ES")), parse_increasing(("0", "nan"))
    ((0.0, 10.0, 12.5), (), ())
    """
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:  # such as the names of the phases
        return ()
    return numbers if strictly_increasing(numbers) else ()
