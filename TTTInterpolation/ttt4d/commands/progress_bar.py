"""A progress bar for the terminal."""

from __future__ import annotations

import sys
from typing import Any, Optional

from ..progress import Progress, ProgressCallback, Stopwatch


class ProgressBar:
    """Shows progress as a bar with stage and remaining time, on a terminal only.

    Parameters
    ----------
    file : file object, optional
        Where to draw; by default standard error.
    disable : bool, optional
        Whether to draw nothing; by default where `file` is no terminal.

    Examples
    --------
    >>> import io
    >>> with ProgressBar(io.StringIO()) as progress:
    ...     progress(Progress("reading", 0.5, "Half of it"))
    """

    def __init__(self, file: Any = None, disable: Optional[bool] = None) -> None:
        from tqdm import tqdm

        self._stopwatch = Stopwatch()
        nowhere = file is None and sys.stderr is None  # closed by who started us
        self._bar = tqdm(total=1.0, file=file, disable=nowhere or disable, leave=False, dynamic_ncols=True,
                         bar_format="{desc} {percentage:3.0f}%|{bar}|{postfix}")

    def __enter__(self) -> ProgressCallback:
        return self._show

    def __exit__(self, *error: Any) -> None:
        self._bar.close()

    def _show(self, progress: Progress) -> None:
        _, remaining = self._stopwatch(progress.fraction)
        self._bar.n = progress.fraction
        self._bar.set_description_str(f"{progress.stage}: {progress.message}", refresh=False)
        self._bar.set_postfix_str("" if remaining is None else f"about {remaining:.0f} s left", refresh=False)
        self._bar.refresh()
