"""Every method that can be measured, by name.

`blend`, the registration peers, the published UVI-Net (`uvinet`, and `uvinet-ttt` with its test-time training as
written), and ours: `base` (no adaptation), `default` (what a user gets), and each auxiliary task with a scheme, as
`rotation-online`; a task alone means `online`. `general/base` takes other weights than those of the run.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from ..errors import SettingsError
from ..images.datasets import Triple
from ..images.volume import Geometry, Volume
from ..settings import NO_ADAPTATION, SCHEMES, AdaptationSettings, InterpolationSettings
from ..temporal.auxiliary import TASKS
from .baselines import Blend, Demons, Elastix, SyN
from .protocol import Method, Pair

if TYPE_CHECKING:  # torch is imported by the methods that need it
    import torch

    from ..temporal.canvas import Canvas
    from ..temporal.phase_pair import PhasePair


@dataclass(frozen=True)
class Options:
    """Of a run: weights (a name or file) for ours, a checkpoint of `evaluation.uvinet`, the device, and the seed."""

    weights: str = "cardiac"
    uvinet: Optional[str] = None
    device: str = "auto"
    seed: int = 0


class TTT4D(Method):
    """The engine itself, one case at a time."""

    def __init__(self, options: Options, adaptation: AdaptationSettings) -> None:
        from ..temporal.pipeline import Interpolator

        self.settings = InterpolationSettings(weights=options.weights, device=options.device, seed=options.seed,
                                              adaptation=adaptation)
        self.interpolator = Interpolator(options.weights, options.device)

    def __call__(self, phase0, phase1, times, spacing):
        settings = InterpolationSettings.from_json({**self.settings.to_json(), "times": tuple(times)})
        result = self.interpolator.run([_volume(phase0, spacing), _volume(phase1, spacing)], settings)
        return [frame.array for frame in result.frames if not frame.acquired]


class TTT4DCohort(TTT4D):
    """The engine on a cohort, for `naive` and `mini-batch`: its batches are the cases.

    One loop of adaptation runs through the cases, and each is interpolated with the weights the loop has reached.
    """

    def prepare(self, pairs: Sequence[Pair]) -> None:
        self.adapted = self._adapted(pairs)

    def _adapted(self, pairs: Sequence[Pair]) -> Iterator[None]:
        from ..adaptation.schemes import LOOPS, Adaptation

        chosen, device, base = self.settings.adaptation, self.interpolator.device, self.interpolator.model
        adaptation = Adaptation.of(base, chosen, device, self.settings.seed)
        # From here on the engine interpolates with the network that the loop adapts, and does not adapt by itself.
        self.settings = InterpolationSettings.from_json(
            {**self.settings.to_json(), "adaptation": {"auxiliary": NO_ADAPTATION}})
        self.interpolator = copy.copy(self.interpolator)
        self.interpolator.model = type(base)(adaptation.network, base.tasks, base.card)
        batches = [on_canvas(pair, len(base.network.settings.features), device)[1] for pair in pairs]
        yield from LOOPS[chosen.scheme](adaptation, batches)

    def __call__(self, phase0, phase1, times, spacing):
        next(self.adapted)
        return super().__call__(phase0, phase1, times, spacing)


def on_canvas(pair: Pair, levels: int, device: torch.device) -> Tuple[Canvas, PhasePair]:
    """A pair as the engine's network, of so many levels, sees it on a device."""
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
            raise SettingsError("uvinet needs --uvinet FILE: make it with python -m ttt4d.evaluation.uvinet.")
        return UVINetMethod(options.uvinet, adapt, options.seed)

    return make


METHODS: Dict[str, Callable[[Options], Method]] = {
    "blend": lambda options: Blend(),
    "demons": lambda options: Demons(),
    "elastix": lambda options: Elastix(),
    "syn": lambda options: SyN(),
    "uvinet": _uvinet(adapt=False),
    "uvinet-ttt": _uvinet(adapt=True),
    "base": _ours(NO_ADAPTATION, "online"),
    "default": lambda options: TTT4D(options, AdaptationSettings()),
    **{task: _ours(task, "online") for task in TASKS},
    **{f"{task}-{scheme}": _ours(task, scheme) for task in TASKS for scheme in SCHEMES},
}


def make_method(name: str, options: Options = Options()) -> Method:
    """The method of a name, `METHOD` or `WEIGHTS/METHOD`. Raises SettingsError for a name nobody knows."""
    weights, _, method = name.rpartition("/")
    if method not in METHODS:
        raise SettingsError(f"Unknown method '{method}': choose one of {', '.join(METHODS)}.")
    if weights:
        options = Options(weights, options.uvinet, options.device, options.seed)
    return METHODS[method](options)
