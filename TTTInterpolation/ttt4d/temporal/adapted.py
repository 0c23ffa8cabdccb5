"""One patient's phases with the weights adapted to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ..adaptation.adapted import AdaptedWeights
from ..settings import InterpolationSettings
from .network.interpolator import InterpolationNetwork
from .prepared import PhasePairs


@dataclass(frozen=True)
class Adapted:
    """What `Interpolator.adapt` returns and `Interpolator.interpolate` takes.

    Parameters
    ----------
    pairs : PhasePairs
        The pairs of phases, on the canvas.
    phase_times : tuple of float
        When each phase was acquired, strictly increasing, in any unit.
    settings : InterpolationSettings
        The settings of the adaptation.
    weights : AdaptedWeights
        The weights of every batch, those of other patients of a cohort too.
    first : int
        The batch that is the first pair of this patient.
    """

    pairs: PhasePairs
    phase_times: Tuple[float, ...]
    settings: InterpolationSettings
    weights: AdaptedWeights
    first: int = 0

    def network(self, pair: int) -> InterpolationNetwork:
        """Return the network with the weights for a pair; adapts to it where that was not done yet."""
        return self.weights.network(self.first + pair)
