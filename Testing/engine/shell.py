"""What tests of the command line and of the worker share: small images, and what lies in a folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import numpy as np
import SimpleITK as sitk

from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry, Volume

SMALL = Geometry((5, 24, 24), (8.0, 5.0, 5.0), (-60.0, -60.0, -16.0))
OBLIQUE = ((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0))

# Seconds after which a test has waited in vain. It says nothing of how long things should take: a machine may be busy.
PATIENCE = 900.0


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


@contextlib.contextmanager
def ends_within(seconds: float, child: subprocess.Popen) -> Iterator[None]:
    """Assert that a child ends in or after the block, and computes for no more than so many seconds until then.

    By the clock it may take longer, where other work waits for the processors too.
    """
    computed, others, began = _computed_by(child.pid), _computed_by_ended_children(), time.monotonic()
    yield
    child.wait(PATIENCE)
    waited = time.monotonic() - began
    if computed is not None:
        assert _computed_by_ended_children() - others - computed < seconds
    if computed is None or os.getloadavg()[0] < (os.cpu_count() or 1):
        assert waited < seconds


def _computed_by(process: int) -> Optional[float]:
    """The seconds that a process has computed so far; None on systems other than Linux."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        return None


def _computed_by_ended_children() -> float:
    return os.times().children_user + os.times().children_system


def files_in(folder) -> List[str]:
    """Every file and folder under a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def thick_volume(shape=(5, 20, 22), spacing=(6.0, 1.5, 1.2), dtype="int16", axis=0, seed=0,
                 direction=OBLIQUE) -> Volume:
    """Smooth structures over noise, their slices along an array axis."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    values = np.exp(-3 * ((j - 0.4 * k) ** 2 + (i + 0.3 * k) ** 2)) + 0.05 * rng.standard_normal(shape)
    values = np.moveaxis(100 * values.clip(0), 0, axis).astype(dtype)
    spacing = tuple(np.moveaxis(np.array(spacing)[:, None, None], 0, axis).ravel()) if axis == 0 else tuple(
        np.insert(spacing[1:], axis, spacing[0]))
    return Volume(values, Geometry(values.shape, tuple(map(float, spacing)), (-40.0, 10.0, 7.0), direction))


def written(path: str, **options) -> str:
    sitk.WriteImage(to_sitk(thick_volume(**options)), path)
    return path
