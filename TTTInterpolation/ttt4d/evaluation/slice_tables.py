"""The table that `ttt4d evaluate --axis slices` prints, as Markdown: a row for each method and group of volumes."""

from __future__ import annotations

import math
import statistics
from typing import Iterable, List, Sequence

from .slice_protocol import SliceFigures
from .tables import table


def markdown(figures: Sequence[SliceFigures]) -> str:
    """Write the figures as a table for each problem; a cell is the mean of a group and its standard error."""
    lines: List[str] = []
    for problem in dict.fromkeys(row.problem for row in figures):
        rows = [row for row in figures if row.problem == problem]
        lines += [f"{problem}; gains are over the best of linear, pchip, B-spline and Lanczos. "
                  "Mean +- standard error.", "", *table(HEADER, list(_rows(rows))), ""]
    return "\n".join(lines)


HEADER = ["volumes", "number", "method", "PSNR (dB)", "gain (dB)", "PSNR in the body (dB)", "SSIM", "gain", "seconds"]


COLUMNS = (("psnr", ".2f"), ("gain", "+.2f"), ("psnr_body", ".2f"), ("ssim", ".4f"), ("gain_ssim", "+.4f"),
           ("seconds", ".1f"))


def _rows(figures: Sequence[SliceFigures]) -> Iterable[List[str]]:
    for group in dict.fromkeys(row.group for row in figures):
        for method in dict.fromkeys(row.method for row in figures):
            rows = [row for row in figures if (row.group, row.method) == (group, method)]
            yield [group, str(len(rows)), method,
                   *(_mean([getattr(row, name) for row in rows], text) for name, text in COLUMNS)]


def _mean(values: Sequence[float], text: str) -> str:
    if any(math.isnan(value) for value in values):
        return "-"
    mean = f"{statistics.fmean(values):{text}}"
    if len(values) == 1:
        return mean
    return f"{mean} +- {statistics.stdev(values) / math.sqrt(len(values)):{text.lstrip('+')}}"
