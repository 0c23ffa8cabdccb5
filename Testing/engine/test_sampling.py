"""Warping and field algebra: what points where, in which order, in whose voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ttt4d.motion import warping

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


def ramps(size) -> torch.Tensor:
    """An image of three channels that hold each voxel's own index."""
    return warping.identity(size, torch.zeros(()))


@given(SIZES)
def test_a_voxel_samples_itself_where_nothing_moves(size):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(warping.warp(image, torch.zeros(2, 3, *size)), image, atol=1e-5)


@given(SIZES, st.tuples(*[st.integers(-3, 3)] * 3))
def test_a_whole_shift_takes_the_voxel_it_points_to_and_holds_the_edge(size, shift):
    image = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    field = torch.tensor(shift, dtype=torch.float32).view(1, 3, 1, 1, 1).expand(1, 3, *size)
    index = [np.clip(np.arange(n) + s, 0, n - 1) for n, s in zip(size, shift)]
    assert np.allclose(warping.warp(image, field)[0, 0], image[0, 0].numpy()[np.ix_(*index)], atol=1e-5)


@given(st.tuples(*[st.integers(2, 12)] * 3), st.integers(0, 99))
def test_components_are_in_the_order_of_the_axes_and_in_voxels(size, seed):
    generator = np.random.default_rng(seed)
    index = generator.uniform(0, np.array(size) - 1, (1, 20, 1, 1, 3)).astype(np.float32)
    index = torch.from_numpy(index).movedim(-1, 1)
    assert torch.allclose(warping.sample(ramps(size), index), index, atol=1e-4)


def test_half_precision_does_not_blur_the_voxels_of_a_large_grid():
    line = torch.arange(400.0).view(1, 1, 1, 1, 400)
    field = torch.zeros(1, 3, 1, 1, 400, dtype=torch.bfloat16)
    assert torch.allclose(warping.warp(line, field), line, atol=1e-2)


@given(st.tuples(*[st.integers(2, 9)] * 3), st.tuples(*[st.integers(2, 9)] * 3))
def test_another_grid_has_the_same_corners(size, other):
    """The index of a voxel there is a linear function of its index here, and the corners are the corners."""
    scale = torch.tensor([(n - 1) / (m - 1) for n, m in zip(size, other)]).view(1, 3, 1, 1, 1)
    assert torch.allclose(warping.resize(ramps(size), other), ramps(other) * scale, atol=1e-4)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(2, 9)] * 3), st.integers(0, 99))
def test_a_field_on_another_grid_points_to_the_same_places(size, other, seed):
    """A field linear in space is known on every grid."""
    other = tuple(1 if n == 1 else m for n, m in zip(size, other))
    matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 3)).astype(np.float32))

    def field(grid):
        unit = ramps(grid) / torch.tensor([max(n - 1, 1) for n in grid], dtype=torch.float32).view(1, 3, 1, 1, 1)
        moved = torch.einsum("ab,nbkji->nakji", matrix, unit)  # as a fraction of the extent
        return moved * torch.tensor([max(n - 1, 1) for n in grid], dtype=torch.float32).view(1, 3, 1, 1, 1)

    assert torch.allclose(warping.resize_displacement(field(size), other), field(other), atol=1e-3)


def test_each_item_of_a_batch_is_scaled_by_its_own_factor():
    field = torch.ones(2, 3, 1, 2, 2)
    assert warping.scaled(field, torch.tensor([0.25, 2.0])).flatten(1).mean(1).tolist() == [0.25, 2.0]


def test_roughness_is_nothing_for_a_shift_and_the_squared_slope_of_a_ramp():
    assert warping.gradient_penalty(torch.full((1, 3, 4, 5, 6), 7.0)) == 0
    ramp = torch.zeros(1, 3, 4, 5, 6)
    ramp[:, 1] = 3 * torch.arange(6.0)
    assert warping.gradient_penalty(ramp) == pytest.approx(9 / 9)  # one of three components, along one of three axes
    assert warping.gradient_penalty(torch.zeros(1, 3, 1, 1, 1)) == 0


@given(SIZES, st.integers(2, 3))
def test_one_image_serves_a_batch_of_fields(size, batch):
    image = torch.rand(1, 2, *size)
    assert warping.warp(image, torch.zeros(batch, 3, *size)).shape == (batch, 2, *size)
