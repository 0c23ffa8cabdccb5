"""The frames of a run, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

import numpy as np
import torch

from ..progress import stop_if
from ..settings import InterpolationSettings
from .adapted import Adapted
from .estimation import estimate, features_of, time_batches
from .native import NativeRenderer
from .pair_motion import PairMotion
from .record import RunRecord


@dataclass(frozen=True)
class Frame:
    """One volume of the result.

    Parameters
    ----------
    array : np.ndarray of shape (k, j, i)
        On the grid of the first phase, in its scalar type and units.
    index : float
        Position in the whole sequence, in percent.
    pair : int
        The pair of phases that it belongs to, counted from 0.
    time : float
        Time within the pair: 0 is the pair's first phase, 1 its second.
    acquired : bool
        Whether it is a given phase, unchanged.
    displacement : np.ndarray of shape (k, j, i, 3), optional
        From this frame's grid to the very first phase, through the phases between, in voxels along (k, j, i). None
        unless it was asked for.
    confidence : np.ndarray of shape (k, j, i), optional
        How well the two phases agree here, brought to this frame by the motion: 0 to 1. None without displacement.
    """

    array: np.ndarray
    index: float
    pair: int
    time: float
    acquired: bool
    displacement: Optional[np.ndarray] = None
    confidence: Optional[np.ndarray] = None


class FrameStream:
    """Yields the frames of a run in order of time, and goes on where it was when a run has to start again.

    Parameters
    ----------
    settings : InterpolationSettings
        Times of the frames, and whether the phases are a cycle.
    record : RunRecord
        Hears of every frame.
    displacements : bool
        Whether frames have displacements.
    """

    def __init__(self, settings: InterpolationSettings, record: RunRecord, displacements: bool) -> None:
        self._times, self._cyclic = settings.frame_times, settings.cyclic
        self._record, self._displacements = record, displacements
        self._pair = 0
        self._motion: Optional[PairMotion] = None  # of the current pair
        # Displacement of the current pair's phase 0; None where that is the first phase itself.
        self._phase0_to_first: Optional[np.ndarray] = None

    def frames(self, adapted: Adapted) -> Iterator[Frame]:
        """Yield the frames that were not yet yielded."""
        count = len(adapted.pairs)
        while self._pair < count:
            yield from self._frames_of_pair(adapted, last=self._pair == count - 1)
            self._pair += 1
        if not self._cyclic:
            yield self._frame(adapted.pairs.volumes(count - 1)[1].array, 1.0, True, count - 1)

    def _frames_of_pair(self, adapted: Adapted, last: bool) -> Iterator[Frame]:
        with self._record.timing("adaptation"):
            network = adapted.network(self._pair)
        self._record.adapted(adapted)
        pair = adapted.pairs[self._pair]
        with torch.no_grad():
            features = features_of(network, pair)
        if self._displacements:
            with self._record.timing("motion"):
                self._motion = PairMotion(adapted.pairs, self._pair, network, features, self._phase0_to_first)
        done = self._record.frames_done - self._pair * (len(self._times) + 1)
        if done <= 0:
            yield self._frame(adapted.pairs.volumes(self._pair)[0].array, 0.0, True)
            done = 1
        renderer = NativeRenderer(adapted.pairs, self._pair)
        for times in time_batches(self._times[done - 1:]):
            with self._record.timing("interpolation"), torch.no_grad():
                estimates = estimate(network, pair, features, times)
            for n, time in enumerate(times):
                stop_if(adapted.pairs.cancelled)
                with self._record.timing("interpolation"):
                    array = renderer.frame(estimates.item(n), time)
                yield self._frame(array, time, False)
        if self._motion is not None:
            self._record.motion(self._motion.report())
            if not (self._cyclic and last):  # a cycle ends where it began
                self._phase0_to_first = self._motion.displacement(1.0)

    def _frame(self, array: np.ndarray, time: float, acquired: bool, pair: Optional[int] = None) -> Frame:
        pair = self._pair if pair is None else pair
        displacement = confidence = None
        if self._motion is not None:
            with self._record.timing("motion"):
                displacement, confidence = self._motion.displacement(time), self._motion.confidence(time)
        index = self._record.frame(pair, time, acquired)
        return Frame(array, index, pair, time, acquired, displacement, confidence)
