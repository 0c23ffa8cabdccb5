"""A packed cache of a training set: one file that loads in a second and fits in memory.

Every frame is scaled to [0, 1] by its own minimum and maximum, as in the published protocol (arXiv 2502.02341), and
stored in 8 bits. The rounding error is at -59 dB, far below the noise of the images.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Tuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, OutputError
from ..images.output_paths import writing

RANGES = ".ranges"


@dataclass(frozen=True)
class CineSequence:
    """The frames of one patient over one cycle.

    Parameters
    ----------
    frames : Tensor of shape (T, k, j, i), uint8
        Each frame scaled to 0-255 by its own minimum and maximum.
    ed, es : int
        Numbers of the end-diastolic and the end-systolic frame, counted from 0.
    ranges : Tensor of shape (T, 2)
        Minimum and maximum of each frame in the intensities of the file.
    """

    frames: Tensor
    ed: int
    es: int
    ranges: Tensor


def pack(path: Path, cases: Iterable[Tuple[str, np.ndarray, int, int]]) -> None:
    """Write a cache.

    Parameters
    ----------
    path : Path
        The file to write.
    cases : iterable of tuple
        Name, frames (T, k, j, i) of any real type, and the numbers of the ED and ES frame, counted from 0.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    tensors, index = {}, {}
    for name, frames, ed, es in cases:
        frames = np.asarray(frames, dtype=np.float32)
        low = frames.min(axis=(1, 2, 3), keepdims=True)
        high = frames.max(axis=(1, 2, 3), keepdims=True)
        tensors[name] = torch.from_numpy(np.rint((frames - low) / (high - low) * 255).astype(np.uint8))
        tensors[name + RANGES] = torch.from_numpy(np.concatenate([low, high], axis=1).reshape(-1, 2))
        index[name] = [int(ed), int(es)]
    # The file appears complete or not at all; the process number keeps the processes of one run apart.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with writing(str(path)):
        try:
            save_file(tensors, str(part), metadata={"index": json.dumps(index)})
        except SafetensorError as error:  # does not say why; most often the disk is full
            raise OutputError(f"{path.name} cannot be written: make room, or choose another folder.") from error
        os.replace(part, path)


def names(path: Path) -> List[str]:
    """Return the names of the cases in a cache, sorted. Raises InputError if the file is not a cache."""
    with _opened(path) as (_, index):
        return sorted(index)


def load(path: Path) -> List[CineSequence]:
    """Return the sequences of a cache, sorted by name. Raises InputError if the file is not a cache."""
    with _opened(path) as (file, index):
        return [CineSequence(file.get_tensor(name), ed, es, file.get_tensor(name + RANGES))
                for name, (ed, es) in sorted(index.items())]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Tuple[Any, Dict[str, List[int]]]]:
    """Open a cache, and read the ED and ES frame of each case."""
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file, json.loads(file.metadata()["index"])
    except (SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no training cache of this version: give another --cache.") from error
