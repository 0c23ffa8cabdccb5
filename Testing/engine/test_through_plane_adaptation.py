"""Adaptation on the axis between slices: the tasks, and the evidence that takes a harmful one back."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Generator

from ttt4d.adaptation.schemes import Adaptation
from ttt4d.through_plane import models
from ttt4d.through_plane.auxiliary import TASKS, cross_view, slice_task, task_class
from ttt4d.through_plane.network.through_plane import NetworkSettings, ThroughPlaneNetwork
from ttt4d.through_plane.stack import SliceStack

SMALL = NetworkSettings(channels=4, blocks=2, hidden=4)


def stack(slices=9, thickness=0.0, seed=0):
    coarse = torch.rand((1, 1, 5, 6, 6), generator=Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (slices, 40, 40), mode="trilinear", align_corners=True)[0, 0]
    return SliceStack(smooth, torch.full((slices - 1,), 4.0), (1.0, 1.0), thickness, 1.0)


def network(seed=0, residual=0.1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = ThroughPlaneNetwork(SMALL)
        for decoder in made.decoders.values():
            torch.nn.init.normal_(decoder.residual.weight, std=residual)
    return made


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize("thickness", [0.0, 4.0])
@pytest.mark.parametrize("slices", [5, 12])
def test_every_task_teaches_the_features(name, thickness, slices):
    adapted = network()
    loss = task_class(name)().loss(adapted, stack(slices, thickness), Generator().manual_seed(0))
    loss.backward()
    gradients = [p.grad for p in adapted.features.parameters() if p.grad is not None]
    assert math.isfinite(loss.item()) and any(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("name", list(TASKS))
def test_no_task_has_a_head_so_that_any_weights_serve(name):
    assert not task_class(name)().has_head


def test_the_held_out_slices_lie_where_they_were_acquired():
    uneven = SliceStack(torch.rand(7, 4, 4), torch.tensor([1.0, 3.0, 2.0, 2.0, 1.0, 1.0]), (1.0, 1.0), 0.0, 1.0)
    coarse, positions, truth = slice_task.held_out(uneven)
    assert coarse.steps.tolist() == [4.0, 4.0, 2.0]
    assert positions.tolist() == [0.25, 1.5, 2.5]
    assert torch.equal(truth, uneven.slices[1::2])


def test_thick_slices_are_held_out_as_thicker_ones():
    coarse, positions, truth = slice_task.held_out(stack(9, thickness=4.0))
    assert len(coarse.slices) == 5 and torch.equal(positions, torch.arange(9) / 2)
    assert 0.7 < coarse.thickness / coarse.spacing < 1.0
    assert torch.equal(truth, stack(9).slices)


def adapt(learning_rate, task="in-plane", seed=0, residual=0.1):
    adaptation = Adaptation(network(residual=residual), task_class(task)(), 3, learning_rate, seed)
    before = copy.deepcopy(adaptation.network.state_dict())
    adaptation.learn([(0, stack())])
    return adaptation, before


def test_a_harmful_adaptation_is_taken_back_bit_for_bit():
    # The start is as good as the classical interpolation: such a learning rate can only do harm.
    adaptation, before = adapt(learning_rate=1.0, residual=1e-4)
    assert adaptation.accepted == {0: False}
    assert all(torch.equal(value, before[name]) for name, value in adaptation.network.state_dict().items())


def test_an_adaptation_is_kept_where_held_out_slices_are_predicted_better():
    task = task_class("cross-view")()
    task.iterations = 30
    adaptation = Adaptation(network(), task, 30, 2e-3, 0)
    expected = adaptation.held_out_loss([(0, stack())])
    adaptation.learn([(0, stack())])
    assert adaptation.accepted == {0: True}
    assert adaptation.held_out_loss([(0, stack())]) < (1 - task.least_gain) * expected


def test_thick_slices_need_more_evidence_than_gaps():
    task = task_class("in-plane")()
    adaptation = Adaptation(network(), task, 1, 1e-3, 0)
    for thickness, kept in ((0.0, True), (4.0, False)):
        batches, before = [(0, stack(9, thickness))], copy.deepcopy(adaptation.learning.state_dict())
        reached = adaptation.held_out_loss(batches)
        adaptation.judge(batches, before, reached / 0.95)  # as if it had fallen by a twentieth
        assert adaptation.accepted == {0: kept}


def test_a_stack_too_short_for_evidence_is_never_adapted_to():
    adaptation = Adaptation(network(), task_class("in-plane")(), 1, 1e-4, 0)
    adaptation.learn([(0, stack(slices=4))])
    assert adaptation.accepted == {0: False}


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    once, again, other = (adapt(1e-4, "cross-view", seed)[0] for seed in (0, 0, 1))
    assert once.losses == again.losses != other.losses


def test_the_views_teach_each_other_only_from_the_second_round_on(monkeypatch):
    rounds = []
    monkeypatch.setattr(cross_view, "distillation", lambda *a: rounds.append(a[-1]) or torch.zeros(()))
    task = cross_view.CrossView()
    task.iterations = 6
    Adaptation(network(), task, 6, 1e-4, 0).learn([(0, stack())])
    assert rounds == [1, 1, 2, 2]


def test_a_model_holds_every_task():
    assert list(models.new_model(SMALL).tasks) == list(TASKS)
