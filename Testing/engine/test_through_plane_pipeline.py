"""The slices of a volume, filled in: what stays, what rises, what is refused, what stops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ttt4d.errors import Cancelled, InputError, SettingsError
from ttt4d.evaluation import slice_methods, slice_problems
from ttt4d.through_plane import classical, models
from ttt4d.through_plane.network.through_plane import NetworkSettings
from ttt4d.through_plane.pipeline import SliceInterpolator, SliceRequest
from ttt4d.through_plane.profile import projection_matrix
from ttt4d.through_plane.settings import SliceAdaptationSettings, SliceSettings
from ttt4d.weights import files

BASE = SliceAdaptationSettings("none")
TYPES = ("uint8", "int8", "int16", "uint16", "int32", "float32", "float64")


@pytest.fixture(scope="module")
def interpolator(tmp_path_factory):
    """A small network that is not trained, but whose residuals are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.new_model(NetworkSettings(channels=4, blocks=2, hidden=4))
        for decoder in model.network.decoders.values():
            torch.nn.init.normal_(decoder.residual.weight, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    files.save(path, model, {"name": "small"}, axis=models.AXIS)
    return SliceInterpolator(str(path), "cpu")


def smooth(slices, dtype="int16", edge=24, seed=0):
    coarse = torch.rand((1, 1, 4, 5, 5), generator=torch.Generator().manual_seed(seed))
    array = torch.nn.functional.interpolate(coarse, (slices, edge, edge), mode="trilinear", align_corners=True)[0, 0]
    return (array.numpy() * 100).astype(dtype)


def adapted(auxiliary, iterations=2, scheme="online"):
    return SliceAdaptationSettings(auxiliary, scheme, iterations, 1e-4)


@pytest.mark.parametrize("dtype", TYPES)
def test_acquired_slices_stay_bit_for_bit_where_nothing_was_seen_between_them(interpolator, dtype):
    array = smooth(6, dtype)
    result = interpolator.run(SliceRequest.by_factor(array, 4.0, (1.0, 1.0), 3), SliceSettings(adaptation=BASE))
    assert result.array.dtype == array.dtype and result.acquired == (0, 3, 6, 9, 12, 15)
    assert np.array_equal(result.array[::3], array)


@given(slices=st.integers(2, 7), edges=st.tuples(st.integers(1, 20), st.integers(1, 20)), factor=st.floats(1.1, 7),
       spacing=st.floats(0.3, 20), reading=st.sampled_from(["gap", "thick"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_factor_and_spacing_gives_the_slices_asked_for(interpolator, slices, edges, factor, spacing, reading):
    array = np.random.default_rng(0).integers(0, 200, (slices, *edges)).astype(np.uint8)
    array[0, 0, 0], array[-1, -1, -1] = 0, 255
    request = SliceRequest.by_factor(array, spacing, (1.0, 1.0), factor)
    result = interpolator.run(request, SliceSettings(reading, adaptation=BASE))
    assert result.array.shape == (len(request.wanted), *edges)
    assert np.allclose(np.diff(request.wanted), spacing / factor) and request.wanted[0] == 0
    for n in result.acquired:
        assert np.array_equal(result.array[n], array[round(float(request.numbers[n]))])


def test_slices_at_uneven_distances_stay_at_their_positions(interpolator):
    array, positions = smooth(4), np.array([0.0, 3.0, 7.0, 9.0])
    request = SliceRequest(array, positions, (1.0, 1.0), np.arange(10.0))
    result = interpolator.run(request, SliceSettings(adaptation=BASE))
    assert result.acquired == (0, 3, 7, 9) and np.array_equal(result.array[[0, 3, 7, 9]], array)


def test_nothing_is_darker_or_brighter_than_what_was_acquired(interpolator):
    array = np.random.default_rng(0).integers(50, 200, (6, 20, 20)).astype(np.uint8)
    result = interpolator.run(SliceRequest.by_factor(array, 4.0, (1.0, 1.0), 4), SliceSettings(adaptation=BASE))
    assert array.min() <= result.array.min() and result.array.max() <= array.max()


def test_of_thick_slices_all_are_computed(interpolator):
    request = SliceRequest.by_factor(smooth(6), 4.0, (1.0, 1.0), 4)
    assert interpolator.run(request, SliceSettings("thick", adaptation=BASE)).acquired == ()


@pytest.mark.parametrize("auxiliary", ["in-plane", "cross-view", "consistency"])
def test_the_same_seed_gives_the_same_bits(interpolator, auxiliary):
    request = SliceRequest.by_factor(smooth(7, "float32"), 4.0, (1.0, 1.0), 2)
    once, again = (interpolator.run(request, SliceSettings("thick", adaptation=adapted(auxiliary))) for _ in range(2))
    assert np.array_equal(once.array, again.array)
    assert once.report["adaptation"] == again.report["adaptation"] != {}


def test_a_run_leaves_the_base_weights_as_they_are(interpolator):
    before = {name: value.clone() for name, value in interpolator.model.network.state_dict().items()}
    request = SliceRequest.by_factor(smooth(7), 4.0, (1.0, 1.0), 2)
    interpolator.run(request, SliceSettings(adaptation=adapted("in-plane")))
    assert all(torch.equal(value, before[name]) for name, value in interpolator.model.network.state_dict().items())


@pytest.mark.parametrize("scheme", ["naive", "online", "mini-batch"])
def test_a_cohort_gives_a_result_for_each_volume_in_order(interpolator, scheme):
    requests = [SliceRequest.by_factor(smooth(6, seed=n), 4.0, (1.0, 1.0), 2) for n in range(3)]
    results = list(interpolator.run_all(requests, SliceSettings(adaptation=adapted("in-plane", scheme=scheme))))
    assert [np.array_equal(r.array[::2], q.array) for r, q in zip(results, requests)] == [True] * 3


def test_progress_never_falls_and_ends_at_one(interpolator):
    seen = []
    requests = [SliceRequest.by_factor(smooth(6, seed=n), 4.0, (1.0, 1.0), 2) for n in range(2)]
    list(interpolator.run_all(requests, SliceSettings(adaptation=adapted("in-plane")), seen.append))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    assert {progress.stage for progress in seen} == {"adaptation", "interpolation"}


@pytest.mark.parametrize("calls", [1, 3])
def test_a_cancel_stops_at_the_next_step(interpolator, calls):
    asked = []
    with pytest.raises(Cancelled):
        interpolator.run(SliceRequest.by_factor(smooth(6), 4.0, (1.0, 1.0), 2),
                         SliceSettings(adaptation=adapted("in-plane", 50)), cancelled=lambda: asked.append(1) or len(
                             asked) >= calls)
    assert len(asked) == calls


def test_few_slices_are_filled_in_without_adaptation_and_it_is_said(interpolator):
    result = interpolator.run(SliceRequest.by_factor(smooth(3), 4.0, (1.0, 1.0), 2), SliceSettings())
    assert any("no adaptation" in message for message in result.report["messages"])


@pytest.mark.parametrize("array, positions", [
    (np.ones((1, 4, 4)), [0.0]), (np.ones((3, 4, 4)), [0.0, 1.0, 2.0]), (smooth(3), [0.0, 2.0, 1.0]),
    (smooth(3), [0.0, 1.0]), (np.full((3, 4, 4), np.nan), [0.0, 1.0, 2.0])])
def test_what_cannot_be_filled_in_is_refused(interpolator, array, positions):
    with pytest.raises(InputError):
        interpolator.run(SliceRequest(np.asarray(array), np.array(positions), (1.0, 1.0), np.array([0.0])))


@pytest.mark.parametrize("values", [{"slices": "fat"}, {"thickness": 0.0}, {"thickness": float("nan")}])
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(SettingsError):
        SliceSettings(**values)


def test_tasks_of_the_other_axis_are_unknown_here():
    with pytest.raises(SettingsError, match="in-plane"):
        SliceAdaptationSettings("rotation")


@pytest.mark.parametrize("name", list(slice_problems.PROBLEMS))
def test_a_problem_holds_what_its_profile_makes_of_the_truth(name):
    volume = torch.rand(18, 6, 6)
    problem = slice_problems.PROBLEMS[name](volume, (1.0, 1.0, 1.0))
    factor = round(problem.spacing[0])
    fine = torch.arange(float(len(problem.truth)))
    projected = classical.apply(projection_matrix(fine, fine[::factor], problem.thickness), problem.truth)
    assert len(problem.truth) == (18 - 1) // factor * factor + 1
    noise = 0.1 if "noise" in name else 1e-6
    assert (projected - problem.acquired).abs().max() <= noise
    assert problem.missing[::factor].any() == ("thick-" in name)


def test_every_method_of_the_table_answers(interpolator):
    problem = slice_problems.PROBLEMS["gap-2"](torch.from_numpy(smooth(13, "float32") / 100), (1.0, 1.0, 1.0))
    for name in slice_methods.names():
        method = slice_methods.method(name, str(interpolator.path), iterations=1)
        result = next(method([problem]))
        assert result.shape == problem.truth.shape and np.isfinite(slice_problems.psnr(problem, result))
