"""What a displacement field is good for: carried labels, volumes, maps, and the trajectories that it comes from."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.images.displacement import write_displacement
from ttt4d.images.volume import Geometry
from ttt4d.motion import warping
from ttt4d.motion.carry import LabelCarrier
from ttt4d.motion.diffeomorphism import compose, exponential, jacobian_determinant, velocity_of
from ttt4d.motion.maps import MAPS, motion_maps
from ttt4d.motion.trajectory import Pace, Trajectory
from ttt4d.motion.volumes import COLUMNS, VolumeCurve, label_volumes, write_table

SIZE = (32, 40, 44)
SPACING = (4.0, 1.5, 2.0)
spacings = st.tuples(*[st.floats(0.5, 6)] * 3)


def index_of(size=SIZE) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).astype(float)


def centred(size=SIZE) -> np.ndarray:
    """Where each voxel lies from about the middle of the grid, in voxels (k, j, i, 3)."""
    return index_of(size) - (np.asarray(size) - 1) / 2 - (0.3, 0.4, -0.2)


def shrinking(rates, size=SIZE) -> torch.Tensor:
    """The velocity (1, 3, k, j, i) by which lengths along each axis shrink to exp(-rate) after one unit of time."""
    return torch.tensor(-centred(size) * rates, dtype=torch.float32).movedim(-1, 0)[None]


def numpy_field(field: torch.Tensor) -> np.ndarray:
    return field[0].movedim(0, -1).numpy()


def ellipsoid(size=SIZE, share=0.8) -> np.ndarray:
    """Label 2 in an ellipsoid, label 1 in its core."""
    distance = np.linalg.norm(centred(size) / (share * (np.asarray(size) - 1) / 2), axis=-1)
    return np.select([distance < 0.6, distance < 1], [1, 2], 0).astype(np.uint8)


def carry_labels(labels: np.ndarray, displacement: np.ndarray, spacing=SPACING) -> np.ndarray:
    return LabelCarrier(labels, spacing).carry(displacement)


def smooth_velocity(seed: int, size=(6, 14, 12), longest=1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    velocity = warping.resize(torch.randn(1, 3, 3, 4, 4, generator=generator), size)
    return longest * velocity / velocity.abs().max()


# -- carrying ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 999), st.sampled_from([np.uint8, np.int16, np.int32]))
def test_labels_stay_as_they_are_where_nothing_moves(seed, dtype):
    labels = np.random.default_rng(seed).integers(0, 255, (3, 5, 4)).astype(dtype)
    carried = carry_labels(labels, np.zeros((3, 5, 4, 3), np.float32))
    assert carried.dtype == dtype and np.array_equal(carried, labels)


@given(st.integers(0, 99), st.tuples(*[st.integers(-2, 2)] * 3))
def test_a_shift_by_whole_voxels_moves_every_label_and_draws_out_the_edge(seed, shift):
    labels = np.random.default_rng(seed).integers(0, 5, (4, 6, 5)).astype(np.uint8)
    carried = carry_labels(labels, np.broadcast_to(np.array(shift, float), (4, 6, 5, 3)))
    there = [np.clip(np.arange(n) + s, 0, n - 1) for n, s in zip(labels.shape, shift)]
    assert np.array_equal(carried, labels[np.ix_(*there)])


@settings(max_examples=3)
@given(st.integers(0, 99))
def test_labels_that_touch_are_carried_without_holes_or_new_values(seed):
    """A body filled with labels stays filled: the background appears nowhere within."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(6 * 14 * 12) % 40 + 1).reshape(6, 14, 12).astype(np.uint8)
    carried = carry_labels(labels, numpy_field(exponential(smooth_velocity(seed))))
    assert carried.min() >= 1 and set(np.unique(carried)) <= set(np.unique(labels))


@given(st.floats(-1.4, 1.4), st.floats(0, np.pi))
def test_the_outline_of_a_straight_edge_lies_where_the_edge_was_moved_to(shift, angle):
    """Every voxel is right but those that an outline drawn on voxels leaves open."""
    size, normal = (1, 40, 40), np.array([0, np.cos(angle), np.sin(angle)])
    depth = centred(size) @ normal
    carried = carry_labels((depth > 0).astype(np.uint8) + 1, np.broadcast_to(-shift * normal, (*size, 3)), (8, 1, 1))
    inside = np.abs(centred(size)).max(axis=-1) < 17  # away from the border of the image, which is drawn out
    clear = inside & (np.abs(depth - shift) > 1.05)  # half a voxel for each of the two label maps
    assert np.array_equal(carried[clear], (depth > shift)[clear] + 1)
    assert np.abs(np.count_nonzero((carried == 2) & inside) - np.count_nonzero((depth > shift) & inside)) <= 34 * 1.05


