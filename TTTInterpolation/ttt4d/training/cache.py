"""A packed cache of a training set: one file that loads in a second and fits in memory.

Every frame is scaled to [0, 1] by its own minimum and maximum (the paper's protocol) and kept in 8 bits: the rounding
error lies at -59 dB, far under the noise of the images.
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
    """One patient's cycle: frames (T, k, j, i) in 8 bits, and which of them are end-diastole and end-systole.

    ranges: (T, 2), each frame's minimum and maximum in the file's own intensities.
    """

    frames: Tensor
    ed: int
    es: int
    ranges: Tensor


def pack(path: Path, cases: Iterable[Tuple[str, np.ndarray, int, int]]) -> None:
    """Write a cache of cases (name, frames (T, k, j, i) of any real type, ED index, ES index), both counted from 0."""
    tensors, index = {}, {}
    for name, frames, ed, es in cases:
        frames = np.asarray(frames, dtype=np.float32)
        low = frames.min(axis=(1, 2, 3), keepdims=True)
        high = frames.max(axis=(1, 2, 3), keepdims=True)
        tensors[name] = torch.from_numpy(np.rint((frames - low) / (high - low) * 255).astype(np.uint8))
        tensors[name + RANGES] = torch.from_numpy(np.concatenate([low, high], axis=1).reshape(-1, 2))
        index[name] = [int(ed), int(es)]
    # Whole or not at all; the process's number keeps several of one run apart.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with writing(str(path)):
        try:
            save_file(tensors, str(part), metadata={"index": json.dumps(index)})
        except SafetensorError as error:  # does not say why; most often the disk is full
            raise OutputError(f"{path.name} cannot be written: make room, or choose another folder.") from error
        os.replace(part, path)


def names(path: Path) -> List[str]:
    """The cases of a cache, sorted. Raises InputError for a file that is no such cache."""
    with _opened(path) as (_, index):
        return sorted(index)


def load(path: Path) -> List[CineSequence]:
    """The beats of a cache, sorted by name. Raises InputError for a file that is no such cache."""
    with _opened(path) as (file, index):
        return [CineSequence(file.get_tensor(name), *index[name], file.get_tensor(name + RANGES))
                for name in sorted(index)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Tuple[Any, Dict[str, List[int]]]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file, json.loads(file.metadata()["index"])
    except (SafetensorError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no training cache of this version: give another --cache.") from error
