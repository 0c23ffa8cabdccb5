"""Interpolate phantoms, made by code, and compare with their known truth.

End-diastole and end-systole of a beating heart go through the same steps as any two volumes; the frames between them
are then set beside the true frames and beside plain blending of the two phases. Every fourth slice of a head goes
through the same steps as any volume; the slices between them are set beside the true ones and beside interpolation.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, List

from ..progress import never
from ..report import JobReport
from ..settings import NO_ADAPTATION, InterpolationSettings
from ..through_plane.settings import GAP, SliceRunSettings
from .exit_status import EXIT_OK
from .job import Job
from .progress_bar import ProgressBar
from .request import Request
from .settings_arguments import add_settings, settings_of
from .slices_job import SlicesJob
from .slices_request import SlicesRequest

if TYPE_CHECKING:
    from ..images.volume import Volume

_FACTOR = 4  # every so many slices of the head are given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--output", default="demo-output", metavar="FOLDER",
                        help="where phantoms, results, reports and pictures go (default: demo-output)")
    add_settings(parser, without=("cyclic",))


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return its exit status."""
    settings = settings_of(arguments)
    _frames(arguments.output, settings)
    _slices(arguments.output, settings)
    print("Not for clinical use.")
    return EXIT_OK


def _frames(folder: str, settings: InterpolationSettings) -> None:
    """Interpolate the heart in time."""
    phases = [os.path.join(folder, name) for name in ("end_diastole.nrrd", "end_systole.nrrd")]
    request = Request(os.path.join(folder, "heart.seq.nrrd"), tuple(phases), settings=settings,
                      report=os.path.join(folder, "report.json"))
    with ProgressBar() as bar:
        _write_phantom(folder, phases)
        report = Job(request).run(bar, lambda *frame: None, never)
    _compare(request, report, os.path.join(folder, "preview.png"))


def _slices(folder: str, settings: InterpolationSettings) -> None:
    """Fill in the missing slices of the head, with the default settings of that axis."""
    import SimpleITK as sitk

    from ..images.output_paths import writing
    from ..images.resampling import to_sitk
    from ..through_plane.phantom import every, head

    given = os.path.join(folder, "head_every_4th_slice.nrrd")
    about = {"adaptation": {"auxiliary": NO_ADAPTATION}} if settings.adaptation.auxiliary == NO_ADAPTATION else {}
    request = SlicesRequest(given, os.path.join(folder, "head.nrrd"), SliceRunSettings.from_json(
        {"factor": _FACTOR, "slices": GAP, "device": settings.device, "seed": settings.seed, **about}))
    truth = head()
    with writing(given):
        sitk.WriteImage(to_sitk(every(truth, _FACTOR)), given, True)
    with ProgressBar() as bar:
        SlicesJob(request).run(bar, lambda *frame: None, never)
    _compare_slices(request, truth, os.path.join(folder, "slices.png"))


def _compare_slices(request: SlicesRequest, truth: Volume, preview_path: str) -> None:
    """Print PSNR of the missing slices, ours from the file that was written and interpolation's; draw a cut of each."""
    import numpy as np
    import torch

    from ..evaluation.metrics import psnr
    from ..images.output_paths import writing
    from ..images.preview import Preview
    from ..images.readers import read_volume
    from ..through_plane.classical import METHODS

    count = len(truth.array)
    missing = np.arange(count) % _FACTOR > 0
    low, high = float(truth.array.min()), float(truth.array.max())
    acquired = torch.from_numpy(truth.array[::_FACTOR].astype(np.float32))
    made = {name: method(acquired, torch.arange(count) / _FACTOR).numpy() for name, method in METHODS.items()}
    made["ttt4d"] = read_volume(request.output).array

    def figure(name: str) -> float:
        return psnr(*((array[missing] - low) / (high - low) for array in (truth.array, made[name].astype(float))))

    best = max(METHODS, key=figure)
    print(f"PSNR in dB of the missing slices: linear {figure('linear'):.2f}, best interpolation ({best}) "
          f"{figure(best):.2f}, ttt4d {figure('ttt4d'):.2f}")
    preview = Preview([truth], across=1)
    for array, title in ((made[best], best), (made["ttt4d"], "ttt4d"), (truth.array, "truth")):
        preview.add(array[::-1], None, title == "truth", title=title)
    with writing(preview_path):
        preview.save(preview_path, ".png")
    print(f"volume with all slices: {request.output}\npicture of a cut across them: {preview_path}")


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
