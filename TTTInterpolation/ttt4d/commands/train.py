"""`ttt4d train`: train base weights on acquired sequences or on generated anatomies, or train the UVI-Net peer.

Base weights between phases take two stages, `motion` and `supervised`; the second starts from the file of the first.
Those between slices (`--axis slices`) learn from volumes with thin slices, from generated anatomies, and from films.
Given the same command again, a run continues from its checkpoint. On several GPUs:
`torchrun --nproc_per_node N -m ttt4d train ...`.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from ..errors import InputError, OutputError, SettingsError
from .axes import OF_WEIGHTS, PHASES, SLICES
from .exit_status import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:  # torch is imported when training starts
    import torch

    from ..training.loop import Trainer

STAGES = ("motion", "supervised")
BATCH = {PHASES: 4, SLICES: 16}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument("--model", choices=tuple(MODELS), default="ttt4d",
                        help="what to train: our base weights (default), or the peer UVI-Net for `ttt4d evaluate "
                             "--uvinet`, which uses --data, -o, --steps, --batch, --crop, --device and --seed only")
    parser.add_argument("--axis", choices=(PHASES, SLICES), default=PHASES,
                        help="what the weights fill in: moments between phases (default) or slices between slices")
    parser.add_argument("--data", metavar="DIR", default=os.environ.get("TTT4D_DATA"),
                        help="folder in the ACDC layout, or for slices one of volumes with their index.csv, whose "
                             "training split is used (default: $TTT4D_DATA)")
    parser.add_argument("--generated", action="store_true",
                        help="learn from generated anatomies, without any data; for slices beside the other sources")
    parser.add_argument("--generated-part", type=float, metavar="PART", default=0.0,
                        help="between phases: part of the batches that are generated anatomies, the others are "
                             "acquired (default: 0), so that few patients are not learned by heart")
    parser.add_argument("--cache", metavar="FILE", help="packed training data; made from --data if it is missing")
    slices = parser.add_argument_group("between slices only")
    slices.add_argument("--volumes", metavar="NAME", nargs="*",
                        help="volumes of the training split to use (default: all; none if no name follows)")
    slices.add_argument("--films", metavar="DIR",
                        help="folder of cine MR in the ACDC layout: time serves as the slice axis")
    parser.add_argument("-o", "--output", metavar="FILE", required=True,
                        help="the file to write: weights .safetensors, or the checkpoint of UVI-Net")
    parser.add_argument("--name", help="name of the weights in their card (default: that of the file)")
    parser.add_argument("--start", metavar="NAME|FILE", nargs="+", default=[],
                        help="weights to start from; of several, their mean (default: fresh ones)")
    parser.add_argument("--stage", choices=STAGES, default="supervised", help="what is minimised (default: supervised)")
    parser.add_argument("--steps", type=int, default=6000,
                        help="gradient steps in total (default: 6000); 0 writes the start as it is, such as a mean")
    parser.add_argument("--batch", type=int, default=None,
                        help="pairs of phases (default: 4), or cuts across slices (default: 16), in a step")
    parser.add_argument("--crop", type=int, default=65,
                        help="edge of a crop within the slice, 8 m + 1 voxels (default: 65)")
    parser.add_argument("--whole", action="store_true",
                        help="learn from full images, most of them in the orientation in which they were acquired, "
                             "instead of crops at any angle: the last stage for images that always look alike")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the highest one (default: 0.001)")
    parser.add_argument("--decay", type=float, default=1.0, metavar="PART",
                        help="part of the steps, the last ones, in which the learning rate falls (default: 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Train and write the file.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    UserError
        For an error that the user can mend.
    """
    args.batch = args.batch if args.batch is not None else BATCH[args.axis]
    check_settings(args)
    try:
        return MODELS[args.model](args)
    except KeyboardInterrupt:
        saved = _checkpoint(args).is_file()
        print("Interrupted: the same command continues from the last checkpoint." if saved else
              "Interrupted before the first checkpoint: nothing was written.", file=sys.stderr)
        return EXIT_INTERRUPTED


def check_settings(args: argparse.Namespace) -> None:
    """Raise a UserError for settings that cannot be, and for an output that cannot be written."""
    from ..images.output_paths import check_writable

    if args.model == "ttt4d" and Path(args.output).suffix != ".safetensors":
        raise OutputError("The name of the weights file must end in .safetensors: choose another.")
    check_writable(args.output, (), folder=False)
    if args.steps < 0 or args.batch < 1 or not 0 < args.learning_rate < 1 or not 0 <= args.seed < 2**31:
        raise SettingsError("Steps must be 0 or more, the batch 1 or more, the learning rate between 0 and 1, the seed "
                            "from 0 to 2147483647.")
    if args.crop < 17 or (args.model == "ttt4d" and args.crop % 8 != 1):
        raise SettingsError(f"A crop of {args.crop} does not fit the network's pyramid: choose 17, 25, 33, ... 65, ...")
    if not 0 < args.decay <= 1:
        raise SettingsError("The part of the steps in which the learning rate falls is above 0 and at most 1.")
    if args.axis == SLICES and (args.model != "ttt4d" or args.whole):
        raise SettingsError("UVI-Net and --whole are for phases only: leave them out, or --axis slices.")
    if args.axis == PHASES and (args.films or args.volumes is not None):
        raise SettingsError("--volumes and --films are for slices only: leave them out, or add --axis slices.")
    if args.generated and args.whole:
        raise SettingsError("Generated anatomies are full images already: leave --whole out.")
    if not 0 <= args.generated_part < 1 or (args.generated_part and (args.generated or args.axis == SLICES)):
        raise SettingsError("The part of generated anatomies is at least 0 and below 1, between phases and without "
                            "--generated.")


