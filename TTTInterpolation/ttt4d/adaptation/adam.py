"""Adam [1]_, which takes the steps of an adaptation.

The optimisers of torch load its compiler when the first of them is made: more than a second that a run of a few steps
would wait for, and nothing of which it uses.

References
----------
.. [1] Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable

import torch
from torch import Tensor

# The decay rates of both moments, and what keeps the division finite: those of the paper.
DECAY = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """The steps of Adam over some parameters, bit for bit those of `torch.optim.Adam` of torch 2.1 and later.

    Parameters
    ----------
    parameters : iterable of Tensor
        Changed in place.
    learning_rate : float
        Largest change of a parameter in a step, about.

    Examples
    --------
    >>> weight = torch.tensor([1.0], requires_grad=True)
    >>> adam = Adam([weight], learning_rate=0.1)
    >>> (weight**2).sum().backward()
    >>> adam.step()
    >>> round(weight.item(), 3), weight.grad
    (0.9, None)
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = list(parameters), learning_rate
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self._counts = [0] * len(self.parameters)

    def state_dict(self) -> Dict[str, Any]:
        """Return what further steps depend on, beside the parameters."""
        return {"moments": self._moments, "counts": self._counts}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._moments = [(mean.clone(), square.clone()) for mean, square in state["moments"]]
        self._counts = list(state["counts"])

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients, and clear them; a parameter without gradient stays as it is."""
        for n, (parameter, (mean, square)) in enumerate(zip(self.parameters, self._moments)):
            if parameter.grad is None:
                continue
            self._counts[n] += 1
            mean.lerp_(parameter.grad, 1 - DECAY[0])
            square.mul_(DECAY[1]).addcmul_(parameter.grad, parameter.grad, value=1 - DECAY[1])
            corrections = [1 - decay**self._counts[n] for decay in DECAY]
            scale = (square.sqrt() / math.sqrt(corrections[1])).add_(EPSILON)
            parameter.addcdiv_(mean, scale, value=-self.learning_rate / corrections[0])
            parameter.grad = None
