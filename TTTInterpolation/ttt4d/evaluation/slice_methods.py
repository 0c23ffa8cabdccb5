"""Methods that find slices: classical interpolators, the network with each adaptation, a network from nothing."""

from __future__ import annotations

from typing import Callable, Iterator, List, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from ..settings import NO_ADAPTATION
from ..through_plane import classical
from ..through_plane.auxiliary import TASKS
from ..through_plane.auxiliary.in_plane import InPlane
from ..through_plane.inference import interpolate
from ..through_plane.models import new_model
from ..through_plane.pipeline import SliceInterpolator, SliceRequest
from ..through_plane.scale import RobustScale
from ..through_plane.settings import GAP, THICK, SliceAdaptationSettings, SliceSettings
from ..through_plane.stack import SliceStack
from .slice_problems import Problem

# One result (n, j, i) for each problem, in order.
Method = Callable[[Sequence[Problem]], Iterator[Tensor]]
FROM_NOTHING = "from-nothing"


def method(name: str, weights: str, scheme: str = "online", iterations: int = 0, device: str = "auto",
           seed: int = 0) -> Method:
    """Return the method of a name: of `classical.METHODS`, `none` (base weights), a task, or `from-nothing`."""
    if name in classical.METHODS:
        return lambda problems: (classical.METHODS[name](p.acquired, p.positions) for p in problems)
    if name == FROM_NOTHING:
        return lambda problems: (from_nothing(p, iterations or 300) for p in problems)
    settings = SliceAdaptationSettings(name, scheme, iterations or None)
    return lambda problems: _ours(problems, SliceInterpolator(weights, device), settings, seed)


def names() -> List[str]:
    """All methods, in the order of the table."""
    return [*classical.METHODS, FROM_NOTHING, NO_ADAPTATION, *TASKS]


def _ours(problems: Sequence[Problem], interpolator: SliceInterpolator, adaptation: SliceAdaptationSettings,
          seed: int) -> Iterator[Tensor]:
    thickness = problems[0].thickness
    settings = SliceSettings(THICK if thickness else GAP, thickness or None, adaptation, seed)
    for result in interpolator.run_all([_request(p) for p in problems], settings):
        yield torch.from_numpy(result.array)


def _request(problem: Problem) -> SliceRequest:
    array = problem.acquired.numpy()
    positions = np.arange(len(array)) * problem.spacing[0]
    return SliceRequest(array, positions, problem.spacing[1:], problem.positions.double().numpy() * problem.spacing[0])


def from_nothing(problem: Problem, iterations: int) -> Tensor:
    """Fill in the slices by a fresh network of the same kind that learns from this volume's own slices alone.

    References
    ----------
    Zhao et al., SMORE, IEEE Trans. Med. Imaging 40(3), 2021: the idea; the code here is its own.
    """
    torch.manual_seed(0)
    scale = RobustScale.of(problem.acquired)
    steps = torch.full((len(problem.acquired) - 1,), problem.spacing[0])
    stack = SliceStack(scale.to_unit(problem.acquired), steps, problem.spacing[1:], problem.thickness, problem.target)
    network, task, generator = new_model().network, InPlane(), Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(iterations):
        optimizer.zero_grad(set_to_none=True)
        task.loss(network, stack, generator).backward()
        optimizer.step()
    return scale.from_unit(interpolate(network, stack, problem.positions))


