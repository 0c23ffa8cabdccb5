"""`ttt4d batch --slurm`: the cohort as a job array, waited for, and the summary of what has come of it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Callable, List, Sequence

from ..cohort import slurm
from ..cohort.cases import Case
from ..cohort.results import Plan
from . import summary
from .exit_status import EXIT_INTERRUPTED, EXIT_OK

# How often an array is submitted for cases of tasks that were cancelled or lost.
ATTEMPTS = 3


def run_on_slurm(arguments: argparse.Namespace, run: Callable[[argparse.Namespace], int], cases: Sequence[Case],
                 plan: Plan) -> int:
    """Submit what is due, wait for it, submit again what tasks have left undone, and make the summary.

    Parameters
    ----------
    arguments : argparse.Namespace
        The arguments of `ttt4d batch`.
    run : callable
        Runs `ttt4d batch` with such arguments.
    cases : sequence of Case
        All cases.
    plan : Plan
        What is made of them.
    """
    options = slurm.SlurmOptions.parse(arguments.slurm)
    for case in _due(cases, plan):
        plan.forget_failure(case)
    for _ in range(ATTEMPTS):
        due = _due(cases, plan)
        if not due:
            break
        array = slurm.submit(_tasks(arguments, run, options.count(len(due))), plan.folder, options, arguments.jobs)
        try:
            print(f"Slurm array {array}: {options.count(len(due))} tasks for {len(due)} cases, logs in "
                  f"{slurm.log_folder(plan.folder)}", flush=True)
            if not options.wait:
                print(f"When it is done, `ttt4d summary {plan.folder}` makes the summary.")
                return EXIT_OK
            slurm.wait(array)
        except KeyboardInterrupt:
            slurm.cancel(array)
            print(f"Interrupted: array {array} is cancelled; the same command goes on from what is done.",
                  file=sys.stderr)
            return EXIT_INTERRUPTED
    for case in _due(cases, plan):
        plan.note_lost(case, "No task of the array has computed this case: see the logs in "
                       f"{slurm.log_folder(plan.folder)}.")
    return summary.run(arguments)


def _due(cases: Sequence[Case], plan: Plan) -> List[Case]:
    """Return the cases that have neither a valid result nor a row that says why not."""
    done = plan.done(cases)
    return [case for case in cases if case.name not in done and not os.path.exists(plan.files(case).failure)]


def _tasks(arguments: argparse.Namespace, run: Callable[[argparse.Namespace], int], count: int) -> List[slurm.Task]:
    return [slurm.Task(run, argparse.Namespace(**{**vars(arguments), "slurm": None, "part": f"{number}/{count}"}))
            for number in range(1, count + 1)]
