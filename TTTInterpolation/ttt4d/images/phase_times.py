"""Times of the phases: strictly increasing numbers in any unit. Standard library only, because Slicer imports it."""

from __future__ import annotations

import math
import re
from typing import Iterable, List, Optional, Sequence, Tuple

# A decimal number, or a run of digits. A hyphen is a minus sign only where no letter or digit stands before it, and
# three groups of digits (a date, a UID) are no decimal number.
_NUMBER = re.compile(r"((?:(?<![0-9a-z])-)?(?:(?<![\d.])\d+\.\d+(?!\.?\d)|\d+))", re.IGNORECASE)
_UNITS = {"%": "%", "pct": "%", "percent": "%", "ms": "ms", "msec": "ms", "s": "s", "sec": "s"}


def strictly_increasing(numbers: Sequence[float], least: float = 0.0) -> bool:
    """Return whether each number is finite and more than `least` above the one before.

    Examples
    --------
    >>> strictly_increasing((0, 1, 5)), strictly_increasing((0, 1, 1)), strictly_increasing((0, 1, 5), least=2)
    (True, False, False)
    """
    return all(map(math.isfinite, numbers)) and all(b - a > least for a, b in zip(numbers, numbers[1:]))


def parse_numbers(words: Iterable[str]) -> Tuple[float, ...]:
    """Return the numbers that strings stand for; none where one of them is not a finite number.

    Examples
    --------
    >>> parse_numbers(("0", "10", "12.5")), parse_numbers(("ED", "ES")), parse_numbers(("0", "nan"))
    ((0.0, 10.0, 12.5), (), ())
    """
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:  # such as the names of the phases
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def parse_increasing(words: Iterable[str]) -> Tuple[float, ...]:
    """Return the numbers that strings stand for; none unless all are numbers and strictly increasing.

    Examples
    --------
    >>> parse_increasing(("0", "10", "12.5")), parse_increasing(("5", "2"))
    ((0.0, 10.0, 12.5), ())
    """
    numbers = parse_numbers(words)
    return numbers if strictly_increasing(numbers) else ()


def natural_key(name: str) -> Tuple[List[tuple], str]:
    """Return a sort key that orders names by the numbers in them.

    Decimal numbers and minus signs count, leading zeros do not. Case is ignored.

    Examples
    --------
    >>> sorted(["phase10", "phase2", "phase02b"], key=natural_key)
    ['phase2', 'phase02b', 'phase10']
    >>> sorted(["t_0.5s", "t_-1s", "t_0.25s"], key=natural_key)
    ['t_-1s', 't_0.25s', 't_0.5s']
    """
    parts = _NUMBER.split(name.lower())
    return [(0, float(part), "") if place % 2 else (1, 0.0, part) for place, part in enumerate(parts) if part], name


def times_in_names(names: Sequence[str]) -> Optional[Tuple[Tuple[float, ...], str]]:
    """Return the numbers by which names differ, and their unit; None where they differ in anything else.

    Parameters
    ----------
    names : sequence of str
        Names without folder and suffix, in natural order.

    Returns
    -------
    tuple of (tuple of float, str) or None
        The numbers, strictly increasing, and the unit that follows them: "%", "ms", "s", or "" for any other text.

    Examples
    --------
    >>> times_in_names(["gate_0pct", "gate_12.5pct", "gate_50pct"])
    ((0.0, 12.5, 50.0), '%')
    >>> times_in_names(["ED", "ES"])
    """
    rows = [_NUMBER.split(name.lower()) for name in names]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return None
    differing = [place for place, parts in enumerate(zip(*rows))
                 if len({float(part) if place % 2 else part for part in parts}) > 1]
    if len(differing) != 1 or differing[0] % 2 == 0:
        return None
    place = differing[0]
    numbers = tuple(float(row[place]) for row in rows)
    unit = re.match(r"[ _]?([a-z]+|%)", rows[0][place + 1])
    return (numbers, _UNITS.get(unit.group(1), "") if unit else "") if strictly_increasing(numbers) else None
