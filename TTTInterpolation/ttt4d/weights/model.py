"""A network with its auxiliary heads and the description of its weights, on either axis."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Dict, Sequence

import torch
from torch import nn

from ..errors import WeightsError


@dataclass(frozen=True)
class Model:
    """The sideways Y: the network (f and h), the auxiliary heads (g) by task, and the card of the weights file.

    A task whose head the file does not hold is missing in `tasks`.

    Parameters
    ----------
    network : nn.Module
        The network of the axis; its `settings` tell its widths.
    tasks : dict of str to nn.Module
        The auxiliary tasks by name.
    card : dict
        What the file says of itself: name, data, licence, date, stages, figures, `adaptation`.
    """

    network: Any  # nn.Module would hide the methods that each axis adds
    tasks: Dict[str, Any]
    card: Dict[str, Any]

    @property
    def modules(self) -> nn.ModuleDict:
        """All that has weights, by the names they have in a file."""
        return nn.ModuleDict({"network": self.network, **self.tasks})

    def adaptation(self, task: str) -> Dict[str, Any]:
        """Return the `iterations` and `learning_rate` that these weights adapt best with by a task; may be empty."""
        return dict(self.card.get("adaptation", {}).get(task, {}))


def mean_model(models: Sequence[Model]) -> Model:
    """Average the weights of models of one kind, better than each where they come from one start (model soup).

    Raises WeightsError where they are of different kinds. The card tells the stages of each, and its share.
    """
    if len(models) == 1:
        return models[0]
    first = models[0]
    if any(m.network.settings != first.network.settings or m.tasks.keys() != first.tasks.keys() for m in models):
        raise WeightsError("These weights are of different widths or tasks, which have no mean: give one of them.")
    stages = [model.card.get("stages", []) for model in models]
    distinct = [of for n, of in enumerate(stages) if of not in stages[:n]]
    mean = {"stage": "mean", "of": distinct, "shares": [stages.count(of) / len(stages) for of in distinct]}
    result = Model(copy.deepcopy(first.network), copy.deepcopy(first.tasks), {"stages": [mean]})
    states = [model.modules.state_dict() for model in models]
    result.modules.load_state_dict({key: torch.stack([state[key] for state in states]).mean(0) for key in states[0]})
    return result
