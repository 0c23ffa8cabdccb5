"""Train base weights on acquired beats, or on generated anatomies in motion alone (`--generated`).

Two stages, the second starting from the file of the first: `motion`, `supervised`. A run goes on from its checkpoint
when the same command is given again. On several GPUs: `torchrun --nproc_per_node N -m ttt4d train ...`.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path
from typing import Any, Dict

from ..errors import InputError, OutputError, SettingsError
from .exit_status import EXIT_INTERRUPTED

STAGES = ("motion", "supervised")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", default=os.environ.get("TTT4D_DATA", "../shared/data"),
                        help="folder in the ACDC layout (default: $TTT4D_DATA); its training split is used")
    parser.add_argument("--generated", action="store_true", help="learn from generated anatomies, without any data")
    parser.add_argument("--cache", metavar="FILE", help="packed training data; made from --data where it is missing")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the weights file to write, .safetensors")
    parser.add_argument("--name", default="cardiac", help="the weights' name in their card (default: cardiac)")
    parser.add_argument("--start", metavar="NAME|FILE", nargs="+", default=[],
                        help="weights to start from, of several their mean (default: fresh ones)")
    parser.add_argument("--stage", choices=STAGES, default="supervised", help="what is minimised (default: supervised)")
    parser.add_argument("--steps", type=int, default=6000,
                        help="gradient steps (default: 6000); 0 writes the start as it is, such as a mean")
    parser.add_argument("--batch", type=int, default=4, help="samples a step (default: 4)")
    parser.add_argument("--crop", type=int, default=65,
                        help="edge of a sample within the slice, 8 m + 1 voxels (default: 65)")
    parser.add_argument("--whole", action="store_true",
                        help="learn from whole images, most of them the way up they were acquired, rather than from "
                             "crops seen from every side: the last stage for images that always look alike")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Train and write the weights file; gives the exit status. Raises UserError for what the user can mend."""
    import torch
    from tqdm import tqdm

    from .. import weights
    from ..devices import choose
    from ..images.output_paths import check_writable, writing
    from ..temporal import models
    from ..training.cache import load
    from ..training.cine import CineSampler
    from ..training.full_images import FullImageSampler
    from ..training.loop import Trainer, TrainingSettings
    from ..training.objectives import OBJECTIVES
    from ..training.synthetic import SyntheticAnatomySampler
    from ..weights.files import save
    from ..weights.model import mean_model

    output = Path(args.output)
    if output.suffix != ".safetensors":
        raise OutputError("The name of the weights file must end in .safetensors: choose another.")
    check_writable(output, (), folder=False)
    if args.steps < 0 or args.batch < 1 or not 0 < args.learning_rate < 1 or not 0 <= args.seed < 2**31:
        raise SettingsError("Steps must be 0 or more, the batch 1 or more, the learning rate between 0 and 1, the seed "
                            "from 0 to 2147483647.")
    if args.crop < 17 or args.crop % 8 != 1:
        raise SettingsError(f"A crop of {args.crop} does not fit the network's pyramid: choose 17, 25, 33, ... 65, ...")
    messages = []
    device = choose(args.device, messages)
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    if args.generated and args.whole:
        raise SettingsError("Generated anatomies are whole already: leave --whole out.")
    inputs = {"batch": args.batch, "crop": args.crop, "whole": args.whole,
              "start": [weights.checksum(weights.locate(start)) for start in args.start]}
    if args.generated:
        sampler = SyntheticAnatomySampler(args.crop, args.batch)
    else:
        cache = _cache(args)
        sampler = (FullImageSampler if args.whole else CineSampler)(load(cache), args.crop, args.batch)
        inputs["data"] = weights.checksum(cache)
    torch.manual_seed(args.seed)
    model = mean_model([models.load(start) for start in args.start]) if args.start else models.new_model()
    trainer = Trainer(sampler.draw, OBJECTIVES[args.stage],
                      TrainingSettings(steps=args.steps, learning_rate=args.learning_rate, seed=args.seed), device,
                      output.with_suffix(".checkpoint"), model, inputs)
    mean: Dict[str, float] = {}
    with tqdm(total=args.steps, initial=trainer.step, disable=bool(trainer.rank), unit="step") as bar:

        def report(step: int, metrics: Dict[str, float]) -> None:
            for name, value in metrics.items():
                mean[name] = value if name not in mean else 0.98 * mean[name] + 0.02 * value
            bar.update()
            if step % 20 == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in mean.items() if name != "seconds"})

        try:
            trained = trainer.run(report)
        except KeyboardInterrupt:
            print("Interrupted: the same command goes on from the last checkpoint." if trainer.checkpoint.is_file() else
                  "Interrupted before the first checkpoint: nothing was written.", file=sys.stderr)
            return EXIT_INTERRUPTED
    if not trainer.rank:
        with writing(str(output)):
            save(output, trained, _card(args, trainer, device, model.card))
    return 0


def _cache(args: argparse.Namespace) -> Path:
    """The packed training split, made once. One that is named is taken as it is, where no data are too."""
    from ..images.datasets import open_data
    from ..training.cache import names, pack

    path = Path(args.cache) if args.cache else Path(args.output).with_suffix(".cache")
    if args.cache and path.is_file():
        return path
    cases = open_data(args.data).split("train")
    if not cases:
        raise InputError("There is no training split in this data: give a folder in the ACDC layout.")
    if not path.is_file():
        pack(path, ((case.name, case.frames(), case.first, case.last) for case in cases))
    elif names(path) != sorted(case.name for case in cases):
        raise InputError(f"{path.name} was packed from other cases: remove it, or choose another output.")
    return path


def _card(args: argparse.Namespace, trainer: Any, device: Any, before: Dict[str, Any]) -> Dict[str, Any]:
    """What the weights file says of itself: this stage, after those of the file it started from."""
    stage = {"stage": args.stage, "data": "generated" if args.generated else "acquired",
             "crop": "whole" if args.whole else args.crop, "steps": trainer.step, "batch": args.batch,
             "seed": args.seed, "learning_rate": args.learning_rate, "minutes": round(trainer.seconds / 60, 1),
             "device": device.type}
    stages = before.get("stages", []) + ([stage] if args.steps else [])
    return {"name": args.name, "date": datetime.date.today().isoformat(), "stages": stages}
