"""Slice profiles and classical interpolation along the slice axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.through_plane import classical
from ttt4d.through_plane.profile import FWHM_PER_SIGMA, estimated_thickness, projection_matrix


def random_volume(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_a_point_profile_takes_the_slices_themselves():
    fine = random_volume(9, 4, 5)
    positions = torch.arange(9.0)
    assert torch.equal(classical.apply(projection_matrix(positions, positions[::4], 0.0), fine), fine[::4])


def test_a_gaussian_profile_is_a_gaussian_filter_away_from_the_ends():
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    fine = random_volume(41, 3, 3)
    positions = torch.arange(41.0)
    ours = classical.apply(projection_matrix(positions, positions, 4.0), fine)
    judge = ndimage.gaussian_filter1d(fine.numpy().astype(float), 4.0 / FWHM_PER_SIGMA, axis=0)
    assert np.abs(ours.numpy() - judge)[10:-10].max() < 0.01


def test_a_box_profile_is_the_mean_of_the_slices_it_covers():
    fine = random_volume(9, 3, 3)
    positions = torch.arange(9.0)
    ours = classical.apply(projection_matrix(positions, positions[1:8:3], 3.0, "box"), fine)
    assert torch.allclose(ours, fine.view(3, 3, 3, 3).mean(1), atol=1e-6)


@given(count=st.integers(2, 30), thickness=st.floats(0, 8), shape=st.sampled_from(["gaussian", "box"]))
@settings(max_examples=40, deadline=None)
def test_a_profile_keeps_the_mean_of_a_constant(count, thickness, shape):
    positions = torch.arange(float(count))
    matrix = projection_matrix(positions, torch.linspace(0, count - 1, 5), thickness, shape)
    assert torch.allclose(matrix.sum(1), torch.ones(5), atol=1e-5)


@pytest.mark.parametrize("name", list(classical.METHODS))
def test_every_interpolator_returns_the_acquired_slices_at_their_positions(name):
    volume = random_volume(6, 4, 5)
    assert torch.allclose(classical.METHODS[name](volume, torch.arange(6.0)), volume, atol=1e-5)


@pytest.mark.parametrize("name", list(classical.METHODS))
@pytest.mark.parametrize("slices", [2, 3, 7])
def test_every_interpolator_takes_any_real_position_of_any_stack(name, slices):
    volume = random_volume(slices, 4, 5)
    result = classical.METHODS[name](volume, torch.linspace(-0.5, slices, 13))
    assert result.shape == (13, 4, 5) and torch.isfinite(result).all()
    assert torch.allclose(result[0], volume[0], atol=1e-5) and torch.allclose(result[-1], volume[-1], atol=1e-5)


def test_pchip_is_that_of_scipy_for_uneven_slices():
    interpolate = pytest.importorskip("scipy.interpolate", reason="SciPy is not installed")
    volume, steps = random_volume(8, 3, 4).double(), torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 1.5, 2.0]).double()
    knots = np.concatenate([[0], np.cumsum(steps.numpy())])
    positions = np.linspace(0, 7, 40)
    millimetres = np.interp(positions, np.arange(8), knots)
    ours = classical.pchip(volume, torch.from_numpy(positions), steps)
    judge = interpolate.PchipInterpolator(knots, volume.numpy(), axis=0)
    assert np.abs(ours.numpy() - judge(millimetres)).max() < 1e-9


def test_the_bspline_is_a_cubic_spline_away_from_the_ends():
    interpolate = pytest.importorskip("scipy.interpolate", reason="SciPy is not installed")
    volume = random_volume(21, 3, 4).double()
    positions = np.linspace(9, 11, 15)
    judge = interpolate.CubicSpline(np.arange(21), volume.numpy(), axis=0)(positions)
    assert np.abs(classical.bspline(volume, torch.from_numpy(positions)).numpy() - judge).max() < 1e-3


@pytest.mark.parametrize("thickness", [2.0, 4.0])
def test_the_slice_thickness_is_estimated_from_the_spectra(thickness):
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    noise = np.random.default_rng(0).standard_normal((96, 64, 64))
    for axis in range(3):  # structure of the same kind along every axis
        noise = ndimage.gaussian_filter1d(noise, 1.2, axis=axis, mode="wrap")
    thick = ndimage.gaussian_filter1d(noise, thickness / FWHM_PER_SIGMA, axis=0, mode="wrap")
    assert estimated_thickness(thick, (1.0, 1.0, 1.0)) == pytest.approx(min(thickness, 2.0), rel=0.25)
    assert estimated_thickness(noise, (1.0, 1.0, 1.0)) < 0.7
