"""Base weights w0: one safetensors file that holds f, h, every auxiliary head g, and what made them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Sequence

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import nn

from .auxiliary import TASKS, task_class
from .errors import WeightsError
from .network.interpolator import InterpolationNetwork, NetworkSettings
from .weights_file import FOLDER, checksum, locate, names  # noqa: F401 - all about weights in one place

FORMAT = "ttt4d-weights-1"


@dataclass(frozen=True)
class Model:
    """The sideways Y: the network (f and h), the auxiliary heads (g) by task, and the file's own description.

    A task whose head the file does not hold is missing in `tasks`.
    """

    network: InterpolationNetwork
    tasks: Dict[str, nn.Module]
    card: Dict[str, Any]

    @property
    def modules(self) -> nn.ModuleDict:
        """All that has weights, by the names they have in a file."""
        return nn.ModuleDict({"network": self.network, **self.tasks})


def new_model(settings: NetworkSettings = NetworkSettings()) -> Model:
    """A model with fresh weights, drawn from torch's global generator."""
    return Model(InterpolationNetwork(settings), {name: task_class(name)(settings) for name in TASKS}, {})


def mean(models: Sequence[Model]) -> Model:
    """The mean of the weights of models of one kind, better than each where they come from one start (model soup).

    Raises WeightsError where they are of different kinds. The card tells the stages of each.
    """
    if len(models) == 1:
        return models[0]
    first = models[0]
    if any(m.network.settings != first.network.settings or m.tasks.keys() != first.tasks.keys() for m in models):
        raise WeightsError("These weights are of different widths or tasks, which have no mean: give one of them.")
    stages = [{"stage": "mean", "of": [model.card.get("stages", []) for model in models]}]
    result = Model(copy.deepcopy(first.network), copy.deepcopy(first.tasks), {"stages": stages})
    states = [model.modules.state_dict() for model in models]
    result.modules.load_state_dict({key: torch.stack([state[key] for state in states]).mean(0) for key in states[0]})
    return result


def save(path: Path, model: Model, card: Dict[str, Any]) -> None:
    """Write a model; card: what the model card says of it (name, data, licence, date, command, seed, figures)."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.modules.state_dict().items()}
    metadata = {"format": FORMAT, "network": json.dumps(model.network.settings.to_json()), "card": json.dumps(card)}
    Path(path).write_bytes(serialized(tensors, metadata))  # a file that others may read, as `save_file` makes none


def load(weights: str) -> Model:
    """The model of a packaged name or a file, on the CPU.

    Raises WeightsError for a file that is missing, damaged, or not weights of this program.
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
    try:
        card = json.loads(metadata["card"])
        model = new_model(NetworkSettings.from_json(json.loads(metadata["network"])))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise WeightsError(f"The header of the weights file '{path.name}' is damaged: get it again.") from error
    # A task whose head came after these weights is left out: only who chooses it has to know.
    trained = {name: task for name, task in model.tasks.items()
               if not task.has_head or any(key.startswith(f"{name}.") for key in tensors)}
    try:
        for prefix, module in (("network", model.network), *trained.items()):
            module.load_state_dict({k[len(prefix) + 1:]: v for k, v in tensors.items() if k.startswith(prefix + ".")})
    except RuntimeError as error:
        raise WeightsError(f"The weights file '{path.name}' does not fit this version of the network: "
                           "train it again or get a newer file.") from error
    model = Model(model.network, trained, card)
    for module in (model.network, *model.tasks.values()):
        module.requires_grad_(False).eval()
        if not all(torch.isfinite(p).all() for p in module.parameters()):
            raise WeightsError(f"The weights file '{path.name}' holds numbers that are not finite: get it again.")
    return model
