"""One case, in a worker: claimed, computed in a folder of its own, and put in place whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time as clock
import traceback
from functools import lru_cache
from typing import Any, List, Optional, Tuple

from ..commands.exit_status import EXIT_INTERNAL_ERROR, failure
from ..commands.job import BaseJob, Job
from ..commands.request import Request
from ..commands.slices_job import SlicesJob
from ..commands.slices_request import SlicesRequest
from ..errors import InputError
from ..images.output_paths import writing
from ..progress import ignore, never
from ..settings import InterpolationSettings
from ..through_plane.settings import SliceRunSettings
from .cases import Case
from .claims import claimed, is_held_here
from .results import DONE, FAILED, SKIPPED, CaseFiles, Plan, Row

# The edge of the canvas of a second attempt, as a part of that of the first: about half of its voxels.
SMALLER = 0.8


def compute(case: Case, plan: Plan, smaller: bool = False) -> Optional[Row]:
    """Compute one case, unless it is done or another process computes it.

    Parameters
    ----------
    case : Case
        The case.
    plan : Plan
        What is made of it.
    smaller : bool
        Whether an earlier attempt has ended its process, so that a smaller canvas is taken.

    Returns
    -------
    Row or None
        How the case ended; None where another process computes it.
    """
    files, began, mine = plan.files(case), clock.monotonic(), False
    with contextlib.ExitStack() as stack:
        try:
            with writing(files.result):
                mine = stack.enter_context(claimed(files.claim))
            return _compute_claimed(case, files, plan, smaller) if mine else None
        except Exception as error:
            if mine and not is_held_here(files.claim):  # this process slept for so long that another has taken over
                return None
            status, sentence = failure(error)
            if status == EXIT_INTERNAL_ERROR:
                traceback.print_exc(file=sys.stderr)
            row = Row(case.name, FAILED, 0, round(clock.monotonic() - began, 1), sentence)
            plan.note_failure(row, case)
            return row


def _compute_claimed(case: Case, files: CaseFiles, plan: Plan, smaller: bool) -> Row:
    inputs = case.digest  # taken before the run: an image that changes during the run makes the case due again
    done = plan.for_case(case).wanted.done_report(inputs, files)
    if done:
        plan.forget_failure(case)
        return Row(case.name, SKIPPED, len(done["frames"]))
    began = clock.monotonic()
    with contextlib.ExitStack() as stack:
        with writing(files.result):
            staging = stack.enter_context(files.staging())
        job, messages = _job(case, staging, plan.prepared(case, staging.folder), smaller)
        report: Any = job.run(ignore, lambda *frame: None, never)
        report["messages"][:0] = messages
        with writing(files.result):
            with open(staging.report, "w", encoding="utf-8") as file:
                json.dump({**report, "inputs": inputs}, file, indent=1)
            # Killed between any two of these steps, a process leaves no report that tells of other files.
            with contextlib.suppress(FileNotFoundError):
                os.remove(files.report)
            plan.forget_failure(case)
            for made, final in zip((staging.preview, staging.result, staging.report),
                                   (files.preview, files.result, files.report)):
                os.replace(made, final)
    return Row(case.name, DONE, len(report["frames"]), round(clock.monotonic() - began, 1),
               " ".join(report["messages"]))


def _job(case: Case, files: CaseFiles, plan: Plan, smaller: bool) -> Tuple[BaseJob, List[str]]:
    """Return the job of a case on the network of this process, and what has to be said of it."""
    settings = plan.settings
    network = loaded(settings)
    if isinstance(settings, SliceRunSettings):
        if case.sequence is None:
            raise InputError(f"{case.name} is a pair of phases: give one volume (or sequence) a case for slices.")
        return SlicesJob(SlicesRequest(case.sequence, files.result, settings, preview=files.preview), network), []
    messages: List[str] = []
    if smaller:
        edge = _smaller_edge(case, settings, network)
        settings = dataclasses.replace(settings, canvas=edge)
        messages = [f"The process that computed this case was killed or ran out of memory: it was computed on a "
                    f"smaller canvas of {edge} voxels. The same command tries the full canvas again."]
    request = Request(files.result, case.phases, case.sequence, settings, preview=files.preview, slices=plan.slices)
    return Job(request, network), messages


def loaded(settings: Any) -> Any:
    """Return the network of these settings, an Interpolator or SliceInterpolator, which a process loads once."""
    return _loaded(isinstance(settings, SliceRunSettings), settings.weights, settings.device)


@lru_cache(maxsize=2)  # where a scheme goes from case to case: the base weights, and those of the case
def _loaded(slices: bool, weights: str, device: str) -> Any:
    if slices:
        from ..through_plane.pipeline import SliceInterpolator

        return SliceInterpolator(weights, device)
    from ..temporal.pipeline import Interpolator

    return Interpolator(weights, device)


def _smaller_edge(case: Case, settings: InterpolationSettings, interpolator: Any) -> int:
    """Return the longest edge, in voxels, of a canvas of about half of the voxels."""
    from ..images.readers import read_sequence, read_volume
    from ..temporal.canvas import Canvas
    from ..temporal.memory import canvas_voxels

    first = read_volume(case.phases[0]) if case.phases else read_sequence(case.sequence).phases[0]
    full = Canvas.fit(first.geometry, interpolator.model.network.levels,
                      canvas_voxels(interpolator.device, first.array.size), settings.canvas)
    return max(16, int(SMALLER * max(full.padded)))
