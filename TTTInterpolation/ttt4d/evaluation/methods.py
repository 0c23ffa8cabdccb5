"""Every method that can be measured, by name.

`blend`; the registrations `demons`, `elastix`, `syn` and `greedy`; the published UVI-Net (`uvinet`, and `uvinet-ttt`
with its test-time training as its code does it); and ours: `base` (no adaptation), `default` (what a user gets), and
each auxiliary task with a scheme, such as `rotation-online`. A task alone means `online`. `general/base` takes other
weights than those of the run.

A new peer is one class in `baselines` and one entry in `METHODS`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ..errors import SettingsError
from ..images.volume import Geometry, Triple, Volume
from ..settings import NO_ADAPTATION, SCHEMES, AdaptationSettings, InterpolationSettings
from ..temporal.auxiliary import TASKS
from . import baselines
from .protocol import Method, Pair

if TYPE_CHECKING:  # torch is imported by the methods that need it
    from ..temporal.adapted import Adapted


@dataclass(frozen=True)
class Options:
    """What methods need to know of a run.

    Parameters
    ----------
    weights : str
        Name or file of the weights of our methods.
    uvinet : str, optional
        Checkpoint of UVI-Net, as `ttt4d train --model uvinet` writes it.
    device : str
        "auto", "cpu", "cuda" or "mps".
    seed : int
        Seed of every random number.
    """

    weights: str = "cardiac"
    uvinet: Optional[str] = None
    device: str = "auto"
    seed: int = 0


class TTT4D(Method):
    """The engine itself. A single call adapts to one case; in a cohort the batches of the scheme are the cases.

    Parameters
    ----------
    options : Options
        Weights, device and seed.
    adaptation : AdaptationSettings
        How it adapts.
    """

    def __init__(self, options: Options, adaptation: AdaptationSettings) -> None:
        from ..temporal.pipeline import Interpolator

        self.settings = InterpolationSettings(weights=options.weights, device=options.device, seed=options.seed,
                                              adaptation=adaptation)
        self.interpolator = Interpolator(options.weights, options.device)

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        """Adapt to one case and interpolate; see `Method.__call__`."""
        return self._frames(self.interpolator.adapt(as_volumes(phase0, phase1, spacing), self.settings), times)

    def displacement(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Optional[Triple]) -> np.ndarray:
        """Adapt to one case and return its whole motion; see `Method.displacement`."""
        adapted = self.interpolator.adapt(as_volumes(phase0, phase1, spacing), self.settings)
        *_, last = self.interpolator.interpolate(adapted, (0.5,), displacements=True)
        return np.asarray(last.displacement)

    def cohort(self, pairs: Sequence[Pair]) -> Iterator[Sequence[np.ndarray]]:
        """Adapt to the cases with the scheme, and interpolate each with the weights reached for it."""
        patients = [as_volumes(pair.phase0, pair.phase1, pair.spacing) for pair in pairs]
        for pair, adapted in zip(pairs, self.interpolator.adapt_cohort(patients, self.settings)):
            yield self._frames(adapted, pair.times)

    def _frames(self, adapted: Adapted, times: Sequence[float]) -> Sequence[np.ndarray]:
        return [frame.array for frame in self.interpolator.interpolate(adapted, times) if not frame.acquired]


def as_volumes(phase0: np.ndarray, phase1: np.ndarray, spacing: Optional[Triple]) -> Tuple[Volume, Volume]:
    """Return two phases (k, j, i) as volumes; voxels of 1 mm if the spacing is unknown."""
    grid = Geometry(phase0.shape, spacing or (1.0, 1.0, 1.0))
    return (Volume(np.ascontiguousarray(phase0, dtype=np.float32), grid),
            Volume(np.ascontiguousarray(phase1, dtype=np.float32), grid))


def _ours(task: str, scheme: str) -> Callable[[Options], Method]:
    return lambda options: TTT4D(options, AdaptationSettings(auxiliary=task, scheme=scheme))


def _uvinet(adapt: bool) -> Callable[[Options], Method]:
    def make(options: Options) -> Method:
        from .uvinet import UVINetMethod

        if options.uvinet is None:
            raise SettingsError("uvinet needs --uvinet FILE: make it with ttt4d train --model uvinet.")
        return UVINetMethod(options.uvinet, adapt, options.seed)

    return make


METHODS: Dict[str, Callable[[Options], Method]] = {
    "blend": lambda options: baselines.Blend(),
    "demons": lambda options: baselines.Demons(),
    "elastix": lambda options: baselines.Elastix(),
    "syn": lambda options: baselines.SyN(),
    "greedy": lambda options: baselines.Greedy(),
    "uvinet": _uvinet(adapt=False),
    "uvinet-ttt": _uvinet(adapt=True),
    "base": _ours(NO_ADAPTATION, "online"),
    "default": lambda options: TTT4D(options, AdaptationSettings()),
    **{task: _ours(task, "online") for task in TASKS},
    **{f"{task}-{scheme}": _ours(task, scheme) for task in TASKS for scheme in SCHEMES},
}


def make_method(name: str, options: Options = Options()) -> Method:
    """Make a method by its name.

    Parameters
    ----------
    name : str
        A key of `METHODS`, or WEIGHTS/METHOD to take other weights than those of the options.
    options : Options
        What the method needs to know of the run.

    Raises
    ------
    SettingsError
        If there is no method of this name, or it needs an option that is missing.
    UserError
        If the method needs weights that cannot be loaded.
    """
    weights, _, method = name.rpartition("/")
    if method not in METHODS:
        raise SettingsError(f"Unknown method '{method}': choose one of {', '.join(METHODS)}.")
    if weights:
        options = dataclasses.replace(options, weights=weights)
    return METHODS[method](options)
