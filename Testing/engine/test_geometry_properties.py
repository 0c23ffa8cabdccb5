"""On any grid a known motion comes out where it went in: axes never swapped or mirrored, in the grid's own voxels.

Tissue and motion live in space (LPS mm), so that every grid shows the same. First the engine is given the true motion,
to test the way to native resolution alone; then the trained network has to find it.
"""

from __future__ import annotations

import dataclasses
from typing import Tuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.images.intensity import IntensityScale
from ttt4d.images.volume import Geometry, Volume
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.canvas import Canvas
from ttt4d.temporal.network.interpolator import Estimate
from ttt4d.temporal.phantom import BeatingHeart
from ttt4d.temporal.pipeline import Interpolator


@st.composite
def directions(draw) -> Tuple[Tuple[float, float, float], ...]:
    """Any three perpendicular axes, oblique, permuted, right- or left-handed."""
    q, r = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= draw(st.sampled_from([1, -1]))
    if draw(st.booleans()):  # along the patient's axes
        q = np.eye(3)[:, draw(st.permutations([0, 1, 2]))] * draw(st.tuples(*[st.sampled_from([1, -1])] * 3))
    return tuple(tuple(row) for row in q.tolist())


@st.composite
def grids(draw, slices=st.integers(7, 10), edge=st.integers(24, 36), thickness=st.floats(2, 5)) -> Geometry:
    """A stack of slices somewhere in space."""
    size = (draw(slices), draw(edge), draw(edge))
    spacing = (draw(thickness), draw(st.floats(1.5, 2.5)), draw(st.floats(1.5, 2.5)))
    return Geometry(size, spacing, draw(st.tuples(*[st.floats(-200, 200)] * 3)), draw(directions()))


def canvas_grid(canvas: Canvas, grid: Geometry) -> Geometry:
    """The canvas as a grid in space, padding and all."""
    spacing = tuple(s * (n - 1) / (m - 1) for s, n, m in zip(grid.spacing, canvas.native, canvas.inner))
    return Geometry(canvas.padded, spacing, grid.origin, grid.direction)


def frame_from(fields, grid: Geometry, canvas: Canvas, pair, weight: float):
    """The frame and its displacement on the native grid from fields (k, j, i, 3) on the canvas, in its voxels."""
    to0, to1 = (torch.tensor(field, dtype=torch.float32).movedim(-1, 0)[None] for field in fields)
    flat = torch.zeros(1, 1, *canvas.padded)
    scale = IntensityScale.of(pair)
    estimate = Estimate(to0, to1, flat + weight, flat)
    slabs = list(canvas.restore(estimate, *(scale.to_unit(p.array) for p in pair)))
    displacement = canvas.native_displacement(to0)[0].movedim(0, -1).numpy()
    return np.concatenate([scale.from_unit(frame) for _, frame in slabs]), displacement


def tissue(grid: Geometry, where=lambda points: points) -> Volume:
    """Smooth tissue over all of space, seen on a grid at the places that `where` makes of its points (LPS mm)."""
    generator = np.random.default_rng(0)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    points = where(grid.index_to_world(index))
    total = np.zeros(grid.shape)
    for _ in range(6):
        wave = generator.normal(size=3)
        wave *= 2 * np.pi / (generator.uniform(8, 14) * max(grid.spacing) * np.linalg.norm(wave))
        total += np.sin(points @ wave + generator.uniform(0, 2 * np.pi))
    return Volume((100 * total).astype(np.float32), grid)


