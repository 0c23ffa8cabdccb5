"""The intensity scale: padding, metal and spikes must not change what the network sees of the tissue."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ttt4d.images.intensity import Fences, IntensityScale
from ttt4d.images.volume import Geometry, Volume
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.pipeline import Interpolator

SHAPE = (6, 48, 48)
GRID = Geometry(SHAPE, (8.0, 2.6, 2.6))
KK, JJ, II = np.indices(SHAPE).astype(float)
OUTSIDE = np.hypot(JJ - 23.5, II - 23.5) > 22
MEASURED = (np.hypot(JJ - 23.5, II - 23.5) < 19) & (JJ > 10)  # no outlier is there, nor beside it


def body(time: float) -> np.ndarray:
    """A disc with rings in a textured body: it moves by 4 voxels along i and shrinks."""
    draws = np.random.default_rng(3)
    texture = 300 + sum(25 * np.sin(draws.uniform(0.2, 0.7) * II + draws.uniform(0.2, 0.7) * JJ + draws.uniform(0, 6))
                        for _ in range(5))
    radius = 11 - 3 * time
    distance = np.hypot(JJ - 24, II - (22 + 4 * time))
    inside = 1 / (1 + np.exp((distance - radius) / 0.8))
    return texture * (1 - inside) + (700 + 60 * np.cos(2 * np.pi * distance / radius)) * inside + 15 * KK


def volume(array, dtype) -> Volume:
    return Volume(np.rint(array).astype(dtype) if np.dtype(dtype).kind in "iu" else array.astype(dtype), GRID)


def spike(array, value):
    array[0, 0, 0] = value


def few_hot(array, value):
    for n, place in enumerate([(0, 5, 5), (2, 40, 40), (3, 43, 40), (3, 3, 20)]):
        array[place] = value / (n + 1)


def metal(array, value):
    array[2:4, 3:6, 22:26] = value


def padding(array, value):
    array[OUTSIDE] = value


def padding_and_metal(array, value):
    padding(array, value)
    metal(array, 3071)


def nothing(array, value):
    pass


OUTLIERS = [(spike, 1e6, np.float32), (spike, 1e30, np.float32), (spike, 1e12, np.float64), (spike, 32767, np.int16),
            (spike, -32768, np.int16), (spike, 65535, np.uint16), (spike, 2**31 - 1, np.int32),
            (few_hot, 30000, np.int16), (few_hot, 1e5, np.float64),
            (metal, 30710, np.int16), (metal, 30710, np.uint16), (metal, -30000, np.int16), (metal, 3e5, np.float32),
            (padding, -1024, np.int16), (padding, -2000, np.int16), (padding, -32768, np.int16),
            (padding, -3024, np.float32), (padding, -1e5, np.float64), (padding_and_metal, -1024, np.int32)]


@pytest.fixture(scope="module")
def gain(cardiac):
    """gain(alter, value, dtype): dB by which the frame at mid-way is nearer the truth than blending, and all frames."""
    engine = Interpolator(cardiac, "cpu")
    settings = InterpolationSettings.from_json({"frames": 1, "adaptation": {"auxiliary": "none"}})
    truth = body(0.5)

    def error(frame):
        return np.sqrt(np.mean((frame.astype(float) - truth)[MEASURED] ** 2))

    def measure(alter, value, dtype):
        phases = [body(0), body(1)]
        for array in phases:
            alter(array, value)
        phases = [volume(array, dtype) for array in phases]
        frames = [frame.array for frame in engine.run(phases, settings).frames]
        return 20 * np.log10(error((body(0) + body(1)) / 2) / error(frames[1])), phases, frames

    return measure


@pytest.mark.parametrize("alter, value, dtype", OUTLIERS)
def test_outliers_cost_no_gain_and_come_out_where_they_were(gain, alter, value, dtype):
    plain, _, _ = gain(nothing, 0, dtype)
    altered, phases, frames = gain(alter, value, dtype)
    assert plain > 5 and altered > plain - 0.3
    assert np.array_equal(frames[0], phases[0].array) and np.array_equal(frames[2], phases[1].array)
    if alter is padding:  # well outside the edge, along which it moves with the tissue
        far = np.hypot(JJ - 23.5, II - 23.5) > 27
        assert np.allclose(frames[1][far], value, rtol=1e-6, atol=0)
    else:
        assert abs(frames[1].astype(float)).max() > 2000  # the spike is still there


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_outliers_of_one_phase_leave_the_contrast_of_both_equal(dtype):
    plain = [volume(body(t), dtype) for t in (0, 1)]
    array = body(1)
    padding(array, -2000)
    metal(array, 30000)
    fences = Fences.of([plain[0], volume(array, dtype)])
    assert IntensityScale.of(plain[:1], fences).low == plain[0].array.min()
    found = IntensityScale.of([volume(array, dtype)], fences)
    assert found.low == volume(array, dtype).array[~OUTSIDE].min()
    assert found.high == plain[1].array[~OUTSIDE].max()


NATURAL = {
    "noise about zero": lambda draws: draws.normal(0, 50, SHAPE),
    "a bright tenth": lambda draws: np.where(draws.random(SHAPE) < 0.1, 4000, draws.normal(100, 20, SHAPE)),
    "a masked brain": lambda draws: np.where(OUTSIDE, 0, draws.normal(900, 100, SHAPE)),
    "CT, air at the lowest value": lambda draws: np.where(OUTSIDE, -1000, draws.normal(0, 300, SHAPE).clip(-990)),
    "two values": lambda draws: np.where(OUTSIDE, 0.0, 1.0),
    "noise-free, three values": lambda draws: np.where(OUTSIDE, 0, np.where(MEASURED, 700.0, 300.0)),
    "saturated": lambda draws: draws.normal(900, 300, SHAPE).clip(0, 1200),
}


@pytest.mark.parametrize("name", NATURAL)
def test_images_without_outliers_are_scaled_by_their_smallest_and_largest_value(name):
    array = NATURAL[name](np.random.default_rng(0)).astype(np.float32)
    assert Fences.of([Volume(array, GRID)]) == Fences() and Fences().message == ""
    scale = IntensityScale.of([Volume(array, GRID)])
    assert (scale.low, scale.high) == (array.min(), array.max()) == (scale.smallest, scale.largest)
    assert np.array_equal(scale.to_network(array), scale.to_unit(array))


@given(arrays(np.int16, (3, 5, 7)))
def test_any_image_is_in_0_to_1_for_the_network_and_comes_back_unchanged(array):
    array[0, 0, :2] = array[0, 0, 0], array[0, 0, 0] // 2 + 1
    if array.min() == array.max():
        return
    scale = IntensityScale.of([Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0)))])
    seen = scale.to_network(array)
    assert 0 <= seen.min() and seen.max() <= 1
    assert np.array_equal(scale.from_unit(scale.to_unit(array)[0, 0]), array)


@given(st.sampled_from(OUTLIERS[:15]))
def test_the_network_sees_the_tissue_as_it_would_without_the_outliers(outlier):
    alter, value, dtype = outlier
    array = body(0)
    alter(array, value)
    array, plain = volume(array, dtype), volume(body(0), dtype)
    seen, expected = (IntensityScale.of([v]).to_network(v.array)[0, 0].numpy() for v in (array, plain))
    assert np.abs(seen - expected)[MEASURED].max() < 0.15  # the range of the tissue that is left may be smaller
    assert 0 <= seen.min() and seen.max() <= 1


def test_the_message_names_the_intensities_that_were_taken_for_outliers():
    array = body(0)
    padding(array, -2000)
    metal(array, 30000)
    message = Fences.of([volume(array, np.int16)]).message
    assert "below -9" in message and "or above" in message and "outliers" in message
