"""New frames between two phases, or between each two neighbouring phases of a sequence.

  ttt4d interpolate ED.nii.gz ES.nii.gz -o heart.seq.nrrd --frames 9
  ttt4d interpolate cine_4d.nii.gz -o cine.nii.gz --frames-between 2 --cyclic

A sequence is a 4D file such as .seq.nrrd, or a folder of phases.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Dict

from ..images.formats import READABLE, WRITABLE
from ..progress import never
from ..settings import NO_ADAPTATION, SCHEMES, AdaptationSettings, InterpolationSettings
from ..temporal.auxiliary import TASKS
from .exit_status import EXIT_OK
from .job import Job
from .progress_bar import ProgressBar
from .request import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="PHASE",
                        help=f"two phases (or more) in order of time, or one sequence: {READABLE}")
    parser.add_argument("-o", "--output", required=True, metavar="OUT",
                        help=f"a name that ends in {WRITABLE}, or a folder for one .nrrd a frame")
    parser.add_argument("--cyclic", action="store_true", help="also go from the last phase back to the first")
    add_settings(parser)
    also = parser.add_argument_group("also write")
    also.add_argument("--displacements", metavar="FOLDER",
                      help="the motion of each frame, from its grid to the first phase: vector images in LPS mm")
    also.add_argument("--report", metavar="FILE.json", help="what was done: settings, versions, times, memory, losses")
    also.add_argument("--preview", metavar="FILE.png|.gif", help="a picture of every frame's middle slice")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The arguments that `settings_of` turns into settings."""
    defaults, adaptation = InterpolationSettings(), AdaptationSettings()
    phase_times = parser.add_mutually_exclusive_group()
    phase_times.add_argument("--frames", "--frames-between", type=int, dest="frames", metavar="N",
                         help=f"new frames between each two phases, evenly spaced in time (default: {defaults.frames})")
    phase_times.add_argument("--times", type=float, nargs="+", metavar="T",
                         help="times of the new frames instead: 0 is the first phase of each two, 1 the second")
    how = parser.add_argument_group("adaptation to the patient")
    how.add_argument("--auxiliary", metavar="TASK", help=f"what the network trains itself on: {', '.join(TASKS)}, or "
                     f"{NO_ADAPTATION} for the base weights' answer (default: {adaptation.auxiliary})")
    how.add_argument("--scheme", metavar="NAME",
                     help=f"for sequences: {', '.join(SCHEMES)} (default: {adaptation.scheme})")
    how.add_argument("--iterations", type=int, metavar="N", help="gradient steps (default: the task's own)")
    how.add_argument("--learning-rate", type=float, metavar="X", help="of the steps (default: the task's own)")
    how.add_argument("--weights", metavar="NAME|FILE",
                     help=f"base weights: a name that `ttt4d info` lists, or a file (default: {defaults.weights})")

    where = parser.add_argument_group("the machine")
    where.add_argument("--device", help=f"auto, cpu, cuda, cuda:N or mps (default: {defaults.device})")
    where.add_argument("--canvas", type=int, metavar="VOXELS",
                       help="longest edge of the grid the motion is found on, a few voxels more where its pyramid "
                            "needs them; the device's own limit still holds (default: what fits the device)")
    where.add_argument("--seed", type=int, metavar="N", help=f"of every random draw (default: {defaults.seed})")


def run(arguments: argparse.Namespace) -> int:
    one = len(arguments.inputs) == 1
    request = Request(arguments.output, () if one else tuple(arguments.inputs), arguments.inputs[0] if one else None,
                      settings_of(arguments), arguments.displacements, arguments.report, arguments.preview)
    with ProgressBar() as bar:
        report = Job(request).run(bar, lambda *frame: None, never)
    for message in report["messages"]:
        print(message, file=sys.stderr)
    synthetic = sum(not frame["acquired"] for frame in report["frames"])
    print(f"{request.output}: {len(report['frames'])} frames, {synthetic} of them synthetic, "
          f"in {sum(report['seconds'].values()):.1f} s on {report['device']}. Not for clinical use.")
    return EXIT_OK


def settings_of(arguments: argparse.Namespace) -> InterpolationSettings:
    """The settings that the arguments ask for; what they leave out takes its default."""
    def given(*names: str) -> Dict[str, Any]:
        return {name: value for name in names for value in [getattr(arguments, name, None)] if value is not None}

    adaptation = given("auxiliary", "scheme", "iterations", "learning_rate")
    return InterpolationSettings.from_json(
        {**given("frames", "times", "cyclic", "weights", "device", "canvas", "seed"), "adaptation": adaptation})
