"""New frames between two phases, or between each two neighbouring phases of a sequence.

  ttt4d interpolate ED.nii.gz ES.nii.gz -o heart.seq.nrrd --frames 9
  ttt4d interpolate cine_4d.nii.gz -o cine.nii.gz --frames-between 2 --cyclic
  ttt4d interpolate ED.nrrd ES.nrrd -o heart.seq.nrrd --slices-factor 4
  ttt4d interpolate ED.nrrd ES.nrrd -o heart.seq.nrrd --labels ED.seg.nrrd --carried labels.seq.nrrd --volumes ml.csv

A sequence is a 4D file such as .seq.nrrd, or a folder of phases.
"""

from __future__ import annotations

import argparse
import sys

from ..images.formats import READABLE, WRITABLE
from ..progress import never
from ..through_plane.settings import AUTO, GAP, THICK
from .exit_status import EXIT_OK
from .job import Job
from .progress_bar import ProgressBar
from .request import Request
from .settings_arguments import add_settings, add_slices_factor, settings_of, slices_of_frames


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("inputs", nargs="+", metavar="PHASE",
                        help=f"two phases (or more) in order of time, or one sequence: {READABLE}")
    parser.add_argument("-o", "--output", required=True, metavar="OUT",
                        help=f"a name that ends in {WRITABLE}, or a folder for one .nrrd a frame")
    add_settings(parser)
    slices = parser.add_argument_group("new slices too")
    add_slices_factor(slices)
    slices.add_argument("--slices", metavar=f"{GAP}|{THICK}|{AUTO}",
                        help=f"how the slices are to be taken, see `ttt4d slices` (default: {AUTO})")
    motion = parser.add_argument_group("motion")
    motion.add_argument("--labels", metavar="SEG",
                        help="a label map drawn on the first phase, or a .seg.nrrd of 3D Slicer: at most 254 labels")
    motion.add_argument("--carried", metavar="OUT", help="the labels, carried through every frame; a name as for OUT")
    motion.add_argument("--volumes", metavar="TABLE.csv",
                        help="ml of each label in every frame, ED, ES and stroke volume, ejection fraction")
    motion.add_argument("--maps", metavar="FOLDER", help="displacement (mm), Jacobian determinant, principal strains "
                        "and confidence: a folder for each, with a volume for each frame")
    also = parser.add_argument_group("also write")
    also.add_argument("--displacements", metavar="FOLDER",
                      help="the motion of each frame, from its grid to the first phase: vector images in LPS mm")
    also.add_argument("--report", metavar="FILE.json", help="what was done: settings, versions, times, memory, losses")
    also.add_argument("--preview", metavar="FILE.png|.gif", help="a picture of every frame's middle slice")


def run(arguments: argparse.Namespace) -> int:
    """Interpolate and return the exit status."""
    one = len(arguments.inputs) == 1
    request = Request(arguments.output, () if one else tuple(arguments.inputs), arguments.inputs[0] if one else None,
                      settings_of(arguments), arguments.displacements, arguments.report, arguments.preview,
                      arguments.labels, arguments.carried, arguments.volumes, arguments.maps,
                      slices=slices_of_frames(arguments))
    with ProgressBar() as bar:
        report = Job(request).run(bar, lambda *frame: None, never)
    for message in report["messages"]:
        print(message, file=sys.stderr)
    synthetic = sum(not frame["acquired"] for frame in report["frames"])
    print(f"{request.output}: {len(report['frames'])} frames, {synthetic} of them synthetic, "
          f"in {sum(report['seconds'].values()):.1f} s on {report['device']}. Not for clinical use.")
    return EXIT_OK
