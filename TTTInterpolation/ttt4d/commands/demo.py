"""Interpolate a beating-heart phantom, made by code, and compare with its known truth.

The phantom's end-diastole and end-systole go through the same steps as any two volumes; the frames between them are
then set beside the phantom's true frames and beside plain blending of the two phases.
"""

from __future__ import annotations

import argparse
import os
from typing import List

from ..progress import never
from ..report import JobReport
from .exit_status import EXIT_OK
from .job import Job
from .progress_bar import ProgressBar
from .request import Request
from .settings_arguments import add_settings, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--output", default="demo-output", metavar="FOLDER",
                        help="where the phantom, the 4D file, the report and the picture go (default: demo-output)")
    add_settings(parser, without=("cyclic",))


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return its exit status."""
    folder = arguments.output
    phases = [os.path.join(folder, name) for name in ("end_diastole.nrrd", "end_systole.nrrd")]
    request = Request(os.path.join(folder, "heart.seq.nrrd"), tuple(phases), settings=settings_of(arguments),
                      report=os.path.join(folder, "report.json"))
    with ProgressBar() as bar:
        _write_phantom(folder, phases)
        report = Job(request).run(bar, lambda *frame: None, never)
    _compare(request, report, os.path.join(folder, "preview.png"))
    return EXIT_OK


def _write_phantom(folder: str, paths: List[str]) -> None:
    import SimpleITK as sitk

    from ..images.output_paths import writing
    from ..images.resampling import to_sitk
    from ..temporal.phantom import beating_heart

    with writing(folder):
        os.makedirs(folder, exist_ok=True)
    for path, volume in zip(paths, beating_heart((0.0, 1.0))[0]):
        with writing(path):
            sitk.WriteImage(to_sitk(volume), path, True)


def _compare(request: Request, report: JobReport, preview_path: str) -> None:
    """Print PSNR against the truth, ours and blending's, from the file that was written; draw all three."""
    import numpy as np

    from ..evaluation.metrics import psnr
    from ..images.output_paths import writing
    from ..images.preview import Preview
    from ..images.readers import read_sequence
    from ..temporal.phantom import beating_heart

    frames = read_sequence(request.output).phases
    first, last = frames[0].array.astype(float), frames[-1].array.astype(float)
    low, high = min(first.min(), last.min()), max(first.max(), last.max())

    def unit(array):
        return (array - low) / (high - low)

    preview = Preview([frames[0], frames[-1]])
    figures = []
    print("PSNR in dB against the phantom's truth:\n  time    ttt4d  blending")
    for frame, told, truth in zip(frames, report["frames"], beating_heart([f["time"] for f in report["frames"]])[0]):
        time, acquired = told["time"], told["acquired"]
        blend = (1 - time) * first + time * last
        for row, (array, title) in enumerate(((frame.array, "ttt4d"), (truth.array, "truth"), (blend, "blending"))):
            preview.add(array, told["index"], acquired or title == "truth", row, title)
        if not acquired:
            figures.append([psnr(unit(truth.array), unit(made)) for made in (frame.array, blend)])
            print(f"  {time:4.2f}   {figures[-1][0]:6.2f}    {figures[-1][1]:6.2f}")
    ours, blending = np.mean(figures, axis=0)
    print(f"  mean   {ours:6.2f}    {blending:6.2f}")
    with writing(preview_path):
        preview.save(preview_path, ".png")
    for what, path in (("4D file (opens in 3D Slicer)", request.output), ("report", request.report),
                       ("preview picture", preview_path)):
        print(f"{what}: {path}")
    print("Not for clinical use.")
