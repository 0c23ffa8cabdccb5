"""Every method has a name; ours adapt as their schemes say."""

from __future__ import annotations

import numpy as np
import pytest

from ttt4d.evaluation import methods
from ttt4d.evaluation.methods import METHODS, Options, make_method
from ttt4d.evaluation.protocol import PROTOCOLS, Pair, evaluate
from ttt4d.settings import AdaptationSettings


def test_every_scheme_of_every_task_can_be_measured_by_name():
    assert {"base", "default", "rotation-online", "reconstruction-naive", "rotation-mini-batch"} <= set(METHODS)
    assert {protocol.comparable for protocol in PROTOCOLS.values()} == {"", "cardiac", "lung"}


@pytest.fixture()
def options(small_weights):
    return Options(weights=small_weights, device="cpu")


def cohort(sizes=((4, 20, 18), (5, 18, 20))):
    random = np.random.default_rng(0)
    pairs = []
    for number, size in enumerate(sizes):
        frames = random.random((3, *size), dtype=np.float32)
        frames[:, 0, 0, :2] = 0, 1
        pairs.append(Pair(f"{number:03d}", frames[0], frames[2], (0.5,), frames[1:2], (8.0, 1.5, 1.5)))
    return pairs


def frames_of(name, options, monkeypatch):
    """The frame each case of the cohort gets, after a few steps of adaptation a batch, such as lower the loss."""
    monkeypatch.setattr(methods, "AdaptationSettings",
                        lambda **chosen: AdaptationSettings(**chosen, iterations=4, learning_rate=1e-3))
    method, pairs = make_method(name, options), cohort()
    return [np.asarray(frames[0]) for frames in method.cohort(pairs)]


def test_our_methods_are_measured_like_every_other(options):
    report = evaluate(cohort(), {"base": make_method("base", options)})
    assert report["frames"] == 2 and np.isfinite(report["methods"]["base"]["psnr"])


def test_a_method_can_name_its_own_weights(options, monkeypatch):
    elsewhere = make_method(f"{options.weights}/base", Options(weights="nowhere", device="cpu"))
    expected = frames_of("base", options, monkeypatch)[0]
    pair = cohort()[0]
    assert np.array_equal(elsewhere(pair.phase0, pair.phase1, pair.times, pair.spacing)[0], expected)


def test_the_schemes_differ_over_a_cohort_as_they_are_defined(options, monkeypatch):
    base, online, mini_batch, naive = (
        frames_of(name, options, monkeypatch)
        for name in ("base", "reconstruction-online", "reconstruction-mini-batch", "reconstruction-naive"))
    assert not np.array_equal(online[0], base[0]), "adaptation changed nothing"
    assert np.array_equal(mini_batch[0], online[0]), "the first batch of a stream starts from the base weights"
    assert not np.array_equal(mini_batch[1], online[1]), "the weights were not carried on to the second case"
    assert not np.array_equal(naive[0], online[0]), "the second case did not count for the first"


def test_calls_in_any_order_and_again_give_the_same_frames(options, monkeypatch):
    monkeypatch.setattr(methods, "AdaptationSettings",
                        lambda **chosen: AdaptationSettings(**chosen, iterations=4, learning_rate=1e-3))
    for name in ("reconstruction-online", "reconstruction-mini-batch", "reconstruction-naive"):
        method = make_method(name, options)
        alone = [method(p.phase0, p.phase1, p.times, p.spacing)[0] for p in cohort()]
        list(method.cohort(cohort()))
        again = [method(p.phase0, p.phase1, p.times, p.spacing)[0] for p in reversed(cohort())]
        assert all(np.array_equal(one, other) for one, other in zip(alone, reversed(again))), name
