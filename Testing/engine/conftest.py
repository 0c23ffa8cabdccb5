"""What the engine's tests share: a small network, and phases of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List

import numpy as np
import pytest
import torch
from hypothesis import settings

from ttt4d import weights
from ttt4d.images.volume import Geometry, Volume
from ttt4d.temporal import models
from ttt4d.temporal.network.interpolator import NetworkSettings
from ttt4d.temporal.phantom import BeatingHeart
from ttt4d.weights.files import save

# No deadlines: a machine may be busy. The same examples every time: a commit does not fail for another one's fault.
settings.register_profile("engine", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("engine")

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
