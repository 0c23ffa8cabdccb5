"""Training: samples are what they say, steps learn, and a run goes on from its checkpoint as if never stopped."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from test_datasets import write_patient
from ttt4d.commands.cli import run
from ttt4d.commands.train import STAGES
from ttt4d.errors import InputError, SettingsError
from ttt4d.images.volume import Geometry
from ttt4d.temporal import models
from ttt4d.temporal.canvas import Canvas
from ttt4d.training import cache
from ttt4d.training.augmentation import augment_appearance
from ttt4d.training.batches import SLICES, TrainingBatch
from ttt4d.training.cine import CineSampler, draw_phases, scaled_frames
from ttt4d.training.full_images import FullImageSampler
from ttt4d.training.loop import Trainer, TrainingSettings
from ttt4d.training.objectives import OBJECTIVES
from ttt4d.training.synthetic import SyntheticAnatomySampler
from ttt4d.weights.files import save


@pytest.fixture(scope="module")
def beats():
    """Two patients of eight frames whose brightness tells the frame's number."""
    generator = torch.Generator().manual_seed(0)
    return [cache.CineSequence((torch.rand(1, 7, 30, 28, generator=generator) * 20
                        + 25.0 * torch.arange(8).view(8, 1, 1, 1)).to(torch.uint8), ed, es,
                       torch.tensor([[0.0, 1.0]] * 8))
            for ed, es in ((0, 3), (1, 5))]


@pytest.fixture
def trainer(small, beats, tmp_path):
    """trainer(checkpoint's name, steps, objective): always of the same fresh weights."""
    def make(name="run.pt", steps=2, objective="supervised", seed=0, inputs=None) -> Trainer:
        torch.manual_seed(0)
        sampler = CineSampler(beats, crop=17, batch=2)
        return Trainer(sampler.draw, OBJECTIVES[objective],
                       TrainingSettings(steps=steps, seed=seed), torch.device("cpu"), tmp_path / name,
                       models.new_model(small), inputs or {})
    return make


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# -- samples -----------------------------------------------------------------------------------------------------------


@given(st.integers(3, 30), st.integers(0, 29), st.integers(0, 29), st.integers(0, 999))
def test_there_is_a_frame_between_the_phases(count, ed, es, seed):
    beat = cache.CineSequence(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), ed % count, es % count,
                      torch.tensor([[0.0, 1.0]] * count))
    start, length = draw_phases(beat, 0.55, torch.Generator().manual_seed(seed))
    assert 0 <= start < count and 2 <= length <= count


@settings(max_examples=15)
@given(st.integers(0, 999))
def test_a_sample_s_frames_are_of_one_beat_in_order_of_time(beats, seed):
    sample = CineSampler(beats, crop=17, batch=3).draw(torch.Generator().manual_seed(seed))
    assert sample.phase0.shape == sample.phase1.shape == sample.truth.shape
    assert sample.phase0.shape[:2] == (3, 1) and sample.phase0.shape[3:] == (17, 17)
    assert 0 <= sample.phase0.min() and sample.phase0.max() <= 1
    assert torch.all((0 < sample.time) & (sample.time < 1))
    assert sample.upright.shape[:2] == (2, 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999))
def test_whole_images_come_on_the_grid_of_deployment(beats, seed):
    sample = FullImageSampler(beats, crop=17, batch=3).draw(torch.Generator().manual_seed(seed))
    size = (sample.phase0.shape[2], *beats[0].frames.shape[2:])
    assert tuple(sample.phase0.shape[2:]) == Canvas.fit(Geometry(size, SLICES), 4, 10**6).padded
    assert sample.phase0.shape == sample.truth.shape and torch.all((0 < sample.time) & (sample.time < 1))


def test_images_of_several_sizes_are_never_in_one_batch(beats):
    sampler = FullImageSampler([*beats, dataclasses.replace(beats[0], frames=beats[0].frames[..., :20])], 17, 4)
    generator = torch.Generator().manual_seed(0)
    assert {sampler.draw(generator).phase0.shape[-1] for _ in range(20)} == {21, 29}


