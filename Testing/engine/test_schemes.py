"""Naive, online and mini-batch do what the paper says, to the bit; only f and g learn."""

from __future__ import annotations

import copy

import pytest
import torch

from ttt4d.adaptation.schemes import LOOPS, Adaptation
from ttt4d.settings import AdaptationSettings
from ttt4d.temporal import models
from ttt4d.temporal.auxiliary import TASKS, task_class
from ttt4d.temporal.auxiliary.reconstruction import Reconstruction
from ttt4d.temporal.network.interpolator import InterpolationNetwork
from ttt4d.temporal.phase_pair import PhasePair
from ttt4d.weights.model import Model

STRIDES = [(1, 1, 1), (1, 2, 2), (1, 2, 2)]
ITERATIONS = 3


@pytest.fixture(scope="module")
def batches():
    """Noise over a ramp: it has a way up, as what a patient shows has, so that every task can learn."""
    ramp = torch.linspace(0, 0.7, 13).view(1, 1, 1, 13, 1)
    return [PhasePair(0.3 * torch.rand(2, 1, 3, 13, 17, generator=torch.Generator().manual_seed(n)) + ramp, STRIDES)
            for n in range(3)]


@pytest.fixture
def adaptation(small):
    """adaptation(task class): always of the same w0."""
    def make(task=Reconstruction, **values) -> Adaptation:
        torch.manual_seed(0)
        network, head = InterpolationNetwork(small), task(small)
        return Adaptation(network, head, **{"iterations": ITERATIONS, "learning_rate": task.learning_rate, "seed": 7,
                                            **values})
    return make


def weights_of(module) -> dict:
    return copy.deepcopy(module.state_dict())


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def weights_for_each_batch(scheme, adaptation, batches) -> list:
    """The weights of f and g with which each batch is interpolated."""
    found = [weights_of(adaptation.learning) for _ in LOOPS[scheme](adaptation, batches)]
    assert len(found) == len(batches)
    return found


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("scheme", LOOPS)
def test_f_learns_and_h_does_not(adaptation, batches, name, scheme):
    # Enough for any loss to fall: steps that do not lower it are taken back.
    a = adaptation(task_class(name), iterations=30, learning_rate=1e-3)
    before = weights_of(a.network)
    for _ in LOOPS[scheme](a, batches[:2]):
        pass
    after = a.network.state_dict()
    for key in before:
        assert torch.equal(before[key], after[key]) == (not key.startswith("features.")), key


@pytest.mark.parametrize("name", ["rotation", "reconstruction"])
def test_the_auxiliary_head_learns_too(adaptation, batches, name):
    a = adaptation(task_class(name))
    before = weights_of(a.task)
    a.learn([(0, batches[0])])
    assert all(not torch.equal(before[key], value) for key, value in a.task.state_dict().items())


@pytest.mark.parametrize("name", TASKS)
def test_no_gradient_is_computed_for_h(adaptation, batches, name):
    a = adaptation(task_class(name))
    a.learn([(0, batches[0])])
    assert all(p.grad is None for part in (a.network.motion, a.network.refinement) for p in part.parameters())


def test_the_steps_are_the_users_else_those_of_the_weights_else_the_tasks_own(small_weights):
    model = models.load(small_weights)
    best = {"agreement": {"iterations": 9, "learning_rate": 0.5}}
    told = Model(model.network, model.tasks, {**model.card, "adaptation": best})

    def steps(model, **values) -> tuple:
        adaptation = Adaptation.of(model, AdaptationSettings(**values), torch.device("cpu"), 0)
        return adaptation.iterations, adaptation.learning_rate

    own = task_class("agreement")
    assert steps(model) == (own.iterations, own.learning_rate)
    assert steps(told) == (9, 0.5)
    assert steps(told, iterations=2) == (2, 0.5) and steps(told, learning_rate=0.25) == (9, 0.25)
    assert steps(told, auxiliary="rotation") == steps(model, auxiliary="rotation")


def test_the_loss_falls(adaptation, batches):
    a = adaptation(learning_rate=1e-2)
    for _ in range(30):
        a.step(0, batches[0])
    assert sum(a.losses[0][-5:]) < 0.8 * sum(a.losses[0][:5])


@pytest.mark.parametrize("scheme", LOOPS)
def test_steps_that_do_harm_are_taken_back_and_it_is_said(adaptation, batches, scheme):
    a = adaptation(learning_rate=1e3)
    w0 = weights_of(a.learning)
    assert all(same(w0, found) for found in weights_for_each_batch(scheme, a, batches))
    assert a.accepted == {0: False, 1: False, 2: False}


