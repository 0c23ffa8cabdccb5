"""The weights of the network for each batch, as adaptation leaves them."""

from __future__ import annotations

import copy
import itertools
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from torch import nn

from ..report import AdaptationReport
from ..settings import NO_ADAPTATION, AdaptationSettings
from ..weights.model import Model
from .schemes import LOOPS, Adaptation, StepReport, ignore_step
from .task import Batch


class AdaptedWeights:
    """The network with the weights adapted to each of the batches b_1..b_m.

    A batch is adapted to when its network is first asked for. The weights of f are kept for every batch that the scheme
    has passed, so the batches can be asked for in any order, and more than once.

    Parameters
    ----------
    network : nn.Module
        The network with the base weights w0. It is changed in place, and belongs to this object from now on.
    adaptation : Adaptation, optional
        Takes the steps, on a network of its own. By default there is no adaptation: every batch has the weights w0.
    scheme : str
        Name of the scheme, a key of `LOOPS`.
    batches : sequence of Batch
        The batches in the order of the scheme.
    """

    def __init__(self, network: nn.Module, adaptation: Optional[Adaptation] = None, scheme: str = "online",
                 batches: Sequence[Batch] = ()) -> None:
        self._network, self._adaptation = network, adaptation
        self._loop: Iterator[None] = LOOPS[scheme](adaptation, batches) if adaptation else itertools.repeat(None)
        self._features: List[Dict[str, torch.Tensor]] = []

    @classmethod
    def of(cls, model: Model, settings: AdaptationSettings, batches: Sequence[Batch], device: torch.device, seed: int,
           on_step: StepReport = ignore_step) -> AdaptedWeights:
        """Return the weights adapted from those of a model, which stays as it is.

        Parameters
        ----------
        model : Model
            The base weights w0 and the auxiliary tasks.
        settings : AdaptationSettings
            Task, scheme, iterations and learning rate.
        batches : sequence of Batch
            On `device`.
        device : torch.device
            Where the network runs.
        seed : int
            Seed of the random draws of the task.
        on_step : callable
            Called after every step with the number of the batch, the number of its step, and the loss.

        Raises
        ------
        WeightsError
            The weights hold no head for the task.
        """
        network = copy.deepcopy(model.network).to(device)
        if settings.auxiliary == NO_ADAPTATION:
            return cls(network)
        return cls(network, Adaptation.of(model, settings, device, seed, on_step), settings.scheme, batches)

    @property
    def iterations(self) -> int:
        """Gradient steps on each batch; 0 without adaptation."""
        return self._adaptation.iterations if self._adaptation else 0

    @property
    def report(self) -> List[AdaptationReport]:
        """The losses of every batch that was adapted to so far, and whether its steps were kept."""
        if self._adaptation is None:
            return []
        return [{"batch": batch, "losses": self._adaptation.losses[batch],
                 "held_out_loss": list(self._adaptation.held_out_losses[batch]), "kept": kept}
                for batch, kept in sorted(self._adaptation.accepted.items())]

    def network(self, batch: int) -> Any:
        """Return the network with the weights for a batch; they hold until another batch is asked for."""
        while len(self._features) <= batch:
            next(self._loop)
            adapted = self._adaptation.network if self._adaptation else self._network
            self._features.append(copy.deepcopy(adapted.get_submodule("features").state_dict()))
        self._network.get_submodule("features").load_state_dict(self._features[batch])
        return self._network
