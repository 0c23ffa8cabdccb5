"""Weights files: one safetensors file holds the network, every auxiliary head, and what made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import nn

from ..errors import WeightsError
from . import TEMPORAL, locate
from .model import Model

FORMAT = "ttt4d-weights-1"


def save(path: Path, model: Model, card: Dict[str, Any], axis: str = TEMPORAL) -> None:
    """Write the weights of a model.

    Parameters
    ----------
    path : Path
        The new file.
    model : Model
        The network and its auxiliary tasks.
    card : dict
        What the file says of itself: name, data, licence, date, command, seed, figures.
    axis : str
        The axis that the network fills, such as "temporal".
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.modules.state_dict().items()}
    metadata = {"format": FORMAT, "axis": axis, "network": json.dumps(model.network.settings.to_json()),
                "card": json.dumps(card)}
    Path(path).write_bytes(serialized(tensors, metadata))  # a file that others may read, as `save_file` makes none


def load(weights: str, axis: str, new_network: Callable[[Dict[str, Any]], nn.Module],
         new_tasks: Callable[[Any], Dict[str, nn.Module]]) -> Model:
    """Load the model of a packaged name or a file, on the CPU.

    Parameters
    ----------
    weights : str
        A packaged name, such as "cardiac", or the path of a file.
    axis : str
        The axis that the network must fill.
    new_network : callable
        Makes the network from the settings that the file's header holds, as JSON.
    new_tasks : callable
        Makes every auxiliary task, by name, from the network's settings.

    Returns
    -------
    Model
        Without the tasks whose head the file does not hold. Nothing in it requires a gradient.

    Raises
    ------
    WeightsError
        The file is missing, damaged, of another axis, or not weights of this program.
    """
    path = locate(weights)
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except PermissionError as error:
        raise WeightsError(f"The weights file '{path.name}' may not be opened: change its permissions.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"The weights file '{path.name}' is damaged or not a safetensors file: get it again.") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"'{path.name}' holds weights of another program: give a file made by `ttt4d train`.")
    found = metadata.get("axis", TEMPORAL)
    if found != axis:
        raise WeightsError(f"The weights file '{path.name}' is for the {found.replace('_', '-')} axis: choose weights "
                           f"for the {axis.replace('_', '-')} axis.")
    try:
        card = json.loads(metadata["card"])
        network = new_network(json.loads(metadata["network"]))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise WeightsError(f"The header of the weights file '{path.name}' is damaged: get it again.") from error
    # A task whose head came after these weights is left out: only who chooses it has to know.
    tasks = {name: task for name, task in new_tasks(network.settings).items()
             if not task.has_head or any(key.startswith(f"{name}.") for key in tensors)}
    model = Model(network, tasks, card)
    try:
        model.modules.load_state_dict({key: value for key, value in tensors.items()
                                       if key.split(".")[0] in model.modules})
    except RuntimeError as error:
        raise WeightsError(f"The weights file '{path.name}' does not fit this version of the network: "
                           "train it again or get a newer file.") from error
    model.modules.requires_grad_(False).eval()
    if not all(torch.isfinite(p).all() for p in model.modules.parameters()):
        raise WeightsError(f"The weights file '{path.name}' holds numbers that are not finite: get it again.")
    return model