def test_the_same_draws_give_the_same_sample(beats):
    one, again = (CineSampler(beats, 17, 2).draw(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.phase0, again.phase0) and torch.equal(one.time, again.time)


def test_packed_beats_come_back_scaled_frame_by_frame_within_the_rounding(tmp_path):
    generator = np.random.default_rng(0)
    frames = (generator.normal(size=(4, 3, 6, 5)) * 100 + 1000).astype(np.float32)
    cache.pack(tmp_path / "c.safetensors", [("b", frames, 0, 2), ("a", 2 * frames, 1, 3)])
    both = cache.load(tmp_path / "c.safetensors")
    assert [(beat.ed, beat.es) for beat in both] == [(1, 3), (0, 2)]
    low, high = (f(frames, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    assert np.abs(both[1].frames.numpy() / 255 - (frames - low) / (high - low)).max() < 0.51 / 255
    assert cache.names(tmp_path / "c.safetensors") == ["a", "b"]


@pytest.mark.parametrize("metadata", [None, {"index": '{"a": [0, 1]}'}])
def test_a_file_that_is_no_cache_is_refused_in_a_sentence(tmp_path, metadata):
    save_file({"a": torch.zeros(2, 1, 4, 4)}, str(tmp_path / "c.safetensors"), metadata=metadata)
    with pytest.raises(InputError, match="no training cache of this version: give another --cache"):
        cache.load(tmp_path / "c.safetensors")


@settings(max_examples=20)
@given(st.integers(0, 999), st.floats(0.2, 5.0))
def test_the_truth_keeps_the_brightness_of_its_tissue_whatever_its_own_brightest_voxel(tmp_path_factory, seed, glare):
    folder = tmp_path_factory.mktemp("glare")
    frames = np.random.default_rng(seed).uniform(100, 200, (1, 3, 6, 5)).repeat(3, axis=0).astype(np.float32)
    frames[1, 0, 0, 0] = 200 * (1 + glare)  # for one moment something shines: the tissue does not
    cache.pack(folder / "c.safetensors", [("a", frames, 0, 2)])
    phase0, phase1, truth, measured = scaled_frames(cache.load(folder / "c.safetensors")[0], 0, 2, 1)
    assert torch.equal(phase0, phase1)
    assert (truth - phase0).flatten()[1:].abs().max() < (3 + 2 * glare) / 255
    assert measured.max() == 1 and measured.mean() < truth.mean()


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_another_scanner_shows_the_same_moment(seed):
    """Where nothing moves, truth and phases stay alike (but for noise, which falls on the phases alone)."""
    generator = torch.Generator().manual_seed(seed)
    still = torch.rand((2, 1, 3, 9, 9), generator=generator)
    sample = TrainingBatch(still, still, still, still, torch.rand(2, generator=generator), still[:, 0:1])
    other = augment_appearance(sample, 1.0, generator)
    assert torch.equal(other.measured, other.truth)
    assert all(0 <= x.min() and x.max() <= 1 for x in (other.phase0, other.phase1))
    noisy = not torch.equal(other.phase0, other.phase1)
    assert torch.allclose(other.truth, still if noisy else other.phase0, atol=1e-5)


# -- steps -------------------------------------------------------------------------------------------------------------


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


def test_no_steps_write_the_mean_of_the_weights_to_start_from(small, tmp_path):
    starts = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        starts.append(str(tmp_path / f"{seed}.safetensors"))
        save(starts[-1], models.new_model(small), {"stages": [seed]})
    output = tmp_path / "mean.safetensors"
    assert run(["train", "--generated", "--start", *starts, "--steps", "0", "-o", str(output), "--device", "cpu"]) == 0
    one, other, mean = (models.load(path).network.state_dict() for path in (*starts, str(output)))
    assert all(torch.allclose(mean[key], (one[key] + other[key]) / 2) for key in mean)


def test_a_cache_of_other_cases_is_not_taken_for_these(tmp_path):
    for number in range(1, 21):
        write_patient(tmp_path / ("one" if number <= 10 else "other"), f"{number:03d}", size=(5, 24, 26))
    (tmp_path / "one").rename(tmp_path / "data")
    words = ["train", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "made.safetensors"), "--steps", "1",
             "--batch", "2", "--crop", "17", "--device", "cpu"]
    assert run(words) == 0
    (tmp_path / "data").rename(tmp_path / "one")
    (tmp_path / "other").rename(tmp_path / "data")
    assert run(words) == 2


@pytest.mark.parametrize("crop, words", [(64, "does not fit the network's pyramid"), (33, "smallest image")])
def test_a_crop_that_cannot_be_is_refused_in_a_sentence(tmp_path, crop, words, capsys):
    for number in range(1, 11):
        write_patient(tmp_path / "data", f"{number:03d}", size=(5, 24, 26))
    assert run(["train", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "made.safetensors"), "--steps", "1",
                "--crop", str(crop), "--device", "cpu"]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "made.safetensors").exists()


def test_a_place_that_takes_no_weights_is_refused_before_the_training(tmp_path, capsys):
    (tmp_path / "made.safetensors").mkdir()
    words = ["train", "--generated", "--steps", "1", "--batch", "2", "--crop", "17", "--device", "cpu", "-o"]
    for name, told in (("made.safetensors", "is a folder"), ("no/made.safetensors", "does not exist"), ("made", "end")):
        assert run([*words, str(tmp_path / name)]) == 2
        assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["made.safetensors"]


@pytest.mark.parametrize("name", ["made.safetensors", "made.part"])
def test_weights_that_cannot_be_written_after_all_are_no_bug(tmp_path, monkeypatch, capsys, name):
    """A folder in the way of the weights or of the checkpoint is as good as a full disk."""
    def blocked(self, generator):
        (tmp_path / name).mkdir()
        return draw(self, generator)

    draw = SyntheticAnatomySampler.draw
    monkeypatch.setattr(SyntheticAnatomySampler, "draw", blocked)
    assert run(["train", "--generated", "--steps", "1", "--batch", "2", "--crop", "17", "--device", "cpu", "-o",
                str(tmp_path / "made.safetensors")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("source", [[], ["--whole"], ["--generated"]])
def test_one_command_goes_from_data_to_a_weights_file_that_loads(tmp_path, source, stage):
    """The data in the ACDC layout, or none at all."""
    for number in range(1, 11):
        write_patient(tmp_path / "data", f"{number:03d}", size=(5, 24, 26))
    output = tmp_path / "made.safetensors"
    status = run(["train", "--data", str(tmp_path / "data"), *source, "-o", str(output), "--name", "made",
                   "--stage", stage, "--steps", "1", "--batch", "2", "--crop", "17", "--device", "cpu"])
    assert status == 0
    card = models.load(str(output)).card
    assert card["name"] == "made" and card["stages"][0]["steps"] == 1
    assert card["stages"][0]["data"] == ("generated" if "--generated" in source else "acquired")
