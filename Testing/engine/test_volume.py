"""A grid knows where its voxels are, and says in words how it differs from another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ttt4d.errors import GeometryError
from ttt4d.images.volume import Geometry, Volume, rectangular_geometry

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


STEP = np.array([[0.0, 0.0, 1.5], [0.0, 1.5, 0.0], [8.0, 0.0, 0.0]])  # along (k, j, i), LPS mm


def skewed(degrees: float) -> np.ndarray:
    """The steps with the last axis turned towards the second."""
    step = STEP.copy()
    step[:, 2] = 1.5 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0])
    return step


def test_a_grid_at_right_angles_is_taken_to_the_last_digit_and_nothing_is_said():
    geometry, message = rectangular_geometry("'a.nii'", (5, 40, 30), STEP, (1.0, 2.0, 3.0))
    assert geometry == Geometry((5, 40, 30), (8.0, 1.5, 1.5), (1.0, 2.0, 3.0)) and message == ""


@settings(max_examples=25, deadline=None)
@given(st.floats(0.001, 0.099), st.integers(2, 60))
def test_axes_a_little_off_a_right_angle_are_read_on_the_nearest_grid_and_it_is_said_how_far_voxels_move(angle, voxels):
    shape, step, origin = (5, 40, voxels), skewed(angle), np.array([1.0, 2.0, 3.0])
    geometry, message = rectangular_geometry("'a.nii'", shape, step, origin)
    direction = np.asarray(geometry.direction)
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    everywhere = np.stack(np.meshgrid(*map(range, shape), indexing="ij"), axis=-1)
    moved = np.linalg.norm(everywhere @ step.T + origin - geometry.index_to_world(everywhere), axis=-1).max()
    assert moved <= np.radians(angle) * np.hypot(40 * 1.5, voxels * 1.5) / 2
    said = float(message.split("more than ")[1].split(" mm")[0])
    assert said == pytest.approx(moved, rel=0.06) and "'a.nii'" in message


@pytest.mark.parametrize("angle", [0.11, 5, 45, 90])
def test_a_sheared_grid_is_refused_with_the_name_of_its_file(angle):
    with pytest.raises(GeometryError, match="'a.nii' are .* degrees off a right angle .*resample"):
        rectangular_geometry("'a.nii'", (5, 40, 30), skewed(angle), (0, 0, 0))


@pytest.mark.parametrize("value, word", [(0.0, "holds 0"), (float("nan"), "holds nan"), (float("inf"), "holds inf")])
def test_an_axis_without_a_length_is_refused_with_the_name_of_its_file(value, word):
    step = STEP.copy()
    step[2, 0] = value
    with pytest.raises(GeometryError, match=f"'a.nii' {word}"):
        rectangular_geometry("'a.nii'", (5, 40, 30), step, (0, 0, 0))


def test_an_origin_that_is_not_a_number_is_refused():
    with pytest.raises(GeometryError, match="origin of 'a.nii'"):
        rectangular_geometry("'a.nii'", (5, 40, 30), STEP, (0, float("nan"), 0))
