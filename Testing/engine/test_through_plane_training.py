"""Training of the axis between slices: what is drawn, and that it is learned from and resumed."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from shell import PATIENCE
from ttt4d.through_plane import classical, models
from ttt4d.through_plane.network.through_plane import Estimate, NetworkSettings
from ttt4d.training import slice_anatomies, slice_sampler, slice_sources
from ttt4d.training.loop import Trainer, TrainingSettings
from ttt4d.training.slice_objective import supervised_slices, surprise
from ttt4d.training.slice_sampler import SliceSampler
from ttt4d.training.slice_sources import Source

SMALL = NetworkSettings(channels=4, blocks=2, hidden=4)


@pytest.fixture(scope="module")
def sources():
    generator = Generator().manual_seed(0)
    still = slice_anatomies.anatomy(generator, edge=48)
    film = slice_anatomies.video(generator, edge=40, frames=21)
    return [Source("anatomy", still.half(), (1.0, 0.8, 0.8)), Source("film", film.half(), (1.0, 1.0, 1.0), False)]


def test_generated_anatomies_fill_the_range_and_differ(sources):
    one, other = (slice_anatomies.anatomy(Generator().manual_seed(n), edge=32) for n in (1, 2))
    assert one.shape == (32, 32, 32) and not torch.equal(one, other)
    assert one.min() == 0 and one.max() == 1 and one.std() > 0.05


def test_a_film_moves_slowly(sources):
    film = sources[1].volume.float()
    assert 0 < film.diff(dim=0).abs().mean() < 0.5 * (film[0] - film[-1]).abs().mean() + 0.05


def test_every_batch_is_whole_and_finite_and_of_every_kind(sources):
    sampler, generator = SliceSampler(sources, batch=2, width=16), Generator().manual_seed(0)
    kinds = set()
    for _ in range(60):
        batch = sampler.draw(generator)
        items, slices, rows, columns = batch.slices.shape
        assert (rows, columns) == ((3, 16) if batch.view == "coronal" else (8, 8))
        assert batch.truth.shape == (items, len(batch.positions), 1 if batch.view == "coronal" else 8, columns)
        assert torch.isfinite(batch.slices).all() and torch.isfinite(batch.truth).all()
        assert (batch.positions >= 0).all() and (batch.positions < slices - 1).all()
        kinds.add((batch.view, bool(batch.sampling.thickness.max() > 0)))
    assert kinds == {(view, thick) for view in ("coronal", "axial") for thick in (False, True)}


def test_in_a_gap_no_position_is_that_of_an_acquired_slice(sources):
    sampler, generator = SliceSampler(sources[:1], batch=1, width=16), Generator().manual_seed(0)
    for _ in range(25):
        batch = sampler.draw(generator)
        if not batch.sampling.thickness.max():
            assert (batch.positions % 1 > 0).all()


def test_the_truth_of_thin_slices_is_the_source_itself(monkeypatch):
    # A volume that rises linearly along one axis and is constant along the others: so is every slab of it.
    ramp = torch.arange(40.0).div(40).view(-1, 1, 1).expand(40, 40, 40).half()
    monkeypatch.setattr(slice_sampler, "contrasted", lambda block, generator: block)
    monkeypatch.setattr(slice_sampler, "noisy", lambda slices, generator: slices)
    sampler, generator = SliceSampler([Source("ramp", ramp, (1.0, 1.0, 1.0), False)], 2, width=16), Generator()
    generator.manual_seed(0)
    for _ in range(20):
        batch = sampler.draw(generator)
        rows = slice(1, 2) if batch.view == "coronal" else slice(None)
        linear = classical.linear(batch.slices[:, :, rows], batch.positions)
        inner = (batch.positions >= 1) & (batch.positions <= batch.slices.shape[1] - 2)
        assert torch.allclose(linear[:, inner], batch.truth[:, inner], atol=2e-3)


def test_a_film_keeps_time_as_its_slice_axis(sources):
    for seed in range(5):
        axes, mirrored = slice_sampler._turn(sources[1], Generator().manual_seed(seed))
        assert axes[0] == 0 and sorted(axes) == [0, 1, 2]


def test_confidence_learns_the_inverse_variance_of_the_error():
    error = 0.1 * torch.randn(1, 1, 1, 100, 100, generator=Generator().manual_seed(0))
    logits = torch.zeros(1, 1, 1, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        estimate = Estimate(torch.zeros_like(error)[0], torch.zeros_like(error), logits.expand_as(error))
        surprise(estimate, error).backward()
        optimizer.step()
    assert logits.exp().item() == pytest.approx(1 / 0.1**2, rel=0.05)


def test_generated_sources_are_kept_in_a_file_and_shares_sum(sources, tmp_path):
    path = tmp_path / "sources.cache"
    made = slice_sources.cached(path, lambda: sources)
    again = slice_sources.cached(path, lambda: pytest.fail("made twice"))
    assert [s.name for s in again] == [s.name for s in made]
    assert torch.equal(again[0].volume, sources[0].volume) and again[1].turnable is False
    assert sum(source.weight for source in slice_sources.shared(again, 0.25)) == pytest.approx(0.25)


def trained(sources, path, steps):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.new_model(SMALL)
    sampler = SliceSampler(sources, batch=1, slices=5, width=12)
    trainer = Trainer(sampler.draw, supervised_slices, TrainingSettings(steps=steps, decay=0.5), torch.device("cpu"),
                      path, model)
    return trainer


def test_training_changes_the_network_and_goes_on_from_its_checkpoint(sources, tmp_path):
    path = tmp_path / "slices.checkpoint"
    trainer = trained(sources, path, 4)
    before = trainer.model.network.decoders["cut"].residual.weight.clone()
    after = trainer.run().network.decoders["cut"].residual.weight
    assert not torch.equal(before, after)
    again = trained(sources, path, 4)
    assert again.step == 4 and torch.equal(again.run().network.decoders["cut"].residual.weight, after)


def test_the_training_command_writes_weights_that_say_what_they_learned_from(sources, tmp_path, start):
    cache, output = tmp_path / "g.cache", tmp_path / "mine.safetensors"
    slice_sources.cached(cache, lambda: sources)
    run = start("-m", "ttt4d", "train", "--axis", "slices", "--volumes", "--generated", "--cache", str(cache),
                "--steps", "2", "--batch", "1", "--device", "cpu", "-o", str(output))
    assert run.wait(PATIENCE) == 0
    model = models.load(str(output))
    assert model.card["name"] == "mine" and model.card["stages"][-1]["generated"] is True
    assert model.card["stages"][-1]["volumes"] == []


@pytest.mark.parametrize("arguments, words", [
    (["--axis", "slices", "--volumes"], "nothing to learn from"),
    (["--axis", "slices", "--data", "nowhere"], "index.csv"),
    (["--axis", "slices", "--volumes", "--films", "nowhere"], "index.csv"),
    (["--volumes", "one"], "--axis slices"),
    (["--axis", "slices", "--whole"], "--whole"),
    (["--decay", "0"], "learning rate falls")])
def test_a_training_run_that_makes_no_sense_is_refused_with_one_sentence(arguments, words, tmp_path, capsys):
    from ttt4d.commands.cli import run

    assert run(["train", *arguments, "-o", str(tmp_path / "x.safetensors")]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said and not list(tmp_path.iterdir())
