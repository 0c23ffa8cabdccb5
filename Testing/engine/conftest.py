"""What the engine's tests share: a small network, phases of any size, sequences, and `ttt4d` as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, List

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import settings

from shell import SMALL
from ttt4d import weights
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry, Volume
from ttt4d.temporal import models
from ttt4d.temporal.network.interpolator import NetworkSettings
from ttt4d.temporal.phantom import BeatingHeart, beating_heart
from ttt4d.through_plane import models as through_plane_models
from ttt4d.through_plane.network import through_plane
from ttt4d.training.cache import CineSequence
from ttt4d.weights.files import save

# No deadlines: a machine may be busy. The same examples every time: a commit does not fail for another one's fault.
settings.register_profile("engine", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("engine")

ENGINE = Path(__file__).parents[2] / "TTTInterpolation"
GRID = Geometry((5, 26, 30), (8.0, 3.0, 3.0), (-40.0, 10.0, 7.0), ((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0)))


@pytest.fixture(scope="session")
def small() -> NetworkSettings:
    """Few channels, for tests in which it does not matter what the network has learned."""
    return NetworkSettings(features=(4, 6, 8), motion=(8, 8), refinement=(6, 8))


@pytest.fixture(scope="session")
def small_weights(small, tmp_path_factory) -> str:
    """A file of a small network with random weights, whose every part has a say in the frame."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save(path, models.new_model(small), {"name": "small", "date": "2025-01-01"})
    return str(path)


@pytest.fixture(scope="session")
def slice_weights(tmp_path_factory) -> str:
    """A file of a small network with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small-slices.safetensors"
    model = through_plane_models.new_model(through_plane.NetworkSettings(channels=4, blocks=1, hidden=4))
    save(path, model, {"name": "small"}, through_plane_models.AXIS)
    return str(path)


@pytest.fixture(scope="session")
def phases() -> Callable[..., List[Volume]]:
    """phases(count, grid, dtype): that many phase_times of one beating heart, from end-diastole to end-systole."""
    def make(count: int = 2, grid: Geometry = GRID, dtype=np.int16) -> List[Volume]:
        heart = BeatingHeart.within(grid)
        return [heart.frame(grid, n / (count - 1), 0.01, dtype) for n in range(count)]
    return make


@pytest.fixture(scope="session")
def cardiac() -> str:
    """The packaged weights, for tests of what they have learned."""
    if not Path(weights.FOLDER / "cardiac.safetensors").is_file():
        pytest.skip("the packaged `cardiac` weights are not there yet")
    return "cardiac"


@pytest.fixture(scope="session")
def sequences() -> List[CineSequence]:
    """Two patients of eight frames whose brightness tells the frame's number."""
    generator = torch.Generator().manual_seed(0)
    brightness = 25.0 * torch.arange(8).view(8, 1, 1, 1)
    return [CineSequence((torch.rand(1, 7, 30, 28, generator=generator) * 20 + brightness).to(torch.uint8), ed, es,
                         torch.tensor([[0.0, 1.0]] * 8))
            for ed, es in ((0, 3), (1, 5))]


@pytest.fixture
def pair(tmp_path) -> List[str]:
    """Paths of end-diastole and end-systole, alone in a folder of their own."""
    folder = tmp_path / "phases"
    folder.mkdir()
    paths = [str(folder / name) for name in ("ed.nrrd", "es.nrrd")]
    for path, volume in zip(paths, beating_heart((0, 1), SMALL)[0]):
        sitk.WriteImage(to_sitk(volume), path)
    return paths


@pytest.fixture
def start(tmp_path) -> Callable[..., subprocess.Popen]:
    """Starts `python *arguments` in the test's folder, on one thread, with pipes for its three streams."""
    children = []

    def popen(*arguments: str, **options) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}
        options.update(dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE), cwd=tmp_path, env=environment)
        if os.name == "posix":  # a test run in a shell's background would hand on that Ctrl-C or SIGHUP is ignored
            options.setdefault("preexec_fn", lambda: [signal.signal(number, signal.SIG_DFL)
                                                      for number in (signal.SIGINT, signal.SIGHUP)])
        children.append(subprocess.Popen([sys.executable, *arguments], **options))
        return children[-1]

    yield popen
    for child in children:
        child.kill()
        for pipe in (child.stdin, child.stdout, child.stderr):
            pipe.close()
        child.wait()
