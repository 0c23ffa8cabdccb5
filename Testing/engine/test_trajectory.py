"""What the motion of real weights is worth on phantoms: even steps, shifts of any grid, and nothing that folds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ttt4d.images.volume import Geometry
from ttt4d.motion import warping
from ttt4d.motion.diffeomorphism import jacobian_determinant
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.phantom import BeatingHeart
from ttt4d.temporal.pipeline import Interpolator

GRIDS = [Geometry((6, 40, 48), (8.0, 2.0, 1.4)), Geometry((12, 36, 40), (3.0, 2.0, 2.5))]


@pytest.fixture(scope="module")
def motion(cardiac):
    """motion(first phase, second phase, frames): the displacement of every frame, (k, j, i, 3) in voxels."""
    engine = Interpolator(cardiac, "cpu")

    def displacements(first, last, frames=1):
        chosen = InterpolationSettings.from_json({"frames": frames, "adaptation": {"auxiliary": "none"}})
        return [frame.displacement for frame in engine.run([first, last], chosen, displacements=True).frames]
    return displacements


def followed(points: np.ndarray, fields) -> np.ndarray:
    """Where points of the first phase (n, 3) are in each frame: (frames, n, 3). A frame's field leads back to them."""
    start = torch.tensor(points.T[None, :, :, None, None], dtype=torch.float32)
    places = []
    for field in fields:
        back, here = torch.tensor(field).movedim(-1, 0)[None], start
        for _ in range(30):
            here = start - warping.sample(back, here)
        places.append(here[0, :, :, 0, 0].T.numpy())
    return np.stack(places)


def test_points_of_a_heart_that_moves_evenly_take_even_steps_and_no_tissue_folds(motion):
    grid = Geometry((7, 48, 48), (8.0, 2.0, 2.0))
    heart = dataclasses.replace(BeatingHeart.within(grid), s_curve=False)
    fields = motion(heart.frame(grid, 0), heart.frame(grid, 1), frames=9)
    points = np.random.default_rng(0).uniform((0, 4, 4), (6, 43, 43), (1000, 3))
    steps = np.linalg.norm(np.diff(followed(points, fields), axis=0) * grid.spacing, axis=-1)
    moving = np.median(steps, axis=0) > 0.01  # mm
    assert moving.sum() > 300
    assert (steps.max(axis=0) <= 1.6 * np.median(steps, axis=0))[moving].all()
    whole = torch.tensor(fields[-1]).movedim(-1, 0)[None]
    assert (jacobian_determinant(whole) <= 0).float().mean() < 0.001


def visible_shift(field: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The one shift (k, j, i) that does to an image what a field (k, j, i, 3) does, both in voxels, least squares."""
    gradient = np.stack(np.gradient(image.astype(float)), axis=-1)
    across = (gradient * field).sum(axis=-1)
    return np.linalg.solve(np.einsum("kjia,kjib->ab", gradient, gradient), np.einsum("kjia,kji->a", gradient, across))


@pytest.mark.parametrize("grid, axis, voxels", [
    (GRIDS[0], 1, 3.0), (GRIDS[0], 2, -3.0), (GRIDS[1], 0, 2.0), (GRIDS[1], 1, -2.0), (GRIDS[1], 2, 3.0)])
def test_a_shift_is_found_to_four_fifths_along_each_axis_that_has_the_resolution_for_it(motion, grid, axis, voxels):
    heart, shift = BeatingHeart.within(grid, 1), np.zeros(3)
    shift[axis] = voxels
    moved = dataclasses.replace(heart, center=tuple(np.asarray(heart.center) + grid.matrix @ shift))
    first, last = heart.frame(grid, 0), moved.frame(grid, 0)
    found = visible_shift(motion(first, last)[-1], last.array)
    assert 0.8 < found[axis] / -voxels < 1.2
