"""Diffeomorphic motion: stationary velocity fields, their exponentials, and Jacobian determinants.

A velocity field v has the shape and the units of a displacement field; see `warping`. Its exponential is the motion
after one unit of time along v. It can be inverted, since exp(-v) undoes exp(v), and no tissue folds.

References
----------
.. [1] Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006,
   doi:10.1007/11866565_113: scaling and squaring.
"""

from __future__ import annotations

import math
from typing import List

import torch
from torch import Tensor

from . import warping

# The longest step, in voxels, that scaling and squaring begins with.
_FIRST_STEP = 0.1
_MOST_SQUARINGS = 10


def compose(first: Tensor, then: Tensor) -> Tensor:
    """Return the displacement (batch, 3, k, j, i) of going along `first`, and from there along `then`."""
    return first + warping.warp(then, first)


def exponential(velocity: Tensor) -> Tensor:
    """Return the displacement after one unit of time along a velocity field, by scaling and squaring [1]_.

    Parameters
    ----------
    velocity : Tensor of shape (batch, 3, k, j, i)
        In voxels along (k, j, i).

    Examples
    --------
    >>> shift = torch.ones(1, 3, 4, 4, 4)
    >>> torch.allclose(exponential(shift), shift)
    True
    """
    longest = float(velocity.detach().abs().max())
    squarings = min(_MOST_SQUARINGS, max(0, math.ceil(math.log2(max(longest, 1e-6) / _FIRST_STEP))))
    displacement = velocity / 2**squarings
    for _ in range(squarings):
        displacement = compose(displacement, displacement)
    return displacement


def velocity_of(forward: Tensor, backward: Tensor, iterations: int = 8) -> Tensor:
    """Return the velocity field whose motion is nearest to two displacement fields that undo each other.

    Parameters
    ----------
    forward, backward : Tensor of shape (1, 3, k, j, i)
        What exp(v) and exp(-v) should be, in voxels. They need not be exact inverses: the result is between them.
    iterations : int
        Fixed-point corrections; each about halves the difference.
    """
    velocity = (forward - backward) / 2
    for _ in range(iterations):
        ends = exponential(torch.cat([velocity, -velocity]))
        velocity = velocity + (forward - ends[:1] - (backward - ends[1:])) / 4
    return velocity


def gradient(displacement: Tensor) -> List[Tensor]:
    """Return the derivatives of a field (batch, 3, k, j, i) along k, j and i, a voxel each: central differences."""
    found = []
    for axis in (2, 3, 4):
        if displacement.shape[axis] == 1:
            found.append(torch.zeros_like(displacement))
        else:
            found.append(torch.gradient(displacement, dim=axis)[0])
    return found


def deformation_gradient(displacement: Tensor) -> Tensor:
    """Return I + du/dx of a displacement field (batch, 3, k, j, i): (batch, k, j, i, 3, 3), rows are components."""
    derivatives = torch.stack(gradient(displacement), dim=-1)  # (batch, component, k, j, i, axis)
    identity = torch.eye(3, dtype=displacement.dtype, device=displacement.device)
    return derivatives.permute(0, 2, 3, 4, 1, 5) + identity


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Return the determinant (batch, k, j, i) of I + du/dx; below 0 where the field folds.

    Examples
    --------
    >>> index = warping.identity((5, 5, 5), torch.zeros(1))
    >>> round(float(jacobian_determinant(0.1 * index)[0, 2, 2, 2]), 3)
    1.331
    """
    return torch.linalg.det(deformation_gradient(displacement))