def test_labels_are_carried_slab_by_slab_as_in_one_piece(monkeypatch):
    labels, field = ellipsoid((8, 20, 18)), numpy_field(exponential(shrinking((0.1, 0.2, 0.1), (8, 20, 18))))
    whole = carry_labels(labels, field)
    monkeypatch.setattr("ttt4d.motion.carry._SLAB_VOXELS", 500)
    assert np.array_equal(carry_labels(labels, field), whole)


# -- volumes -----------------------------------------------------------------------------------------------------------


@settings(max_examples=3)
@given(st.tuples(st.floats(0.02, 0.1), st.floats(0.1, 0.25), st.floats(0.1, 0.25)), st.floats(-0.4, 0.4),
       st.floats(-0.5, 0.5))
def test_the_volumes_of_a_body_that_shrinks_evenly_are_right_and_fall_at_every_frame(rates, early, ease):
    labels, pace = np.where(ellipsoid(), 2, 0).astype(np.uint8), Pace(early, ease)
    trajectory = Trajectory(shrinking(rates), pace)
    curve = VolumeCurve(2)
    carrier = LabelCarrier(labels, SPACING)
    for n in range(11):
        carried = carrier.carry(numpy_field(trajectory.to_start(n / 10)))
        curve.ml.append(label_volumes(carried, float(np.prod(SPACING)) / 1000)[2])
    truth = curve.ml[0] * np.exp([-sum(rates) * pace.share(n / 10) for n in range(11)])
    assert np.allclose(curve.ml, truth, rtol=0.02)
    assert np.all(np.diff(curve.ml) <= 0)
    assert curve.ejection_fraction_percent == pytest.approx(100 * (1 - np.exp(-sum(rates))), abs=1)


def test_volumes_are_those_of_an_independent_reader():
    labels = ellipsoid()
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING[::-1])
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(image)
    found = label_volumes(labels, float(np.prod(SPACING)) / 1000)
    assert found == pytest.approx({label: shapes.GetPhysicalSize(label) / 1000 for label in (1, 2)})


def test_a_table_has_a_row_for_each_label_and_frame_with_the_summary_of_the_label():
    file = io.StringIO()
    write_table(file, [VolumeCurve(1, "left, ventricle", [100.0, 60.0, 40.0]), VolumeCurve(7, "", [0.0, 0.0, 0.0])],
                [0, 50, 100], [True, False, False])
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 6
    assert [row["mark"] for row in rows[:3]] == ["acquired", "synthetic", "synthetic"]
    assert [row["phase"] for row in rows[:3]] == ["ED", "", "ES"]
    assert {row["name"] for row in rows[:3]} == {"left, ventricle"}
    assert {(row["stroke_volume_ml"], row["ejection_fraction_percent"]) for row in rows[:3]} == {("60.0", "60.0")}
    assert rows[5]["ejection_fraction_percent"] == "0.0"


# -- maps --------------------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(0, 99), spacings)
def test_the_jacobian_is_the_reciprocal_of_itk_s_for_the_field_that_is_written(tmp_path_factory, seed, spacing):
    """SimpleITK reads the displacement field in mm and computes det(I + du/dx) from the frame to the first phase."""
    path = tmp_path_factory.mktemp("field") / "field.nrrd"
    field = numpy_field(exponential(smooth_velocity(seed)))
    write_displacement(path, Geometry(field.shape[:3], spacing), field)
    determinant = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(
        sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64)))
    inside = (slice(1, -1),) * 3  # at the border, ITK takes differences to one side for central ones
    found = motion_maps(field, spacing)["jacobian"][inside]
    assert np.allclose(1 / found, determinant[inside], atol=2e-3)


