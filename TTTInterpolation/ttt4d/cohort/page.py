"""The page of a cohort: an HTML file with a picture of each case, those first that need a look. No library needed."""

from __future__ import annotations

import html
import os
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Iterator, List, Sequence
from urllib.parse import quote

from ..images.output_paths import staged, writing
from ..report import NOTICE
from .results import FAILED
from .summary import Entry

PAGE = "summary.html"
# A case that took this many times as long as half of the others is worth a look.
SLOW = 3.0

STYLE = """\
body { font: 14px sans-serif; margin: 1.5em; background: #16181d; color: #ddd }
section { border-top: 1px solid #444; padding: .6em 0 }
h2 { font-size: 1em; margin: 0 0 .3em }
img { max-width: 100%; display: block; margin: .4em 0 }
p { margin: .15em 0 } .look { color: #fb3 } .failed { color: #f66 } .times { color: #999 }
"""


@dataclass(frozen=True)
class Looked:
    """One case with what should be looked at."""

    entry: Entry
    remarks: List[str]

    @property
    def order(self) -> tuple:
        """Failed cases first, then those with the most remarks."""
        return self.entry.row.status != FAILED, -len(self.remarks)


def write_page(entries: Sequence[Entry], folder: str) -> str:
    """Write `summary.html`, whole or not at all, and return its path.

    Parameters
    ----------
    entries : sequence of Entry
        The cases, as `rows_of_results` gives them.
    folder : str
        The folder of results, in which the pictures lie too.
    """
    path = os.path.join(folder, PAGE)
    with staged(path) as temporary, writing(path):
        with open(str(temporary), "w", encoding="utf-8") as file:
            file.writelines(_lines(entries, folder))
    return path


def _lines(entries: Sequence[Entry], folder: str) -> Iterator[str]:
    counts = Counter(entry.row.status for entry in entries)
    title = f"{len(entries)} cases: {', '.join(f'{count} {status}' for status, count in sorted(counts.items()))}"
    yield (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
           f"<style>\n{STYLE}</style></head>\n<body><h1>{title}</h1>\n<p>{html.escape(NOTICE)}</p>\n")
    typical = median([entry.row.seconds for entry in entries if entry.report] or [0.0])
    pictures = {name for name in os.listdir(folder) if name.endswith(".png")}
    for looked in sorted((Looked(entry, _remarks(entry, typical)) for entry in entries), key=lambda each: each.order):
        yield _section(looked, pictures)
    yield "</body></html>\n"


def _remarks(entry: Entry, typical: float) -> List[str]:
    """Return what is worth a look: errors, assumptions, adaptations that were undone, unusual times."""
    if entry.report is None:
        return [entry.row.message]
    found = list(entry.report["messages"])
    batches = [batch.get("kept", batch.get("accepted", True)) for batch in entry.report.get("adaptation", [])]
    if not all(batches):
        found.append(f"The adaptation was undone for {batches.count(False)} of {len(batches)} batches.")
    if typical and entry.row.seconds > SLOW * typical:
        found.append(f"It took {entry.row.seconds / typical:.1f} times as long as half of the cases.")
    return found


def _section(looked: Looked, pictures: set) -> str:
    row, report = looked.entry.row, looked.entry.report
    name = html.escape(row.case)
    kind = "failed" if row.status == FAILED else "look"
    words = "".join(f'<p class="{kind}">{html.escape(remark)}</p>' for remark in looked.remarks)
    picture = ""
    if report is not None and f"{row.case}.png" in pictures:
        picture = f'<img loading="lazy" src="{quote(row.case)}.png" alt="{name}">'
    times = ""
    if report is not None:
        stages = ", ".join(f"{html.escape(stage)} {seconds:.1f}" for stage, seconds in report["seconds"].items())
        times = f'<p class="times">{row.frames} frames in {row.seconds:.1f} s ({stages})</p>'
    return f"<section><h2>{name}: {row.status}</h2>{words}{picture}{times}</section>\n"
