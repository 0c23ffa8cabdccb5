"""Many cases from one command, on one computer or on several that share the folder of results.

  ttt4d batch CASES RESULTS --frames 9 --jobs 4
  ttt4d batch CASES RESULTS --factor 4 --part 2/8
  ttt4d batch CASES RESULTS --frames 9 --slices-factor 4

With --factor or --spacing, slices are filled in; else frames are interpolated, and with --slices-factor the slices of
each frame are filled in too. All other settings are those of `ttt4d interpolate` or `ttt4d slices`, with their
defaults.

CASES is a folder, a .csv table or a BIDS tree.
  In a folder, each 4D image is a case, and so is each subfolder: with two images it is a pair, with more a sequence, in
  the order of the numbers in their names; with one image it is that 4D file. A folder with one DICOM series counts as
  an image. For slices, each image or subfolder is a volume or a sequence of volumes.
  A table has one row for each case, and the columns `case`, `phase0` and `phase1`, or `case` and `sequence` (or
  `volume`). Paths may be relative to the table.
  In a BIDS tree (sub-*/ses-*/...), each session is read like a subfolder; for slices, each image is a case.
RESULTS gets the result, the report and a picture of each case, `summary.csv`, and the page `summary.html`. A case is
skipped if its result is there already, made of the same images with the same settings and weights. If a case fails,
this is noted and the next one is begun. The same command again goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import os
import sys
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ..cohort.cases import Case, find_cases
from ..cohort.page import write_page
from ..cohort.parts import Part
from ..cohort.results import FAILED, Plan, Row, clear_state
from ..cohort.schemes import MINI_BATCH, NAIVE, StreamPlan, learn_naive, naive_plan
from ..cohort.summary import Summary, rows_of_results
from ..cohort.workers import computed, in_worker
from ..errors import SettingsError
from ..images.output_paths import writing
from ..settings import NO_ADAPTATION, InterpolationSettings, is_settings, types_of
from ..through_plane.settings import SliceRunSettings
from .batch_on_slurm import run_on_slurm
from .exit_status import EXIT_CASES_FAILED, EXIT_INTERRUPTED, EXIT_OK
from .settings_arguments import add_settings, add_slices_factor, settings_of, slices_of_frames


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("cases", metavar="CASES", help="a folder, a .csv table or a BIDS tree")
    parser.add_argument("results", metavar="RESULTS", help="a folder, made if it is not there")
    parser.add_argument("--participant-label", nargs="+", default=[], metavar="LABEL",
                        help="of a BIDS tree, only these subjects, with or without sub-")
    parser.add_argument("--dry-run", action="store_true", help="list the cases and what is done already, and end")
    work = parser.add_argument_group("distribution")
    work.add_argument("--jobs", type=int, default=1, metavar="N",
                      help="so many cases at a time on this computer, which share its threads (default: 1)")
    where = work.add_mutually_exclusive_group()
    where.add_argument("--part", metavar="I/N|auto",
                       help="only the I-th of N parts; auto (or auto/N) takes both from a job array of Slurm, SGE, "
                       "PBS, LSF or Kubernetes")
    where.add_argument("--slurm", nargs="*", metavar="KEY=VALUE",
                       help="submit an array of parts to Slurm, wait for it, and make the summary; tasks=N parts, "
                       "wait=no, and options of sbatch, such as partition=gpu time=60 mem=8GB")
    add_settings(parser)
    add_slices_factor(parser.add_argument_group("new slices too"))
    slices = parser.add_argument_group("slices between slices, instead of frames")
    add_settings(slices, SliceRunSettings, without=_names(InterpolationSettings))


def run(arguments: argparse.Namespace) -> int:
    """Compute the cases and return the exit status."""
    settings, slices = _settings(arguments)
    if arguments.jobs < 1:
        raise SettingsError(f"--jobs is {arguments.jobs}: give 1 or more.")
    part = Part.parse(arguments.part) if arguments.part else Part(0, 1)
    everyone = find_cases(arguments.cases, arguments.results, arguments.participant_label,
                          isinstance(settings, SliceRunSettings))
    base = Plan.of(arguments.results, settings, slices)
    plan, cases = _scheme_plan(arguments, base, everyone), part.of(everyone)
    done = plan.done(cases)
    if arguments.dry_run:
        for case in cases:
            print(f"{case.name}: {'done' if case.name in done else 'to compute'}")
        print(f"{len(cases)} cases: {len(done)} done, {len(cases) - len(done)} to compute")
        return EXIT_OK
    with writing(arguments.results):
        os.makedirs(arguments.results, exist_ok=True)
    for case in cases:
        if case.name in done:  # it may have failed since, with other settings
            plan.forget_failure(case)
    if arguments.slurm is not None:
        return run_on_slurm(arguments, run, cases, plan)
    try:
        if _over_cohort(arguments, NAIVE) and len(done) < len(cases):
            in_worker(learn_naive, everyone, base)
        rows = _run(cases, plan, done, arguments.jobs, part)
        if part.count == 1:
            write_page(rows_of_results(arguments.results), arguments.results)
    except KeyboardInterrupt:
        print("Interrupted: what is done is whole, and the same command goes on from there.", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        clear_state(arguments.results)
    if part.count > 1:
        print(f"When all parts are done, `ttt4d summary {arguments.results}` makes the summary.")
    return EXIT_CASES_FAILED if any(row.status == FAILED for row in rows) else EXIT_OK


def _run(cases: Sequence[Case], plan: Plan, done: Dict[str, Row], jobs: int, part: Part) -> List[Row]:
    """Compute what is not done, say how each case ended, and keep the summary."""
    from .cases_bar import CasesBar

    due = [case for case in cases if case.name not in done]
    with CasesBar(len(cases)) as bar, Summary(plan.folder, cases, bar.say, table=part.count == 1) as summary, \
            contextlib.closing(computed(due, plan, jobs)) as ended:  # the workers are gone before anything is cleared
        for row in itertools.chain(done.values(), ended):
            bar.show(row)
            summary.add(row)
    bar.end(summary.rows)
    return summary.rows


def _over_cohort(arguments: argparse.Namespace, scheme: str) -> bool:
    """Return whether a scheme was chosen whose batches are the patients."""
    return bool(arguments.scheme == scheme and arguments.auxiliary != NO_ADAPTATION)


def _scheme_plan(arguments: argparse.Namespace, base: Plan, cases: Sequence[Case]) -> Plan:
    """Return what is made of each case under the scheme that was chosen."""
    if _over_cohort(arguments, NAIVE):
        return naive_plan(cases, base)
    if not _over_cohort(arguments, MINI_BATCH):
        return base
    if arguments.jobs > 1 or arguments.part or arguments.slurm is not None:
        raise SettingsError("mini-batch goes on from case to case: leave --jobs, --part and --slurm out.")
    return StreamPlan.over(cases, base)


def _settings(arguments: argparse.Namespace) -> Tuple[Any, Optional[SliceRunSettings]]:
    """Return the settings of the axis that the arguments are for, and those of the slices of frames."""
    frames, slices = _names(InterpolationSettings), _names(SliceRunSettings)
    if arguments.factor is not None or arguments.spacing is not None:
        _refuse(arguments, [*(set(frames) - set(slices)), "slices_factor"], "frames, not for slices: leave it out")
        return settings_of(arguments, SliceRunSettings), None
    _refuse(arguments, set(slices) - {*frames, "slices"}, "slices: give --factor or --spacing with it")
    return settings_of(arguments), slices_of_frames(arguments)


def _refuse(arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    for name in sorted(names):
        if getattr(arguments, name) is not None:
            raise SettingsError(f"--{name.replace('_', '-')} is for {why}.")


def _names(settings: type) -> List[str]:
    """Return the names of all fields of a settings class, and of those within it."""
    kinds = types_of(settings)
    return [name for found in dataclasses.fields(settings)
            for name in (_names(kinds[found.name]) if is_settings(kinds[found.name]) else [found.name])]