def _checkpoint(args: argparse.Namespace) -> Path:
    return Path(args.output).with_suffix(".checkpoint") if args.model == "ttt4d" else Path(args.output)


def _train_uvinet(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..evaluation.uvinet import train

    with tqdm(total=args.steps, unit="step") as bar:

        def report(step: int, loss: float) -> None:
            bar.update(step - bar.n)
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss:.3f}")

        train(args.data, Path(args.output), args.steps, args.batch, args.crop, args.seed, args.device, report)
    return EXIT_OK


def _train_ttt4d(args: argparse.Namespace) -> int:
    from ..devices import choose
    from ..images.output_paths import writing
    from ..weights.files import save
    from . import train_slices

    device = _of_this_process(choose(args.device, []))
    trainer = (train_slices.trainer if args.axis == SLICES else _trainer)(args, device, _checkpoint(args))
    before = trainer.model.card
    trained = trainer.run(_progress(trainer))
    if not trainer.rank:
        with writing(args.output):
            save(Path(args.output), trained, _card(args, trainer, device, before), OF_WEIGHTS[args.axis])
    return EXIT_OK


MODELS: Dict[str, Callable[[argparse.Namespace], int]] = {"ttt4d": _train_ttt4d, "uvinet": _train_uvinet}


def _of_this_process(device: torch.device) -> torch.device:
    """Return the GPU that `torchrun` gave to this process, if it did."""
    import torch

    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def _trainer(args: argparse.Namespace, device: torch.device, checkpoint: Path) -> Trainer:
    """Make the training run, at its checkpoint if there is one."""
    import torch

    from .. import weights
    from ..temporal import models
    from ..training.cache import load
    from ..training.cine import CineSampler
    from ..training.full_images import FullImageSampler
    from ..training.loop import Draw, Trainer, TrainingSettings, mixed
    from ..training.objectives import OBJECTIVES
    from ..training.synthetic import SyntheticAnatomySampler
    from ..weights.model import mean_model

    inputs: Dict[str, Any] = {"batch": args.batch, "crop": args.crop, "whole": args.whole,
                              "start": [weights.checksum(weights.locate(start)) for start in args.start]}
    generated: Draw = SyntheticAnatomySampler(args.crop, args.batch).draw
    draw = generated
    if not args.generated:
        cache = _cache(args)
        sampler = FullImageSampler if args.whole else CineSampler
        draw = sampler(load(cache), args.crop, args.batch).draw
        inputs["data"] = weights.checksum(cache)
        if args.generated_part:
            draw = mixed(draw, generated, args.generated_part)
            inputs["generated_part"] = args.generated_part
    torch.manual_seed(args.seed)
    model = mean_model([models.load(start) for start in args.start]) if args.start else models.new_model()
    settings = TrainingSettings(args.steps, args.learning_rate, args.decay, seed=args.seed)
    return Trainer(draw, OBJECTIVES[args.stage], settings, device, checkpoint, model, inputs)


def _progress(trainer: Trainer) -> Callable[[int, Dict[str, float]], None]:
    """Make a progress bar that shows moving averages of the losses; only the first process of several shows it."""
    from tqdm import tqdm

    bar = tqdm(total=trainer.settings.steps, initial=trainer.step, disable=bool(trainer.rank), unit="step")
    mean: Dict[str, float] = {}

    def report(step: int, metrics: Dict[str, float]) -> None:
        for name, value in metrics.items():
            mean[name] = value if name not in mean else 0.98 * mean[name] + 0.02 * value
        bar.update()
        if step % 20 == 0:
            bar.set_postfix({name: f"{value:.3f}" for name, value in mean.items() if name != "seconds"})
        if step == bar.total:
            bar.close()

    return report


def _cache(args: argparse.Namespace) -> Path:
    """Pack the training split, once. A cache that is named and exists is used as it is, without any data."""
    from ..images.datasets import open_data
    from ..training.cache import names, pack

    path = Path(args.cache) if args.cache else Path(args.output).with_suffix(".cache")
    if args.cache and path.is_file():
        return path
    cases = open_data(args.data).splits.get("train")
    if not cases:
        raise InputError("There is no training split in this data: give a folder in the ACDC layout.")
    if not path.is_file():
        pack(path, ((case.name, case.frames(), case.first, case.last) for case in cases))
    elif names(path) != sorted(case.name for case in cases):
        raise InputError(f"{path.name} was packed from other cases: remove it, or choose another output.")
    return path


def _card(args: argparse.Namespace, trainer: Trainer, device: torch.device, before: Dict[str, Any]) -> Dict[str, Any]:
    """Describe the weights: this stage, after those of the file it started from."""
    stage = {"stage": args.stage, **_data_of(args), "steps": trainer.step, "batch": args.batch, "seed": args.seed,
             "learning_rate": args.learning_rate, "minutes": round(trainer.seconds / 60, 1), "device": device.type}
    stages: List[Any] = before.get("stages", []) + ([stage] if args.steps else [])
    return {"name": args.name or Path(args.output).stem, "date": datetime.date.today().isoformat(), "stages": stages}


def _data_of(args: argparse.Namespace) -> Dict[str, Any]:
    """Return what a stage learned from, for the card."""
    if args.axis == SLICES:
        return {"volumes": "all" if args.volumes is None else args.volumes, "generated": args.generated,
                "films": bool(args.films)}
    of_data = {"data": "generated" if args.generated else "acquired", "crop": "whole" if args.whole else args.crop}
    return {**of_data, "generated_part": args.generated_part} if args.generated_part else of_data
