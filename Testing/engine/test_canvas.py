"""The canvas covers the native grid corner to corner, and what comes back from it is right in native voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.errors import InputError
from ttt4d.images.intensity import IntensityScale
from ttt4d.images.volume import Geometry, Volume
from ttt4d.motion import warping
from ttt4d.temporal import canvas as canvases
from ttt4d.temporal.canvas import Canvas
from ttt4d.temporal.network.interpolator import Estimate

SIZES = st.tuples(*[st.integers(1, 300)] * 3)
SPACINGS = st.tuples(*[st.floats(0.2, 15)] * 3)
SMALL_SIZES = st.tuples(*[st.integers(1, 26)] * 3)
VOXELS = st.integers(64, 4000)


def fit(size, spacing=(1.0, 1.0, 1.0), voxels=10**9, edge=None) -> Canvas:
    return Canvas.fit(Geometry(size, spacing), 4, voxels, edge)


def spacing_of(canvas: Canvas, spacing):
    """Millimetres between the canvas's voxels."""
    return [s * (n - 1) / (m - 1) if m > 1 else s for s, n, m in zip(spacing, canvas.native, canvas.inner)]


def estimate_on(canvas: Canvas, to0=0.0, to1=0.0, weight=0.5, residual=0.0) -> Estimate:
    """An estimate from numbers or maps; maps are padded as the canvas is."""
    def full(value, channels):
        value = torch.as_tensor(value, dtype=torch.float32)
        if value.dim() < 5:
            return value.expand(1, channels, *canvas.padded)
        index = [torch.arange(p).clamp(max=n - 1) for p, n in zip(canvas.padded, value.shape[2:])]
        return value[:, :, index[0]][:, :, :, index[1]][:, :, :, :, index[2]]
    return Estimate(full(to0, 3), full(to1, 3), full(weight, 1), full(residual, 1))


def restored(canvas: Canvas, estimate: Estimate, native0, native1):
    """The whole frame (k, j, i) and its displacement (3, k, j, i)."""
    slabs = list(canvas.restore(estimate, native0, native1))
    assert [s.start for s, _ in slabs[1:]] == [s.stop for s, _ in slabs[:-1]]
    return torch.cat([frame for _, frame in slabs]), canvas.native_displacement(estimate.to0)[0]


def units(size) -> torch.Tensor:
    """Where each voxel of a grid lies in its extent: (1, 3, k, j, i), 0 at the first corner, 1 at the last."""
    return warping.identity(size, torch.zeros(())) / extents(size)


def extents(size) -> torch.Tensor:
    return torch.tensor([max(n - 1, 1) for n in size], dtype=torch.float32).view(1, 3, 1, 1, 1)


# -- fit ---------------------------------------------------------------------------------------------------------------


@given(SIZES, SPACINGS, st.integers(64, 10**6), st.none() | st.integers(16, 128))
def test_a_canvas_keeps_within_its_limits_and_is_never_finer_than_the_native_grid(size, spacing, voxels, edge):
    canvas = fit(size, spacing, voxels, edge)
    assert canvas.native == size
    assert all(min(n, 2) <= m <= n for n, m in zip(size, canvas.inner))
    assert int(np.prod(canvas.inner)) <= voxels
    assert edge is None or max(canvas.inner) <= edge
    assert all(m <= p < m + 8 for m, p in zip(canvas.inner, canvas.padded))


@given(SIZES, SPACINGS)
def test_a_volume_that_fits_is_taken_as_it_is(size, spacing):
    assert fit(size, spacing, int(np.prod(size)), max(size)).inner == size


@given(st.tuples(*[st.integers(20, 300)] * 3), SPACINGS, st.integers(1000, 10**5))
def test_the_finest_axes_are_coarsened_first(size, spacing, voxels):
    """No axis is coarsened beyond what another, finer one still has, but for the rounding to whole voxels."""
    canvas = fit(size, spacing, voxels)
    now = spacing_of(canvas, spacing)
    # An axis of m voxels was meant to have half an interval more at most: the spacing aimed at is no smaller than this.
    aimed_at = max([s * (m - 1) / (m - 0.5) for s, n, m in zip(now, size, canvas.inner) if m < n], default=0)
    for s, n, m in zip(now, size, canvas.inner):
        if m == n:
            assert s >= (1 - 0.5 / (n - 1)) * aimed_at * (1 - 1e-9)


def test_thick_slices_stay_as_they_are():
    canvas = fit((12, 512, 512), (8.0, 0.8, 0.8), 500_000)
    assert canvas.inner[0] == 12 and canvas.inner[1] == canvas.inner[2] < 512
    assert int(np.prod(canvas.inner)) > 450_000  # and the limit is used


# -- to the canvas -----------------------------------------------------------------------------------------------------


