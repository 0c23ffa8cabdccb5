"""Every method that can be measured, by name.

`blend`; the registrations `demons`, `elastix`, `syn` and `greedy`; the published UVI-Net (`uvinet`, and `uvinet-ttt`
with its test-time training as its code does it); and ours: `base` (no adaptation), `default` (what a user gets), and
each auxiliary task with a scheme, such as `rotation-online`. A task alone means `online`. `general/base` takes other
weights than those of the run.

A new method is a subclass of `Method` and one entry in `METHODS`.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ..errors import SettingsError
from ..images.volume import Geometry, Triple, Volume
from ..settings import NO_ADAPTATION, SCHEMES, AdaptationSettings, InterpolationSettings
from ..temporal.auxiliary import TASKS
from .baselines import Blend, Demons, Elastix, Greedy, SyN
from .protocol import Method, Pair

if TYPE_CHECKING:  # torch is imported by the methods that need it
    import torch

    from ..temporal.canvas import Canvas
    from ..temporal.phase_pair import PhasePair


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
    """The engine itself, each case on its own.

    Parameters
    ----------
    options : Options
        Weights, device and seed.
    adaptation : AdaptationSettings
        How it adapts to a case.
    """

    def __init__(self, options: Options, adaptation: AdaptationSettings) -> None:
        from ..temporal.pipeline import Interpolator

        self.settings = InterpolationSettings(weights=options.weights, device=options.device, seed=options.seed,
                                              adaptation=adaptation)
        self.interpolator = Interpolator(options.weights, options.device)

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        settings = InterpolationSettings.from_json({**self.settings.to_json(), "times": tuple(times)})
        result = self.interpolator.run([_volume(phase0, spacing), _volume(phase1, spacing)], settings)
        return [frame.array for frame in result.frames if not frame.acquired]


class TTT4DCohort(TTT4D):
    """The engine on a cohort, for the schemes `naive` and `mini-batch`, whose batches are the cases.

    One loop of adaptation runs through the cases, and each case is interpolated with the weights that the loop has
    reached. A single call is a cohort of one case.
    """

    def cohort(self, pairs: Sequence[Pair]) -> Iterator[Sequence[np.ndarray]]:
        from ..adaptation.schemes import LOOPS, Adaptation

        chosen, device, base = self.settings.adaptation, self.interpolator.device, self.interpolator.model
        adaptation = Adaptation.of(base, chosen, device, self.settings.seed)
        # A copy of the engine interpolates with the network that the loop adapts, and does not adapt by itself.
        engine = copy.copy(self)
        engine.settings = InterpolationSettings.from_json(
            {**self.settings.to_json(), "adaptation": {"auxiliary": NO_ADAPTATION}})
        engine.interpolator = copy.copy(self.interpolator)
        engine.interpolator.model = dataclasses.replace(base, network=adaptation.network)
        batches = [on_canvas(pair, len(base.network.settings.features), device)[1] for pair in pairs]
        for pair, _ in zip(pairs, LOOPS[chosen.scheme](adaptation, batches)):
            yield TTT4D.__call__(engine, pair.phase0, pair.phase1, pair.times, pair.spacing)

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        return next(self.cohort([Pair("", phase0, phase1, tuple(times), np.empty(0), spacing)]))


def on_canvas(pair: Pair, levels: int, device: torch.device) -> Tuple[Canvas, PhasePair]:
    """Return the canvas of a pair, and the pair on it, for a network of some levels on a device."""
    import torch

    from ..temporal.canvas import Canvas
    from ..temporal.memory import canvas_voxels
    from ..temporal.phase_pair import PhasePair

    canvas = Canvas.fit(_volume(pair.phase0, pair.spacing).geometry, levels, canvas_voxels(device, pair.phase0.size))
    phases = [canvas.scaled_phase(torch.from_numpy(p)[None, None]) for p in (pair.phase0, pair.phase1)]
    return canvas, PhasePair(torch.cat(phases).to(device), canvas.strides)


def _volume(array: np.ndarray, spacing: Optional[Triple]) -> Volume:
    return Volume(np.ascontiguousarray(array, dtype=np.float32), Geometry(array.shape, spacing or (1.0, 1.0, 1.0)))


def _ours(task: str, scheme: str) -> Callable[[Options], Method]:
    cls = TTT4D if scheme == "online" else TTT4DCohort
    return lambda options: cls(options, AdaptationSettings(auxiliary=task, scheme=scheme))


def _uvinet(adapt: bool) -> Callable[[Options], Method]:
    def make(options: Options) -> Method:
        from .uvinet import UVINetMethod

        if options.uvinet is None:
            raise SettingsError("uvinet needs --uvinet FILE: make it with ttt4d train --model uvinet.")
        return UVINetMethod(options.uvinet, adapt, options.seed)

    return make


METHODS: Dict[str, Callable[[Options], Method]] = {
    "blend": lambda options: Blend(),
    "demons": lambda options: Demons(),
    "elastix": lambda options: Elastix(),
    "syn": lambda options: SyN(),
    "greedy": lambda options: Greedy(),
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
