"""The two halves of a run: adapt once, interpolate as often as wanted, one patient or a cohort."""

from __future__ import annotations

import numpy as np
import pytest

from ttt4d.errors import Cancelled, SettingsError
from ttt4d.images.volume import Geometry
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.pipeline import Interpolator


@pytest.fixture(scope="module")
def engine(small_weights) -> Interpolator:
    return Interpolator(small_weights, "cpu")


def settings(auxiliary="reconstruction", **values) -> InterpolationSettings:
    adaptation = {"auxiliary": auxiliary, "scheme": values.pop("scheme", "online")}
    if auxiliary != "none":
        adaptation.update(iterations=2, learning_rate=3e-3)
    return InterpolationSettings.from_json({"frames": 1, **values, "adaptation": adaptation})


def arrays(frames) -> list:
    return [frame.array for frame in frames]


def equal(one, other) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


@pytest.mark.parametrize("scheme", ["naive", "online", "mini-batch"])
@pytest.mark.parametrize("values", [{}, {"cyclic": True}, {"auxiliary": "none"}])
def test_a_run_is_its_two_halves_one_after_the_other(engine, phases, scheme, values):
    sequence, chosen = phases(3, dtype=np.float32), settings(scheme=scheme, **values)
    run = list(engine.run(sequence, chosen, displacements=True).frames)
    halves = list(engine.interpolate(engine.adapt(sequence, chosen), displacements=True))
    assert equal(arrays(run), arrays(halves))
    assert equal([f.displacement for f in run], [f.displacement for f in halves])
    assert [(f.index, f.pair, f.time, f.acquired) for f in run] == [(f.index, f.pair, f.time, f.acquired)
                                                                    for f in halves]


def test_other_times_need_no_other_adaptation(engine, phases):
    pair = phases(2, dtype=np.float32)
    adapted = engine.adapt(pair, settings(times=[0.5]))
    again = list(engine.interpolate(adapted, (0.2, 0.5, 0.7)))
    assert [f.time for f in again] == [0, 0.2, 0.5, 0.7, 1] and [f.index for f in again] == [0, 20, 50, 70, 100]
    fresh = arrays(engine.run(pair, settings(times=[0.2, 0.5, 0.7])).frames)
    assert equal(arrays(again), fresh)


def test_times_of_the_phases_give_the_positions_of_the_frames(engine, phases):
    adapted = engine.adapt(phases(3), settings("none"), phase_times=(10, 20, 60))
    assert [f.index for f in engine.interpolate(adapted)] == [0, 10, 20, 60, 100]


def test_times_that_fall_are_refused(engine, phases):
    with pytest.raises(SettingsError, match="rise"):
        list(engine.interpolate(engine.adapt(phases(), settings("none")), (0.5, 0.2)))


def test_a_cancel_stops_the_adaptation(engine, phases):
    with pytest.raises(Cancelled):
        engine.adapt(phases(), settings(), cancelled=lambda: True)


@pytest.fixture
def cohort(phases):
    """Three patients on three grids."""
    grids = [Geometry(size, (8.0, 3.0, 3.0)) for size in ((4, 22, 26), (5, 20, 24), (3, 26, 22))]
    return [phases(2, grid, np.float32) for grid in grids]


@pytest.mark.parametrize("scheme", ["naive", "mini-batch", "online"])
def test_patients_of_a_cohort_can_be_interpolated_in_any_order(engine, cohort, scheme):
    forward = [arrays(engine.interpolate(a)) for a in engine.adapt_cohort(cohort, settings(scheme=scheme))]
    adapted = engine.adapt_cohort(cohort, settings(scheme=scheme))
    backward = [arrays(engine.interpolate(a)) for a in reversed(adapted)][::-1]
    assert all(equal(one, other) for one, other in zip(forward, backward))
    assert equal(forward[0], arrays(engine.interpolate(adapted[0])))  # and again


def test_online_knows_nothing_of_other_patients_and_mini_batch_of_those_before(engine, cohort):
    alone = [arrays(engine.run(patient, settings()).frames) for patient in cohort]
    online = [arrays(engine.interpolate(a)) for a in engine.adapt_cohort(cohort, settings())]
    assert all(equal(one, other) for one, other in zip(online, alone))
    stream = [arrays(engine.interpolate(a)) for a in engine.adapt_cohort(cohort, settings(scheme="mini-batch"))]
    assert equal(stream[0], alone[0]) and not equal(stream[1], alone[1])
