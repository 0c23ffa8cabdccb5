"""`ttt4d train --axis slices`: the data of a training run of the axis between slices."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List

from ..errors import InputError

if TYPE_CHECKING:  # torch is imported when training starts
    import torch

    from ..training.loop import Trainer
    from ..training.slice_sources import Source

# How often each kind of source is drawn, relative to the others.
SHARES = {"volumes": 1.0, "generated": 0.12, "films": 0.05}


def trainer(args: argparse.Namespace, device: torch.device, checkpoint: Path) -> Trainer:
    """Make the training run, at its checkpoint if there is one.

    Raises
    ------
    InputError
        If there is nothing to learn from.
    """
    import torch

    from .. import weights
    from ..through_plane import models
    from ..training.loop import Trainer, TrainingSettings
    from ..training.slice_objective import supervised_slices
    from ..training.slice_sampler import SliceSampler
    from ..weights.model import mean_model

    found = _sources(args)
    inputs: Dict[str, Any] = {"batch": args.batch, "sources": sorted(source.name for source in found),
                              "start": [weights.checksum(weights.locate(start)) for start in args.start]}
    torch.manual_seed(args.seed)
    model = mean_model([models.load(start) for start in args.start]) if args.start else models.new_model()
    settings = TrainingSettings(args.steps, args.learning_rate, args.decay, seed=args.seed)
    return Trainer(SliceSampler(found, args.batch).draw, supervised_slices, settings, device, checkpoint, model, inputs)


def _sources(args: argparse.Namespace) -> List[Source]:
    """Return what to learn from, each kind by its share."""
    from ..training import slice_sources as sources

    found: List[Source] = []
    if args.volumes is None or args.volumes:
        found += sources.shared(sources.volumes(_folder(args), "train", args.volumes or ()), SHARES["volumes"])
    if args.generated:
        cache = Path(args.cache) if args.cache else Path(args.output).with_suffix(".cache")
        found += sources.shared(sources.cached(cache, sources.generated), SHARES["generated"])
    if args.films:
        found += sources.shared(sources.films(Path(args.films)), SHARES["films"])
    if not found:
        raise InputError("There is nothing to learn from: give --data, --generated or --films.")
    return found


def _folder(args: argparse.Namespace) -> Path:
    if not args.data:
        raise InputError("Training between slices needs a folder of volumes with their index.csv: name it with --data.")
    return Path(args.data)
