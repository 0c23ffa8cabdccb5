"""The models of the axis between slices: fresh ones, and those of weights files."""

from __future__ import annotations

from typing import Dict

from torch import nn

from ..weights import THROUGH_PLANE, files
from ..weights.model import Model
from .auxiliary import TASKS, task_class
from .network.through_plane import NetworkSettings, ThroughPlaneNetwork

AXIS = THROUGH_PLANE


def new_model(settings: NetworkSettings = NetworkSettings()) -> Model:
    """Return a model with fresh weights, drawn from torch's global generator."""
    return Model(ThroughPlaneNetwork(settings), _new_tasks(settings), {})


def load(weights: str) -> Model:
    """Load the model of a packaged name or a file, on the CPU; see `ttt4d.weights.files.load`."""
    return files.load(weights, AXIS, lambda values: ThroughPlaneNetwork(NetworkSettings.from_json(values)), _new_tasks)


def _new_tasks(settings: NetworkSettings) -> Dict[str, nn.Module]:
    return {name: task_class(name)(settings) for name in TASKS}