def error(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square away from the border, where nothing comes in from outside."""
    inside = (slice(2, -2), slice(4, -4), slice(4, -4))
    return float(np.sqrt(np.mean((one.astype(float) - other.astype(float))[inside] ** 2)))


def lost(share: float, before: float, image: np.ndarray) -> float:
    """The error that linear interpolation may leave: a share of what the motion changed, and a little of the image."""
    return share * before + 0.03 * float(image.std())


# -- the way to native resolution --------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(grids(), st.sampled_from([1.0, 0.4]))
def test_the_true_beat_on_the_canvas_warps_the_native_voxels_onto_the_true_frame(grid, share):
    """To the middle of the beat, from either phase, on a canvas as fine as the grid or with under half its voxels."""
    heart = BeatingHeart.within(grid)
    first, truth, last = (tissue(grid, lambda points, t=t: heart.move(points, t, 0)) for t in (0, 0.5, 1))
    canvas = Canvas.fit(grid, 4, int(share * truth.array.size))
    there = canvas_grid(canvas, grid)
    fields = [heart.displacement(there, time, 0.5) for time in (0, 1)]
    for phase, weight in ((first, 1.0), (last, 0.0)):
        frame, displacement = frame_from(fields, grid, canvas, (first, last), weight)
        before = error(phase.array, truth.array)
        assert error(frame, truth.array) < lost(0.25 if share == 1 else 0.5, before, truth.array)
    missed = displacement - heart.displacement(grid, 0, 0.5)
    if share == 1:
        assert np.abs(missed).max() < 1e-3
    assert np.sqrt(np.mean(missed**2)) < 0.2 * np.sqrt(np.mean(heart.displacement(grid, 0, 0.5)**2))


@settings(max_examples=20)
@given(grids(), st.tuples(st.floats(-1.5, 1.5), st.floats(-3, 3), st.floats(-3, 3)))
def test_a_shift_along_the_axes_of_any_grid_is_undone(grid, voxels):
    voxels = np.asarray(voxels)
    still, shifted = (tissue(grid, lambda points, t=t: points - t * grid.matrix @ voxels) for t in (0, 1))
    canvas = Canvas.fit(grid, 4, still.array.size // 2)
    ratio = np.asarray(canvas_grid(canvas, grid).spacing) / grid.spacing
    field = np.broadcast_to(-voxels / ratio, (*canvas.padded, 3))
    frame, displacement = frame_from((field, np.zeros_like(field)), grid, canvas, (still, shifted), 1.0)
    assert np.allclose(displacement, -voxels, atol=1e-3)
    assert error(frame, shifted.array) < lost(0.25, error(still.array, shifted.array), still.array)


# -- what the network finds --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(cardiac):
    """found(pair): the frame in the middle, and its displacement to the first phase in mm along the grid's axes."""
    engine = Interpolator(cardiac, "cpu")
    chosen = InterpolationSettings.from_json({"frames": 1, "adaptation": {"auxiliary": "none"}})

    def make(pair):
        frame = list(engine.run(pair, chosen, displacements=True).frames)[1]
        return frame.array, frame.displacement * pair[0].geometry.spacing
    return make


def agreement(one: np.ndarray, other: np.ndarray, image: np.ndarray) -> np.ndarray:
    """3 x 3 cosines of the components of two fields (k, j, i, 3), where the image has anything to see."""
    seen = np.abs(np.stack(np.gradient(image.astype(float)))).sum(axis=0)[..., None]
    one, other = (field / np.sqrt((seen * field**2).sum(axis=(0, 1, 2)) + 1e-9) for field in (one, other))
    return np.einsum("kjia,kjib->ab", seen * one, other)


def visible_shift(field: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The one shift (k, j, i) that does to an image what a field (k, j, i, 3) does, both in voxels, by least squares.

    Only motion across an edge can be seen, not motion along it (the aperture problem), so only the components along the
    image's gradient count. A mean of the whole field would count the long borders of the body that run along the shift,
    where an image tells nothing of it.
    """
    gradient = np.stack(np.gradient(image.astype(float)), axis=-1)
    across = (gradient * field).sum(axis=-1)
    return np.linalg.solve(np.einsum("kjia,kjib->ab", gradient, gradient), np.einsum("kjia,kji->a", gradient, across))


cardiac_grids = grids(st.integers(6, 12), st.integers(40, 60), st.floats(6, 10))


@settings(max_examples=6)
@given(cardiac_grids, st.integers(0, 99))
def test_the_network_finds_the_beat_along_the_right_axes(found, grid, seed):
    heart = BeatingHeart.within(grid, seed)
    first, truth, last = (heart.frame(grid, time) for time in (0, 0.5, 1))
    frame, motion = found([first, last])
    along = agreement(motion, heart.displacement(grid, 0, 0.5) * grid.spacing, first.array)
    # Through the slices the images tell next to nothing; within them each component is its own, and right way round.
    assert along[1, 1] > 0.6 and along[2, 2] > 0.6
    assert max(abs(along[1, 2]), abs(along[2, 1])) < 0.3
    blend = (first.array.astype(float) + last.array) / 2
    assert error(frame, truth.array) < error(blend, truth.array)


@settings(max_examples=6)
@given(cardiac_grids, st.sampled_from([1, 2]), st.sampled_from([-3.0, 3.0]), st.integers(0, 99))
def test_the_network_finds_a_shift_along_the_right_axis_the_right_way(found, grid, axis, voxels, seed):
    heart, shift = BeatingHeart.within(grid, seed), np.zeros(3)
    shift[axis] = voxels

    def shifted(time: float) -> Volume:
        center = np.asarray(heart.center) + time * grid.matrix @ shift
        return dataclasses.replace(heart, center=tuple(center)).frame(grid, 0)

    first, truth, last = shifted(0), shifted(0.5), shifted(1)
    frame, motion = found([first, last])
    seen = visible_shift(motion / grid.spacing, truth.array)
    assert 0.5 < seen[axis] / (-voxels / 2) < 1.3
    assert all(abs(seen[other]) < 0.3 * abs(seen[axis]) for other in range(3) if other != axis)
    blend = (first.array.astype(float) + last.array) / 2
    assert error(frame, truth.array) < error(blend, truth.array)
