"""The phantom's truth is the truth: its fields, its points and its frames tell one motion on every grid."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from ttt4d.images.checks import check_phases
from ttt4d.images.displacement import write_displacement
from ttt4d.images.resampling import resample_to, to_sitk
from ttt4d.images.volume import Geometry
from ttt4d.temporal.phantom import CARDIAC_STACK, BeatingHeart, beating_heart

SMALL = Geometry((8, 40, 40), (6.0, 3.0, 3.0), (10.0, -40.0, 5.0))


def test_the_frames_are_images_that_can_be_interpolated():
    frames, _ = beating_heart([0, 0.5, 1], SMALL)
    check_phases(frames)
    assert all(frame.array.dtype == np.int16 and not frame.geometry.differences(SMALL) for frame in frames)


def test_tissue_that_moves_comes_back():
    heart = BeatingHeart.within(SMALL)
    points = SMALL.index_to_world(np.random.default_rng(0).uniform(0, SMALL.shape, (500, 3)))
    there = heart.move(points, 0.2, 0.9)
    assert np.abs(there - points).max() > 2  # mm
    assert np.allclose(heart.move(there, 0.9, 0.2), points, atol=1e-9)


@pytest.mark.parametrize("start, end", [(0, 1), (0.6, 0.2)])
def test_warping_a_frame_with_the_true_field_in_mm_gives_the_other_frame(tmp_path, start, end):
    turned = ((0.0, -0.28, -0.96), (0.0, 0.96, -0.28), (1.0, 0.0, 0.0))  # left-handed
    grid = Geometry((16, 56, 56), (4.0, 1.5, 1.5), (10.0, -40.0, 5.0), turned)
    (first, second), heart = beating_heart([start, end], grid, dtype=np.float32)
    write_displacement(tmp_path / "field.nrrd", grid, heart.displacement(grid, start, end))
    field = sitk.ReadImage(str(tmp_path / "field.nrrd"), sitk.sitkVectorFloat64)
    image = to_sitk(first)
    warped = sitk.GetArrayFromImage(sitk.Resample(image, image, sitk.DisplacementFieldTransform(field)))
    inside = (slice(2, -2), slice(3, -3), slice(3, -3))
    error = np.sqrt(np.mean((warped - second.array)[inside] ** 2))
    moved = np.sqrt(np.mean((first.array - second.array)[inside] ** 2))
    assert error < 0.25 * moved  # what linear interpolation costs


def test_an_oblique_left_handed_grid_shows_the_same_heart():
    turned = ((0.0, -0.6, -0.8), (0.0, 0.8, -0.6), (-1.0, 0.0, 0.0))
    heart = BeatingHeart.within(SMALL)
    center = SMALL.index_to_world((3.5, 19.5, 19.5))
    fine = Geometry((26, 60, 60), (2.0, 2.0, 2.0), direction=turned)
    fine = Geometry(fine.shape, fine.spacing, tuple(center - fine.index_to_world((12.5, 29.5, 29.5))), turned)
    straight, oblique = heart.frame(SMALL, 0.4, dtype=np.float32), heart.frame(fine, 0.4, dtype=np.float32)
    error = resample_to(oblique, SMALL).array - straight.array
    assert np.mean(np.abs(error[:, 8:-8, 8:-8])) < 8  # of 1000 grey values; the corners lie outside the other grid


def test_the_wall_thickens_while_the_pool_shrinks_by_a_third():
    heart = BeatingHeart.within(CARDIAC_STACK)
    inner, outer = (np.asarray(heart.center) + [0, edge * heart.radius, 0] for edge in (0.55, 0.9))
    systole = [np.linalg.norm(heart.move(edge, 0, 1) - heart.center) for edge in (inner, outer)]
    assert 0.6 < systole[0] / (0.55 * heart.radius) < 0.75
    assert systole[1] - systole[0] > 1.1 * 0.35 * heart.radius


def test_the_motion_never_folds():
    heart = BeatingHeart.within(CARDIAC_STACK)
    index = np.stack(np.meshgrid(*map(np.arange, CARDIAC_STACK.shape), indexing="ij"), axis=-1)
    target = heart.displacement(CARDIAC_STACK, 0, 1) + index
    assert np.linalg.det(np.stack(np.gradient(target, axis=(0, 1, 2)), axis=-1)).min() > 0.2


def test_contraction_is_slow_fast_slow_unless_linear_is_asked_for():
    def moved(heart, time):
        edge = np.asarray(heart.center) + [0, 0.55 * heart.radius, 0]
        return np.linalg.norm(heart.move(edge, 0, time) - edge) / np.linalg.norm(heart.move(edge, 0, 1) - edge)

    assert moved(BeatingHeart.within(SMALL), 0.1) < 0.05
    assert moved(BeatingHeart.within(SMALL, s_curve=False), 0.1) == pytest.approx(0.1, abs=0.03)


def test_a_seed_gives_the_same_frames_and_another_seed_others():
    first, again, other = (beating_heart([0.3], SMALL, seed=seed, noise=0.02)[0][0].array for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_has_the_asked_strength():
    clean, noisy = (beating_heart([0], SMALL, noise=noise, dtype=np.float32)[0][0].array for noise in (0.0, 0.05))
    assert np.std(noisy - clean) == pytest.approx(50, rel=0.05)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "int64", "float32", "float64"])
def test_any_scalar_type_holds_the_heart(dtype):
    (frame,), _ = beating_heart([0], SMALL, dtype=dtype)
    assert frame.array.dtype == dtype
    assert len(np.unique(frame.array)) > 50


def test_a_single_slice_beats_in_its_plane():
    grid = Geometry((1, 40, 40), (8.0, 3.0, 3.0))
    field = BeatingHeart.within(grid).displacement(grid, 0, 1)
    assert np.allclose(field[..., 0], 0, atol=1e-9) and np.abs(field[..., 1:]).max() > 1
