"""The pairs of phases as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence as SequenceABC
from typing import Dict, List, Optional, Sequence, Tuple

import torch

from ..images.intensity import Fences, IntensityScale
from ..images.volume import Volume
from ..progress import CancelCheck, never, stop_if
from .canvas import Canvas
from .phase_pair import PhasePair


class PhasePairs(SequenceABC):
    """The pairs of neighbouring phases of one patient on one canvas: a sequence of `PhasePair`.

    A phase is brought to the canvas when it is first needed, and kept.

    Parameters
    ----------
    phases : sequence of Volume
        Two or more phases on one grid, in order of time.
    canvas : Canvas
        The grid of the network.
    device : torch.device
        Where the network runs.
    cyclic : bool
        Whether the last phase and the first are a pair too.
    fences : Fences, optional
        Which intensities are outliers; by default it is decided from the phases.
    cancelled : callable
        Asked before each phase is brought to the canvas.
    """

    def __init__(self, phases: Sequence[Volume], canvas: Canvas, device: torch.device, *, cyclic: bool = False,
                 fences: Optional[Fences] = None, cancelled: CancelCheck = never) -> None:
        self.canvas, self.device, self.cancelled = canvas, device, cancelled
        self.fences = Fences.of(phases) if fences is None else fences
        self._phases: List[Volume] = [*phases, *(phases[:1] if cyclic else ())]
        self._on_canvas: Dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._phases) - 1

    def __getitem__(self, number):  # type: ignore[no-untyped-def] # slices are not needed
        first = range(len(self))[number]
        return PhasePair(torch.cat([self._scaled(first), self._scaled(first + 1)]), self.canvas.strides)

    def volumes(self, number: int) -> Tuple[Volume, Volume]:
        """Return the two phases of a pair as they were given."""
        return self._phases[number], self._phases[number + 1]

    def _scaled(self, number: int) -> torch.Tensor:
        """Return a phase on the canvas, shape (1, 1, k, j, i), in [0, 1] by its own range."""
        if number not in self._on_canvas:
            stop_if(self.cancelled)
            array = self._phases[number].array
            scale = IntensityScale.of([self._phases[number]], self.fences)
            self._on_canvas[number] = self.canvas.scaled_phase(scale.to_network(array)).to(self.device)
        return self._on_canvas[number]
