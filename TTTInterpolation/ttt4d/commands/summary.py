"""The summary of a folder of results: `summary.csv` and the page `summary.html`, made from the reports.

  ttt4d summary RESULTS

Wherever and however the cases were computed, the table has a row for each: those with a report are done, those whose
process noted an error have failed. The page shows a picture, the times and the messages of each case; those that need a
look come first. It loads nothing but the pictures beside it.
"""

from __future__ import annotations

import argparse

from ..cohort.page import write_page
from ..cohort.results import FAILED
from ..cohort.summary import rows_of_results, write_table
from .exit_status import EXIT_CASES_FAILED, EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("results", metavar="RESULTS", help="a folder that `ttt4d batch` has filled")


def run(arguments: argparse.Namespace) -> int:
    """Write table and page, and return the exit status."""
    rows = rows_of_results(arguments.results)
    table = write_table([entry.row for entry in rows], arguments.results)
    page = write_page(rows, arguments.results)
    failed = sum(entry.row.status == FAILED for entry in rows)
    print(f"{len(rows)} cases, {failed} of them failed: {table}, {page}. Not for clinical use.")
    return EXIT_CASES_FAILED if failed else EXIT_OK
