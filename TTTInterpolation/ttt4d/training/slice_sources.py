"""Where thin slices come from: public volumes, cine MR as video (time is the slice axis), generated anatomies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, List, Mapping, Sequence, Tuple

import numpy as np
import torch
from torch import Generator, Tensor

from ..images.datasets import index_rows
from ..through_plane.scale import RobustScale
from . import slice_anatomies

CINE_FRAMES = 17


@dataclass(frozen=True)
class Source:
    """One volume to draw from.

    volume : (k, j, i), intensities near [0, 1], in half precision
    spacing : of (k, j, i), in any unit
    turnable : whether any axis may be the slice axis; a film's first one only
    weight : how often it is drawn
    """

    name: str
    volume: Tensor
    spacing: Tuple[float, float, float]
    turnable: bool = True
    weight: float = 1.0


def read(path: Path) -> Tuple[np.ndarray, Tuple[float, float, float]]:
    """Voxels (k, j, i) or (t, k, j, i) and spacing of a NIfTI file."""
    import nibabel

    image: Any = nibabel.load(path)
    di, dj, dk = (float(spacing) for spacing in image.header.get_zooms()[:3])
    return np.asarray(image.dataobj, dtype=np.float32).T, (dk, dj, di)


def scaled(array: np.ndarray) -> Tensor:
    """Voxels on the network's intensity scale, in half precision."""
    volume = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return RobustScale.of(volume).to_unit(volume).half()


def volumes(folder: Path, split: str, names: Sequence[str] = ()) -> List[Source]:
    """Read the volumes of a split of an index (`index.csv`), or those of them that are named."""
    found = []
    for row in index_rows(folder, split, names):
        array, spacing = read(folder / f"{row['name']}.nii.gz")
        found.append(Source(row["name"], scaled(array), spacing, weight=_weight(row)))
    return found


def _weight(row: Mapping[str, str]) -> float:
    """Return how often a volume is drawn: ten brains of one kind must not outweigh what is there once, such as CT."""
    if "oasis" in row["name"]:
        return 0.5
    return 5.0 if row["kind"] == "ct" else 2.0


def films(folder: Path) -> List[Source]:
    """Return each slice of the training split's cine MR as a film (t, j, i), its frames as far apart as its pixels."""
    found = []
    for row in index_rows(folder, "train"):
        patient = f"patient{row['patient']}"
        cine, _ = read(folder / patient / f"{patient}_4d.nii.gz")
        if len(cine) >= CINE_FRAMES:
            found += [Source(f"{patient}-{k}", scaled(cine[:, k]), (1.0, 1.0, 1.0), False)
                      for k in range(cine.shape[1])]
    return found


def generated(count: int = 40, seed: int = 0) -> List[Source]:
    """Return generated anatomies in 3D, and half as many films."""
    generator = Generator().manual_seed(seed)
    still = [Source(f"anatomy-{n}", slice_anatomies.anatomy(generator).half(), (1.0, 1.0, 1.0)) for n in range(count)]
    return still + [Source(f"film-{n}", slice_anatomies.video(generator).half(), (1.0, 1.0, 1.0), False)
                    for n in range(count // 2)]


def cached(path: Path, make: Callable[[], List[Source]]) -> List[Source]:
    """Return the sources of a file, which is made if it is missing."""
    if not path.is_file():
        torch.save([vars(source) for source in make()], path)
    return [Source(**values) for values in torch.load(path, weights_only=True)]


def shared(sources: Sequence[Source], share: float) -> List[Source]:
    """Return sources of one kind with weights that sum to its share of the draws."""
    total = sum(source.weight for source in sources)
    return [replace(source, weight=source.weight * share / total) for source in sources]
