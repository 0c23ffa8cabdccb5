"""The motion between two phases as one smooth trajectory, at native resolution."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from ..devices import mixed_precision
from ..motion import warping
from ..motion.diffeomorphism import jacobian_determinant
from ..motion.registration import register, window_of
from ..motion.similarity import local_correlation
from ..motion.trajectory import Pace, Trajectory
from .network.interpolator import InterpolationNetwork
from .prepared import PhasePairs

# When the network is asked for the motion, in batches; the first and the last time give the whole path.
_TIMES = ((0.0, 0.2, 0.4), (0.6, 0.8, 1.0))


class PairMotion:
    """The motion between the two phases of one pair.

    The whole path, from phase to phase, is where the network starts from and registration ends; the pace is what the
    network has learned. The frames themselves follow the network's own fields.

    Parameters
    ----------
    pairs : PhasePairs
        The pairs of the patient.
    number : int
        Which of them.
    network : InterpolationNetwork
        With the weights for this pair.
    features : sequence of Tensor
        Of both phases; see `ttt4d.temporal.estimation.features_of`.
    phase0_to_first : np.ndarray of shape (k, j, i, 3), optional
        Displacement in voxels from the pair's phase 0 to the first phase of the patient; None where they are one.
    """

    @torch.no_grad()
    def __init__(self, pairs: PhasePairs, number: int, network: InterpolationNetwork, features: Sequence[Tensor],
                 phase0_to_first: Optional[np.ndarray] = None) -> None:
        self._canvas, self.number, self._to_first = pairs.canvas, number, phase0_to_first
        pair, geometry = pairs[number], pairs.volumes(number)[0].geometry
        self._phases = self._inner(pair.phases)
        self._spacing = [s * (n - 1) / max(m - 1, 1) or s
                         for s, n, m in zip(geometry.spacing, self._canvas.native, self._canvas.inner)]
        fields = []
        for times in _TIMES:
            time = torch.tensor(times, device=pair.device)
            one, other = ([level[n:n + 1].expand(len(times), -1, -1, -1, -1) for level in features] for n in (0, 1))
            with mixed_precision(pair.device, pair.grid):
                fields.append(network.move(one, other, time))
        to0, to1 = (self._inner(torch.cat([getattr(f, name).float() for f in fields])) for name in ("to0", "to1"))
        pace = Pace.fit(sum(_TIMES, ())[1:-1], to0[1:-1], to1[1:-1], self._spacing)
        velocity = register(self._phases, to1[:1], to0[-1:], self._spacing, pairs.cancelled)
        self.trajectory = Trajectory(velocity, pace)

    @torch.no_grad()
    def displacement(self, time: float) -> np.ndarray:
        """Return the displacement (k, j, i, 3) from the frame of a time to the first phase of the patient, in voxels.

        It lies on the native grid, components along (k, j, i).
        """
        if not time:
            return np.zeros((*self._canvas.native, 3), np.float32) if self._to_first is None else self._to_first
        native = self._canvas.native_displacement(self.trajectory.to_start(time))
        if self._to_first is not None:
            led_on = torch.from_numpy(self._to_first).permute(3, 0, 1, 2)[None].to(native.device)
            native = native + warping.warp(led_on, native)
        return np.ascontiguousarray(native[0].permute(1, 2, 3, 0).cpu().numpy())

    @torch.no_grad()
    def confidence(self, time: float) -> np.ndarray:
        """Return how well both phases agree at a time (k, j, i), 0 to 1: their local correlation on the native grid."""
        phase0, phase1 = self._phases[:1], self._phases[1:]
        alike = local_correlation(warping.warp(phase0, self.trajectory.to_start(time)),
                                  warping.warp(phase1, self.trajectory.to_end(time)), window_of(self._spacing))
        return warping.resize(alike.clamp(0, 1), self._canvas.native)[0, 0].cpu().numpy()

    @torch.no_grad()
    def report(self) -> Dict[str, Any]:
        """Return the pace, and the share of voxels that fold over the whole path, for the report of the run."""
        folded = (jacobian_determinant(self.trajectory.to_start(1.0)) <= 0).double().mean()
        pace: List[Any] = [list(step) for step in self.trajectory.pace_table()]
        return {"pair": self.number, "pace": pace, "folded_percent": round(100 * float(folded), 4)}

    def _inner(self, maps: Tensor) -> Tensor:
        """Return maps without the padding of the canvas."""
        k, j, i = self._canvas.inner
        return maps[:, :, :k, :j, :i]
