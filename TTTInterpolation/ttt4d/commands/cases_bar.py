"""How a cohort goes on: a line a case on standard output, and a bar with the remaining time on a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, Sequence

from ..cohort.results import SKIPPED, Row
from ..progress import Stopwatch


class CasesBar:
    """Shows the progress over many cases.

    Parameters
    ----------
    total : int
        How many cases.

    Examples
    --------
    >>> with CasesBar(2) as bar:
    ...     bar.show(Row("ann", "done", 11, 4.2))
    ...     bar.show(Row("bob", "failed", message="'ed.nrrd' is damaged."))
    [1/2] ann: done in 4.2 s
    [2/2] bob: failed 'ed.nrrd' is damaged.
    """

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self._total, self._ended, self._skipped = total, 0, 0
        self._stopwatch = Stopwatch()
        self._bar = tqdm(total=total, disable=sys.stderr is None or None, leave=False, dynamic_ncols=True,
                         bar_format="{n} of {total} cases |{bar}|{postfix}")

    def __enter__(self) -> CasesBar:
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.close()

    def show(self, row: Row) -> None:
        """Show that a case has ended."""
        self._ended += 1
        self._skipped += row.status == SKIPPED
        to_do = self._total - self._skipped
        _, remaining = self._stopwatch((self._ended - self._skipped) / to_do if to_do else 1.0)
        time = f" in {row.seconds:.1f} s" if row.seconds else ""
        self.say(f"[{self._ended}/{self._total}] {row.case}: {row.status}{time} {row.message}".rstrip())
        self._bar.set_postfix_str(f" about {duration(remaining)} left" if remaining is not None else "", refresh=False)
        self._bar.update()

    def say(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        self._bar.write(line, file=sys.stdout)
        if sys.stdout is not None:
            sys.stdout.flush()

    def end(self, rows: Sequence[Row]) -> None:
        """Print how many cases ended in which way."""
        counts = Counter(row.status for row in rows)
        self.say(f"{self._total} cases: {', '.join(f'{count} {status}' for status, count in counts.items())}. "
                 "Not for clinical use.")


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(50), duration(600), duration(9000)
    ('50 s', '10 min', '2.5 h')
    """
    return (f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000
            else f"{seconds / 3600:.1f} h")
