"""One patient's phases with the weights adapted to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

from ..adaptation.adapted import AdaptedWeights
from ..adaptation.schemes import StepReport
from ..settings import NO_ADAPTATION, InterpolationSettings
from ..weights.model import Model
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


def adapted_cohort(model: Model, cohort: Sequence[PhasePairs], phase_times: Sequence[Sequence[float]],
                   settings: InterpolationSettings, on_step: StepReport) -> List[Adapted]:
    """Return every patient of a cohort with the weights adapted to it; the batches are the pairs of all patients."""
    adapts = settings.adaptation.auxiliary != NO_ADAPTATION
    batches = [pair for pairs in cohort for pair in pairs] if adapts else []
    weights = AdaptedWeights.of(model, settings.adaptation, batches, cohort[0].device, settings.seed, on_step)
    firsts = [sum(map(len, cohort[:n])) for n in range(len(cohort))]
    return [Adapted(pairs, tuple(times), settings, weights, first)
            for pairs, times, first in zip(cohort, phase_times, firsts)]