def test_steps_taken_back_do_not_push_the_next_batch(adaptation, batches):
    a = adaptation()
    broken = PhasePair(torch.full_like(batches[0].phases, float("nan")), STRIDES)
    after = weights_for_each_batch("mini-batch", a, [broken, batches[1]])[1]
    alone = adaptation()
    alone.generator = torch.Generator().manual_seed(7)
    for _ in range(ITERATIONS):  # the draws the broken batch took
        alone.task.loss(alone.network, batches[0], alone.generator)
    alone.learn([(1, batches[1])])
    assert a.accepted == {0: False, 1: True} and same(after, weights_of(alone.learning))


def test_steps_that_help_are_kept(adaptation, batches):
    a = adaptation()
    before = a.held_out_loss([(0, batches[0])])
    a.learn([(0, batches[0])])
    assert a.accepted == {0: True} and a.held_out_loss([(0, batches[0])]) < before


def test_restarting_gives_w0_back_to_the_bit(adaptation, batches):
    a = adaptation()
    w0 = weights_of(a.learning)
    a.learn([(0, batches[0])])
    assert not same(w0, a.learning.state_dict())
    a.restart()
    assert same(w0, a.learning.state_dict())


def noting(met: list) -> type:
    """A reconstruction that notes the weights it meets before each step."""
    class Noting(Reconstruction):
        def loss(self, network, batch, generator):
            if not torch.is_grad_enabled():  # the held_out_loss, not a step
                return super().loss(network, batch, generator)
            met.append({**{f"f.{k}": v.clone() for k, v in network.features.state_dict().items()},
                        **{f"g.{k}": v.clone() for k, v in self.state_dict().items()}})
            return super().loss(network, batch, generator)
    return Noting


def test_online_starts_every_batch_from_the_same_w0(adaptation, batches):
    met = []
    weights_for_each_batch("online", adaptation(noting(met)), batches)
    starts = met[::ITERATIONS]
    assert len(starts) == 3 and same(starts[0], starts[1]) and same(starts[0], starts[2])
    assert not same(met[0], met[1])


def test_online_batches_do_not_influence_each_other(adaptation, batches):
    together = weights_for_each_batch("online", adaptation(), batches)
    for n, batch in enumerate(batches):
        alone, = weights_for_each_batch("online", adaptation(), [batch])
        assert same(together[n], alone)


def test_mini_batch_carries_the_weights_on(adaptation, batches):
    met = []
    found = weights_for_each_batch("mini-batch", adaptation(noting(met)), batches)
    for n in (1, 2):
        start = met[n * ITERATIONS]
        assert same({k: v for k, v in start.items() if k[0] == "f"},
                    {f"f.{k[2:]}": v for k, v in found[n - 1].items() if k.startswith("0.")})
    online = weights_for_each_batch("online", adaptation(), batches)
    assert same(found[0], online[0]) and not same(found[1], online[1])


def test_mini_batch_sees_each_batch_once_in_turn(adaptation, batches):
    seen = []
    a = adaptation(on_step=lambda batch, iteration, loss: seen.append((batch, iteration)))
    loop = LOOPS["mini-batch"](a, batches)
    next(loop)
    assert seen == [(0, 1), (0, 2), (0, 3)]  # a stream: the second batch is not needed before the first is done
    list(loop)
    assert seen == [(batch, iteration) for batch in range(3) for iteration in (1, 2, 3)]


def test_naive_ends_with_one_set_of_weights_after_several_passes_over_all_batches(adaptation, batches):
    seen = []
    a = adaptation(on_step=lambda batch, iteration, loss: seen.append((iteration, batch)))
    found = weights_for_each_batch("naive", a, batches)
    assert same(found[0], found[1]) and same(found[0], found[2])
    assert seen == [(iteration, batch) for iteration in (1, 2, 3) for batch in range(3)]


def test_naive_weights_depend_on_every_batch(adaptation, batches):
    found = weights_for_each_batch("naive", adaptation(), batches)[0]
    for n in range(3):
        other = [b if m != n else PhasePair(b.phases.flip(-1), b.strides) for m, b in enumerate(batches)]
        assert not same(found, weights_for_each_batch("naive", adaptation(), other)[0])


def test_the_schemes_agree_where_there_is_one_batch(adaptation, batches):
    found = [weights_for_each_batch(scheme, adaptation(), batches[:1])[0] for scheme in LOOPS]
    assert same(found[0], found[1]) and same(found[0], found[2])


def test_the_seed_decides_the_weights_to_the_bit(adaptation, batches):
    one, again, other = (weights_for_each_batch("online", adaptation(seed=seed), batches[:1])[0] for seed in (7, 7, 8))
    assert same(one, again) and not same(one, other)


def test_every_loss_is_kept_by_its_batch(adaptation, batches):
    a = adaptation()
    list(LOOPS["online"](a, batches))
    assert sorted(a.losses) == [0, 1, 2] and all(len(losses) == ITERATIONS for losses in a.losses.values())
    assert len({losses[0] for losses in a.losses.values()}) == 3
