"""New slices between the slices of a volume, or of each volume of a sequence.

  ttt4d slices thick.nii.gz -o thin.nii.gz --factor 4
  ttt4d slices series_folder -o thin.nrrd --spacing 1 --labels organs.seg.nrrd --labels-out organs_thin.seg.nrrd

Reads NRRD, NIfTI, MetaImage and DICOM series. The first and the last slice keep their places. Of slices with gaps
between them, all keep their voxels where a new slice falls on them; the header tells which ones are acquired.
"""

from __future__ import annotations

import argparse
import sys

from ..images.formats import READABLE, WRITABLE, WRITABLE_VOLUMES
from ..progress import never
from ..report import JobReport
from ..through_plane.settings import GAP, SliceRunSettings
from .exit_status import EXIT_OK
from .progress_bar import ProgressBar
from .settings_arguments import add_settings, settings_of
from .slices_job import SlicesJob
from .slices_request import SlicesRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments and options of this subcommand."""
    parser.add_argument("volume", metavar="VOLUME", help=f"a volume or a sequence of volumes: {READABLE}")
    parser.add_argument("-o", "--output", required=True, metavar="OUT",
                        help=f"a name that ends in {WRITABLE_VOLUMES}; of a sequence in {WRITABLE}, or a folder")
    add_settings(parser, SliceRunSettings)
    labels = parser.add_argument_group("labels")
    labels.add_argument("--labels", metavar="SEG", help="a label map drawn on the volume, or a .seg.nrrd of 3D Slicer")
    labels.add_argument("--labels-out", metavar="OUT", help="the same on the new slices")
    also = parser.add_argument_group("also write")
    also.add_argument("--report", metavar="FILE.json", help="what was done: settings, versions, times, memory, losses")
    also.add_argument("--preview", metavar="FILE.png|.gif", help="a picture of a cut across the slices")


def run(arguments: argparse.Namespace) -> int:
    """Fill in the slices with a progress bar on standard error; returns the exit status."""
    request = SlicesRequest(arguments.volume, arguments.output, settings_of(arguments, SliceRunSettings),
                            arguments.labels, arguments.labels_out, arguments.report, arguments.preview)
    with ProgressBar() as bar:
        report = SlicesJob(request).run(bar, lambda *frame: None, never)
    for message in report["messages"]:
        print(message, file=sys.stderr)
    print(summary(request.output, report))
    return EXIT_OK


def summary(output: str, report: JobReport) -> str:
    """Return one line that says what was made."""
    slices = report["slices"]
    acquired = f"{len(slices['acquired'])} of them acquired" if slices["kind"] == GAP else "all computed"
    return (f"{output}: {slices['count'][1]} slices at {slices['spacing'][1]:.4g} mm, {acquired}, in "
            f"{sum(report['seconds'].values()):.1f} s on {report['device']}. Not for clinical use.")
