"""A grid knows where its voxels are, and says in words how it differs from another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ttt4d.errors import GeometryError
from ttt4d.images.volume import Geometry, Volume

FLIPPED = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def test_a_voxel_index_counts_slice_row_column_and_a_point_is_lps_mm():
    geometry = Geometry((5, 4, 3), (10.0, 1.5, 2.0), (1.0, 2.0, 3.0), FLIPPED)
    assert geometry.index_to_world((2, 1, 1)).tolist() == [1 - 2.0, 2 + 1.5, 3 + 20.0]


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(0.1, 20)] * 3), st.tuples(*[st.floats(-500, 500)] * 3), st.integers(0, 2**31))
def test_index_undoes_point_on_any_grid(spacing, origin, seed):
    direction, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    geometry = Geometry((5, 4, 3), spacing, origin, tuple(map(tuple, direction.tolist())))
    index = np.random.default_rng(seed).uniform(-10, 10, (7, 3))
    assert np.allclose(geometry.world_to_index(geometry.index_to_world(index)), index, atol=1e-6)


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, float("nan"))])
def test_a_spacing_that_is_not_above_zero_is_refused(spacing):
    with pytest.raises(GeometryError, match="spacing .* not above zero"):
        Geometry((5, 4, 3), spacing)


def test_axes_that_fall_together_are_refused():
    with pytest.raises(GeometryError, match="not three independent vectors"):
        Geometry((5, 4, 3), (1.0, 1.0, 1.0), direction=((1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)))


def test_an_array_that_does_not_fit_its_grid_is_refused():
    with pytest.raises(GeometryError, match="does not fit"):
        Volume(np.zeros((3, 4, 5)), Geometry((5, 4, 3), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("other, word", [
    (Geometry((5, 4, 2), (10.0, 1.5, 2.0)), "size 5 x 4 x 3 and 5 x 4 x 2"),
    (Geometry((5, 4, 3), (8.0, 1.5, 2.0)), "spacing 10 x 1.5 x 2 and 8 x 1.5 x 2 mm"),
    (Geometry((5, 4, 3), (10.0, 1.5, 2.0), (0.0, 0.1, 0.0)), "origin"),
    (Geometry((5, 4, 3), (10.0, 1.5, 2.0), direction=FLIPPED), "axis directions"),
])
def test_differences_are_told_in_words(other, word):
    assert word in Geometry((5, 4, 3), (10.0, 1.5, 2.0)).differences(other)


def test_grids_that_agree_within_a_thousandth_of_a_voxel_have_no_differences():
    nearly = Geometry((5, 4, 3), (10.0, 1.5, 2.0), (0.0, 1e-4, 0.0))
    assert Geometry((5, 4, 3), (10.0, 1.5, 2.0)).differences(nearly) == ""


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 600), st.floats(-1e-2, 1e-2), st.floats(-1e-2, 1e-2), st.floats(-0.1, 0.1))
def test_grids_differ_exactly_where_a_voxel_lies_elsewhere(voxels, longer, turned, moved):
    one = Geometry((3, 4, voxels), (10.0, 1.5, 1.0))
    c, s = np.cos(turned), np.sin(turned)
    other = Geometry((3, 4, voxels), (10.0, 1.5, 1.0 + longer), (moved, 0.0, 0.0),
                     ((0.0, -s, c), (0.0, c, s), (1.0, 0.0, 0.0)))
    everywhere = np.stack(np.meshgrid(*map(range, one.shape), indexing="ij"), axis=-1)
    apart = np.linalg.norm(one.index_to_world(everywhere) - other.index_to_world(everywhere), axis=-1).max()
    assume(abs(apart - 1e-2) > 1e-9)  # at the tolerance itself rounding decides: see the next test
    assert (one.differences(other) != "") == (apart > 1e-2)


def test_grids_moved_by_exactly_the_tolerance_agree_and_by_more_they_differ():
    """In binary fractions, which hold every sum exactly, so that rounding has no say."""
    one, tolerance = Geometry((5, 4, 3), (1.0, 1.0, 1.0)), 2.0**-7
    moved, further = (Geometry((5, 4, 3), (1.0, 1.0, 1.0), (mm, 0.0, 0.0)) for mm in (tolerance, tolerance + 2.0**-20))
    assert one.differences(moved, tolerance) == ""
    assert "origin" in one.differences(further, tolerance)