@given(SMALL_SIZES, VOXELS)
def test_a_phase_on_the_canvas_lies_in_0_to_1_with_its_corners_where_they_were(size, voxels):
    """A ramp along each axis is the same ramp there: axes in order, corners on corners."""
    canvas = fit(size, voxels=voxels)
    for axis in range(3):
        if size[axis] < 2:
            continue
        ramp = 5 + 3 * units(size)[:, axis:axis + 1]
        scaled = canvas.scaled_phase(ramp)
        assert scaled.shape == (1, 1, *canvas.padded)
        assert -1e-5 <= scaled.min() and scaled.max() <= 1 + 1e-5
        inner = scaled[:, :, :canvas.inner[0], :canvas.inner[1], :canvas.inner[2]]
        expected = units(canvas.inner)[:, axis:axis + 1]
        # Smoothing before coarser sampling levels the ends off, where there is no neighbour beyond.
        off = 2.0 / (canvas.inner[axis] - 1) if canvas.inner[axis] < size[axis] else 1e-4
        assert (inner - expected).abs().max() < off
        middle = (inner - expected).movedim(2 + axis, 0)[canvas.inner[axis] // 2]
        assert middle.abs().max() < max(0.3 * off, 1e-4)


def test_the_padding_holds_the_edge():
    canvas = fit((5, 30, 31), (8.0, 1.5, 1.5))
    assert canvas.padded == (5, 33, 33)
    scaled = canvas.scaled_phase(torch.rand(1, 1, 5, 30, 31))
    assert torch.equal(scaled[..., 30:, :], scaled[..., 29:30, :].expand(-1, -1, -1, 3, -1))
    assert torch.equal(scaled[..., 31:], scaled[..., 30:31].expand(-1, -1, -1, -1, 2))


def test_fine_stripes_do_not_alias_on_a_coarse_canvas():
    stripes = (torch.arange(240) % 2).float().expand(1, 1, 8, 16, 240)
    canvas = fit((8, 16, 240), (8.0, 8.0, 1.0), voxels=8 * 16 * 60)
    assert 50 < canvas.inner[2] <= 60
    assert canvas.scaled_phase(stripes)[..., 4:canvas.inner[2] - 4].std() < 0.05


# -- back from the canvas ----------------------------------------------------------------------------------------------


@given(SMALL_SIZES, VOXELS, st.floats(0, 1))
def test_no_motion_gives_the_blend_of_the_native_voxels_back(size, voxels, weight):
    canvas = fit(size, voxels=voxels)
    native0, native1 = torch.rand(2, 1, 1, *size, generator=torch.Generator().manual_seed(0))
    frame, to0 = restored(canvas, estimate_on(canvas, weight=weight), native0, native1)
    assert torch.allclose(frame, (weight * native0 + (1 - weight) * native1)[0, 0], atol=2e-5)
    assert to0.abs().max() == 0


def test_no_motion_gives_16_bit_voxels_back_to_the_last_grey_value():
    """Interpolation between voxel centres would cost some, if the canvas were off by a fraction of a voxel."""
    grid = Geometry((6, 40, 50), (5.0, 1.0, 1.0))
    array = np.random.default_rng(0).integers(-1000, 3000, grid.shape).astype(np.int16)
    scale = IntensityScale.of([Volume(array, grid)])
    canvas = Canvas.fit(grid, 4, 2000)
    frame, _ = restored(canvas, estimate_on(canvas), scale.to_unit(array), scale.to_unit(array))
    assert np.array_equal(scale.from_unit(frame), array)


@given(SMALL_SIZES, VOXELS, st.integers(0, 999))
def test_a_smooth_field_on_the_canvas_comes_back_in_native_voxels(size, voxels, seed):
    """A field linear in space, known on every grid: the same places, in voxels of each."""
    matrix = torch.from_numpy(np.random.default_rng(seed).uniform(-0.3, 0.3, (3, 4)).astype(np.float32))

    def field(grid):
        moved = torch.einsum("ab,nbkji->nakji", matrix[:, :3], units(grid)) + matrix[:, 3].view(1, 3, 1, 1, 1)
        return moved * extents(grid)  # the matrix is in fractions of the extent

    canvas = fit(size, voxels=voxels)
    native = torch.rand(1, 1, *size)
    _, to0 = restored(canvas, estimate_on(canvas, to0=field(canvas.inner)), native, native)
    for axis in range(3):
        if size[axis] > 1:
            assert torch.allclose(to0[axis], field(size)[0, axis], atol=1e-3)


@given(st.tuples(*[st.integers(4, 26)] * 3), VOXELS, st.tuples(*[st.integers(-2, 2)] * 3), st.sampled_from([0, 1]))
def test_a_shift_of_whole_native_voxels_takes_the_right_voxels_of_the_right_phase(size, voxels, shift, phase):
    canvas = fit(size, voxels=voxels)
    ratio = torch.tensor([(m - 1) / (n - 1) for n, m in zip(size, canvas.inner)])
    field = (torch.tensor(shift, dtype=torch.float32) * ratio).view(3, 1, 1, 1)
    natives = torch.rand(2, 1, 1, *size, generator=torch.Generator().manual_seed(1))
    estimate = estimate_on(canvas, **{f"to{phase}": field}, weight=1.0 - phase)
    frame, _ = restored(canvas, estimate, *natives)
    index = [np.clip(np.arange(n) + s, 0, n - 1) for n, s in zip(size, shift)]
    assert np.allclose(frame, natives[phase][0, 0].numpy()[np.ix_(*index)], atol=1e-3)


@given(SMALL_SIZES, VOXELS)
def test_weight_and_residual_come_back_where_they_were(size, voxels):
    canvas = fit(size, voxels=voxels)
    native0, native1 = torch.ones(1, 1, *size), torch.zeros(1, 1, *size)
    for axis in range(3):
        ramp = units(canvas.inner)[:, axis:axis + 1]
        expected = units(size)[0, axis]
        weighted = restored(canvas, estimate_on(canvas, weight=ramp), native0, native1)[0]
        assert torch.allclose(weighted, expected, atol=1e-4)
        added = restored(canvas, estimate_on(canvas, weight=0.0, residual=ramp), native0, native1)[0]
        assert torch.allclose(added, expected, atol=1e-4)


def test_slabs_make_the_same_frame_as_the_whole_at_once(monkeypatch):
    canvas = fit((13, 20, 22), voxels=1500)
    generator = torch.Generator().manual_seed(0)
    native0, native1 = torch.rand(2, 1, 1, *canvas.native, generator=generator)
    maps = {name: torch.rand(1, channels, *canvas.inner, generator=generator)
            for name, channels in (("to0", 3), ("to1", 3), ("weight", 1), ("residual", 1))}
    whole, field = restored(canvas, estimate_on(canvas, **maps), native0, native1)
    monkeypatch.setattr(canvases, "SLAB_VOXELS", 3 * 20 * 22)
    assert len(list(canvas.restore(estimate_on(canvas, **maps), native0, native1))) == 5
    again, field_again = restored(canvas, estimate_on(canvas, **maps), native0, native1)
    assert torch.allclose(whole, again, atol=1e-5) and torch.allclose(field, field_again, atol=1e-5)


# -- intensities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_whole_numbers_over_their_types_whole_range_come_back(dtype):
    info = np.iinfo(dtype)
    values = np.array([info.min, info.max], dtype).reshape(1, 1, 2)
    scale = IntensityScale.of([Volume(values, Geometry((1, 1, 2), (1.0, 1.0, 1.0)))])
    back = scale.from_unit(scale.to_unit(values)[0, 0])
    assert back.dtype == dtype and np.array_equal(back, values)


@settings(max_examples=30)
@given(st.integers(-2**15, 2**15 - 2), st.integers(0, 999))
def test_16_bit_voxels_come_back_unchanged(low, seed):
    array = np.random.default_rng(seed).integers(low, min(low + 5000, 2**15), (3, 4, 5)).astype(np.int16)
    array[0, 0, :2] = low, low + 1
    scale = IntensityScale.of([Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0)))])
    assert np.array_equal(scale.from_unit(scale.to_unit(array)[0, 0]), array)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fractions_come_back_to_single_precision_of_the_range(dtype):
    array = (np.random.default_rng(0).normal(size=(3, 4, 5)) * 50 - 20).astype(dtype)
    scale = IntensityScale.of([Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0)))])
    back = scale.from_unit(scale.to_unit(array)[0, 0])
    assert back.dtype == dtype
    assert np.allclose(back, array, rtol=0, atol=1e-5 * np.ptp(array) if dtype != np.float16 else 0.05)


def test_what_overshoots_is_held_within_the_range_of_the_phases():
    grid = Geometry((1, 1, 2), (1.0, 1.0, 1.0))
    pair = [Volume(np.array([[values]], np.int16), grid) for values in ([-5, 7], [0, 90])]
    scale = IntensityScale.of(pair)
    assert scale.from_unit(torch.tensor([-0.5, 0.5, 1.5])).tolist() == [-5, 42, 90]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values, words", [
    ([3, 3], "constant"), ([0, np.nan], "not finite"), ([0, np.inf], "not finite"), ([0, 1e40], "too far apart"),
    ([-1e308, 1e308], "too far apart"),
])
def test_values_that_have_no_scale_are_refused_for_what_they_are(values, words):
    scale = IntensityScale.of([Volume(np.array([[values]]), Geometry((1, 1, 2), (1.0, 1.0, 1.0)))])
    with pytest.raises(InputError, match=words):
        scale.check()
