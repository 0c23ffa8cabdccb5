"""Frames at native resolution: the given voxels, warped once and blended."""

from __future__ import annotations

import dataclasses
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from ..images.intensity import IntensityScale
from ..motion import warping
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
    displacements : bool
        Whether each frame's displacement to the first phase of the patient is returned too.
    phase0_to_first : np.ndarray of shape (k, j, i, 3), optional
        Displacement in voxels from the pair's phase 0 to the first phase of the patient; None where they are one.
    """

    def __init__(self, pairs: PhasePairs, number: int, displacements: bool = False,
                 phase0_to_first: Optional[np.ndarray] = None) -> None:
        self._canvas, self._cancelled, self._displacements = pairs.canvas, pairs.cancelled, displacements
        phases = pairs.volumes(number)
        self._scale = IntensityScale.of(phases, pairs.fences)
        self._native0, self._native1 = (self._scale.to_unit(phase.array).to(pairs.device) for phase in phases)
        own = [IntensityScale.of([phase], pairs.fences) for phase in phases]
        self._ratios = [(s.high - s.low) / (self._scale.high - self._scale.low) for s in own]
        self._phase0_to_first: Optional[Tensor] = None
        if phase0_to_first is not None:
            self._phase0_to_first = torch.from_numpy(phase0_to_first).permute(3, 0, 1, 2)[None].to(pairs.device)

    @torch.no_grad()
    def frame(self, estimate: Estimate, time: float) -> Tuple[np.ndarray, Optional[np.ndarray]]:
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
        np.ndarray of shape (k, j, i, 3) or None
            The displacement from the frame to the first phase of the patient in voxels along (k, j, i), if asked for.

        Raises
        ------
        Cancelled
            A cancel was asked for.
        """
        estimate = dataclasses.replace(estimate, residual=estimate.residual * self._residual_scale(time))
        array = np.empty(self._canvas.native, dtype=self._scale.dtype)
        displacement = np.empty((*self._canvas.native, 3), dtype=np.float32) if self._displacements else None
        for slab, frame, to0 in self._canvas.restore(estimate, self._native0, self._native1):
            array[slab] = self._scale.from_unit(frame)
            if displacement is not None:
                displacement[slab] = self._to_first(to0, slab.start).permute(1, 2, 3, 0).cpu().numpy()
            stop_if(self._cancelled)
        return array, displacement

    def _residual_scale(self, time: float) -> float:
        """Return the factor from the canvas, where each phase has its own scale, to the one scale of the pair."""
        return (1 - time) * self._ratios[0] + time * self._ratios[1]

    def _to_first(self, to0: Tensor, start: int) -> Tensor:
        """Compose a slab's displacement to phase 0, (3, k, j, i), with that of phase 0 to the first phase."""
        if self._phase0_to_first is None:
            return to0
        index = warping.identity(to0.shape[1:], to0) + to0
        index[:, 0] += start
        return to0 + warping.sample(self._phase0_to_first, index)[0]
