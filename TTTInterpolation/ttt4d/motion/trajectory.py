"""The motion of one pair of phases: a path for every point, and the pace at which all points follow their paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
from torch import Tensor

from .diffeomorphism import exponential

# Limits of the pace: it never stands still or turns back, and no tenth of the time takes much more than its share.
_MOST_EARLY = 0.3
_MOST_EASE, _LEAST_EASE = 0.95, -0.5
# Keeps the pace of a pair that hardly moves near the even one: squared mean displacement in mm2.
_RIDGE = 1e-2


@dataclass(frozen=True)
class Pace:
    """How far tissue has gone along its path at each time: share(0) = 0, share(1) = 1, always rising.

    share(t) = t + t (1 - t) (early + ease (2 t - 1))

    Parameters
    ----------
    early : float
        Above 0 where most of the motion happens in the first half.
    ease : float
        Above 0 where the motion starts and ends slowly; 1 is the smooth step 3 t**2 - 2 t**3.

    Examples
    --------
    >>> [round(Pace(ease=1.0).share(time), 3) for time in (0, 0.25, 0.5, 1)]
    [0.0, 0.156, 0.5, 1.0]
    """

    early: float = 0.0
    ease: float = 0.0

    def share(self, time: float) -> float:
        """Return the share of the path that is done at a time from 0 to 1."""
        return time + time * (1 - time) * (self.early + self.ease * (2 * time - 1))

    @classmethod
    def fit(cls, times: Sequence[float], to_start: Tensor, to_end: Tensor, spacing: Sequence[float]) -> Pace:
        """Return the pace of displacement fields, whatever their length.

        At each time, the way back to the start and the way on to the end make up the whole path. Their proportion tells
        the time, even where both are underestimated.

        Parameters
        ----------
        times : sequence of float, length n
            Strictly between 0 and 1.
        to_start, to_end : Tensor of shape (n, 3, k, j, i)
            The displacements from the grid at each time to the start and to the end, in voxels.
        spacing : sequence of float
            Voxel spacing in mm along (k, j, i).
        """
        size = to_start.new_tensor(spacing).view(1, 3, 1, 1, 1)
        back, path = to_start * size, (to_start - to_end) * size
        moved = path.square().sum(dim=1).mean(dim=(1, 2, 3)).double().cpu().numpy()
        done = (back * path).sum(dim=1).mean(dim=(1, 2, 3)).double().cpu().numpy()
        time = np.asarray(times, dtype=float)
        bend = time * (1 - time)
        shapes = np.stack([bend, bend * (2 * time - 1)], axis=1)
        normal = (shapes.T * moved) @ shapes + _RIDGE * np.eye(2) * (bend**2).sum()
        early, ease = np.linalg.solve(normal, shapes.T @ (done - moved * time))
        early = float(np.clip(early, -_MOST_EARLY, _MOST_EARLY))
        return cls(early, float(np.clip(ease, _LEAST_EASE + abs(early), _MOST_EASE - abs(early))))


@dataclass(frozen=True)
class Trajectory:
    """The paths of all points between the two phases of a pair.

    The path is the flow of one velocity field. So it is smooth, it can be followed in both directions, and no tissue
    folds. How fast it is followed is the same for all points.

    Parameters
    ----------
    velocity : Tensor of shape (1, 3, k, j, i)
        In voxels; exp(velocity) leads from the first phase to the second.
    pace : Pace
        When which share of the path is done.
    """

    velocity: Tensor
    pace: Pace

    def to_start(self, time: float) -> Tensor:
        """Return the displacement (1, 3, k, j, i) from the grid at a time to the first phase, in voxels."""
        return exponential(-self.pace.share(time) * self.velocity)

    def to_end(self, time: float) -> Tensor:
        """Return the displacement (1, 3, k, j, i) from the grid at a time to the second phase, in voxels."""
        return exponential((1 - self.pace.share(time)) * self.velocity)

    def pace_table(self, steps: int = 10) -> List[Tuple[float, float]]:
        """Return the share of the path that is done at evenly spaced times, as pairs of time and share."""
        return [(n / steps, round(self.pace.share(n / steps), 4)) for n in range(steps + 1)]
