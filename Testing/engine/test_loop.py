"""Steps learn, and a run goes on from its checkpoint as if it had never stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ttt4d.errors import InputError, SettingsError
from ttt4d.temporal import models
from ttt4d.training.cine import CineSampler
from ttt4d.training.loop import Trainer, TrainingSettings
from ttt4d.training.objectives import OBJECTIVES
from ttt4d.weights.files import save


@pytest.fixture
def trainer(small, sequences, tmp_path):
    """trainer(checkpoint's name, steps, objective): always of the same fresh weights."""
    def make(name="run.pt", steps=2, objective="supervised", seed=0, inputs=None) -> Trainer:
        torch.manual_seed(0)
        sampler = CineSampler(sequences, crop=17, batch=2)
        return Trainer(sampler.draw, OBJECTIVES[objective],
                       TrainingSettings(steps=steps, seed=seed), torch.device("cpu"), tmp_path / name,
                       models.new_model(small), inputs or {})
    return make


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_steps_change_the_network_and_end_in_finite_weights(trainer, objective):
    t, told = trainer(objective=objective), []
    before = {key: value.clone() for key, value in t.model.network.state_dict().items()}
    model = t.run(lambda step, metrics: told.append((step, metrics)))
    assert [step for step, _ in told] == [1, 2]
    assert all(np.isfinite(value) for _, metrics in told for value in metrics.values())
    after = model.network.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(key.startswith("features") and not torch.equal(before[key], after[key]) for key in before)
    assert any(key.startswith("motion") and not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_stopped_and_resumed_ends_as_one_that_was_not(trainer, objective):
    whole = trainer("whole.pt", 4, objective).run()
    stopped = trainer("halves.pt", 4, objective)

    def stop(step, metrics):
        if step == 2:
            stopped.save()
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        stopped.run(stop)
    resumed = trainer("halves.pt", 4, objective)
    assert resumed.step == 2
    halves = resumed.run()
    assert same(whole.network.state_dict(), halves.network.state_dict())
    assert all(same(whole.tasks[name].state_dict(), halves.tasks[name].state_dict()) for name in whole.tasks)


def test_a_finished_run_is_not_trained_again(trainer):
    first, steps = trainer().run(), []
    again = trainer().run(lambda step, metrics: steps.append(step))
    assert not steps and same(first.network.state_dict(), again.network.state_dict())


def test_the_seed_decides_the_weights(trainer):
    one, again, other = (trainer(f"{n}.pt", 1, seed=seed).run() for n, seed in enumerate((0, 0, 1)))
    assert same(one.network.state_dict(), again.network.state_dict())
    assert not same(one.network.state_dict(), other.network.state_dict())


def test_trained_weights_interpolate(trainer, phases, tmp_path):
    from ttt4d.settings import InterpolationSettings
    from ttt4d.temporal.pipeline import Interpolator

    save(tmp_path / "trained.safetensors", trainer().run(), {"name": "trained"})
    run = Interpolator(str(tmp_path / "trained.safetensors"), "cpu").run(phases(), InterpolationSettings(frames=1))
    assert len(list(run.frames)) == 3


def test_a_checkpoint_of_another_run_is_refused(trainer):
    trainer(steps=1).run()
    with pytest.raises(SettingsError, match="is of another run"):
        trainer(steps=2)


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"Dear colleague"),
    lambda path: path.write_bytes(path.read_bytes()[:20000]),
    lambda path: torch.save({"of another program": 1}, path),
])
def test_a_damaged_checkpoint_is_refused(trainer, damage):
    run = trainer(steps=1)
    run.run()
    damage(run.checkpoint)
    with pytest.raises(InputError, match="is damaged: remove it"):
        trainer(steps=1)


def test_a_checkpoint_of_other_data_is_refused(trainer):
    trainer(steps=1, inputs={"crop": 65}).run()
    assert trainer(steps=1, inputs={"crop": 65}).step == 1
    with pytest.raises(SettingsError, match="is of another run"):
        trainer(steps=1, inputs={"crop": 97})
