"""Frames at native resolution: the given voxels, warped once and blended."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ..images.intensity import IntensityScale
from ..progress import stop_if
from .network.interpolator import Estimate
from .prepared import PhasePairs


class NativeRenderer:
    """Makes the frames between the two phases of one pair, on the grid and in the scalar type of the phases.

    Parameters
    ----------
    pairs : PhasePairs
        The pairs of the patient.
    number : int
        Which of them.
    """

    def __init__(self, pairs: PhasePairs, number: int) -> None:
        self._canvas, self._cancelled = pairs.canvas, pairs.cancelled
        phases = pairs.volumes(number)
        self._scale = IntensityScale.of(phases, pairs.fences)
        self._native0, self._native1 = (self._scale.to_unit(phase.array).to(pairs.device) for phase in phases)
        own = [IntensityScale.of([phase], pairs.fences) for phase in phases]
        self._ratios = [(s.high - s.low) / (self._scale.high - self._scale.low) for s in own]

    @torch.no_grad()
    def frame(self, estimate: Estimate, time: float) -> np.ndarray:
        """Make the frame of one time.

        Parameters
        ----------
        estimate : Estimate
            What the network estimated for this time, a batch of one.
        time : float
            0 at phase 0, 1 at phase 1.

        Returns
        -------
        np.ndarray of shape (k, j, i)
            The frame, in the units and scalar type of the phases.

        Raises
        ------
        Cancelled
            A cancel was asked for.
        """
        estimate = dataclasses.replace(estimate, residual=estimate.residual * self._residual_scale(time))
        array = np.empty(self._canvas.native, dtype=self._scale.dtype)
        for slab, frame in self._canvas.restore(estimate, self._native0, self._native1):
            array[slab] = self._scale.from_unit(frame)
            stop_if(self._cancelled)
        return array

    def _residual_scale(self, time: float) -> float:
        """Return the factor from the canvas, where each phase has its own scale, to the one scale of the pair."""
        return (1 - time) * self._ratios[0] + time * self._ratios[1]