@settings(max_examples=5)
@given(st.tuples(*[st.floats(-0.2, 0.3)] * 3), spacings)
def test_the_strains_of_an_even_stretch_are_exact_on_any_grid(rates, spacing):
    maps = motion_maps(numpy_field(exponential(-shrinking(rates))), spacing)
    middle = tuple(n // 2 for n in SIZE)
    expected = sorted(((np.exp(-2 * np.array(rates)) - 1) / 2), reverse=True)
    assert [maps[f"strain_{n}"][middle] for n in (1, 2, 3)] == pytest.approx(expected, abs=5e-3)
    assert maps["jacobian"][middle] == pytest.approx(np.exp(-sum(rates)), rel=1e-2)
    assert set(maps) == set(MAPS) and all(m.dtype == np.float32 and m.shape == SIZE for m in maps.values())


def test_a_turn_stretches_nothing_although_the_pixels_are_not_square():
    offset, spacing = centred() * SPACING, np.array(SPACING)
    angle = np.radians(20)
    turned = offset @ np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    maps = motion_maps((turned - offset) / spacing, SPACING)
    assert all(np.abs(maps[f"strain_{n}"]).max() < 1e-3 for n in (1, 2, 3))
    assert np.abs(maps["jacobian"] - 1).max() < 1e-3
    assert np.allclose(maps["displacement"], np.linalg.norm(turned - offset, axis=-1), atol=1e-3)


@settings(max_examples=3)
@given(st.tuples(st.floats(0.02, 0.1), st.floats(0.1, 0.25), st.floats(0.1, 0.25)))
def test_the_jacobian_integrates_to_the_volume_change(rates):
    labels = ellipsoid()
    field = numpy_field(exponential(-shrinking(rates)))
    carried = carry_labels(labels, field) > 0
    jacobian = motion_maps(field, SPACING)["jacobian"]
    assert (1 / jacobian[carried]).sum() == pytest.approx(np.count_nonzero(labels), rel=0.02)
    assert np.count_nonzero(carried) / np.count_nonzero(labels) == pytest.approx(jacobian[carried].mean(), rel=0.02)


def test_where_the_field_folds_the_jacobian_is_zero():
    field = np.zeros((4, 4, 8, 3))
    field[..., 4:, 2] = -4
    assert (motion_maps(field, (1, 1, 1))["jacobian"] == 0).any()
    assert (jacobian_determinant(torch.tensor(field).movedim(-1, 0)[None]) < 0).any()


# -- trajectories ------------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(0, 99))
def test_the_way_back_undoes_the_way_there_and_nothing_folds(seed):
    velocity = smooth_velocity(seed)
    there, back = exponential(velocity), exponential(-velocity)
    inside = (..., slice(2, -2), slice(3, -3), slice(3, -3))
    assert compose(there, back)[inside].abs().max() < 0.2 * there.abs().max()
    assert (jacobian_determinant(there) > 0).all() and (jacobian_determinant(back) > 0).all()


@settings(max_examples=8)
@given(st.integers(0, 99))
def test_the_velocity_of_two_fields_that_undo_each_other_gives_them_back(seed):
    velocity = smooth_velocity(seed)
    found = velocity_of(exponential(velocity), exponential(-velocity))
    assert (exponential(found) - exponential(velocity)).abs().mean() < 0.02


@given(st.floats(-0.2, 0.2), st.floats(-0.3, 0.7))
def test_the_pace_of_fields_is_found_whatever_their_length(early, ease):
    pace, times = Pace(early, ease), (0.2, 0.4, 0.6, 0.8)
    path = shrinking((0.1, 0.2, 0.3), (4, 8, 8))
    underestimated = torch.tensor([0.9, 0.5, 0.6, 1.0]).view(-1, 1, 1, 1, 1)
    shares = torch.tensor([pace.share(t) for t in times]).view(-1, 1, 1, 1, 1)
    found = Pace.fit(times, -shares * path * underestimated, (1 - shares) * path * underestimated, SPACING)
    assert (found.early, found.ease) == pytest.approx((early, ease), abs=0.05)


@given(st.floats(-9, 9), st.floats(-9, 9))
def test_no_fit_makes_time_stand_still_or_one_step_much_longer_than_the_others(early, ease):
    times = (0.2, 0.4, 0.6, 0.8)
    path = shrinking((0.1, 0.2, 0.3), (4, 8, 8))
    shares = torch.tensor([Pace(early, ease).share(t) for t in times]).view(-1, 1, 1, 1, 1)
    found = Pace.fit(times, -shares * path, (1 - shares) * path, SPACING)
    steps = np.diff([found.share(n / 10) for n in range(11)])
    assert steps.min() > 0 and steps.max() <= 1.6 * np.median(steps)
    assert (found.share(0), found.share(1)) == (0, 1)
