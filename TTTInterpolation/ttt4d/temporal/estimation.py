"""What the network estimates for the times between two phases."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..devices import mixed_precision
from .network.interpolator import Estimate, InterpolationNetwork
from .phase_pair import PhasePair

# Times estimated in one batch.
TIME_BATCH = 3


def time_batches(times: Sequence[float]) -> List[Tuple[float, ...]]:
    """Divide times into batches that are estimated together, which limits memory.

    No batch holds a single time where there are several: see `estimate`.

    >>> time_batches((0.2, 0.4, 0.6, 0.8))
    [(0.2, 0.4), (0.6, 0.8)]
    """
    count = -(-len(times) // TIME_BATCH)
    return [tuple(batch.tolist()) for batch in np.array_split(np.array(times), count)] if times else []


def features_of(network: InterpolationNetwork, pair: PhasePair) -> List[Tensor]:
    """Return the features of both phases, one map (2, channels, k, j, i) a level of f, finest first."""
    with mixed_precision(pair.device, pair.grid):
        return network.features(pair.phases, pair.strides)


def estimate(network: InterpolationNetwork, pair: PhasePair, features: Sequence[Tensor],
             times: Sequence[float]) -> Estimate:
    """Estimate motion, confidence and residual at some times.

    Parameters
    ----------
    network : InterpolationNetwork
        f and h.
    pair : PhasePair
        The phases on the canvas.
    features : sequence of Tensor
        From `features_of`; they are the same for all times of the pair.
    times : sequence of float
        0 at phase 0, 1 at phase 1.

    Returns
    -------
    Estimate
        One item for each time. A single time is estimated twice, because PyTorch takes a slow 3D convolution on the CPU
        for a batch of one.
    """
    time = torch.tensor(times if len(times) > 1 else [*times] * 2, device=pair.device)

    def for_each(tensor: Tensor) -> Tensor:
        return tensor.expand(len(time), -1, -1, -1, -1)

    with mixed_precision(pair.device, pair.grid):
        return network.estimate(for_each(pair.phases[:1]), for_each(pair.phases[1:]),
                                [for_each(f[:1]) for f in features], [for_each(f[1:]) for f in features], time)
