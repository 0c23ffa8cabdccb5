"""Training of the axis between slices: what is drawn, and that it is learned from and resumed."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from ttt4d.through_plane import models
from ttt4d.through_plane.network.through_plane import NetworkSettings
from ttt4d.training import slice_anatomies, slice_sampler
from ttt4d.training.loop import Trainer, TrainingSettings
from ttt4d.training.slice_objective import SUBSETS, supervised_slices
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


def test_every_batch_is_whole_and_finite(sources):
    sampler, generator = SliceSampler(sources, batch=2, edge=16), Generator().manual_seed(0)
    thick = set()
    for _ in range(25):
        batch = sampler.draw(generator)
        items, slices = batch.slices.shape[:2]
        assert batch.truth.shape == (items, len(batch.positions), 16, 16)
        assert torch.isfinite(batch.slices).all() and torch.isfinite(batch.truth).all()
        assert (batch.positions >= 0).all() and (batch.positions < slices - 1).all()
        thick.add(bool(batch.sampling.thickness.max() > 0))
    assert thick == {False, True}


def test_in_a_gap_no_position_is_that_of_an_acquired_slice(sources):
    sampler, generator = SliceSampler(sources[:1], batch=1, edge=16), Generator().manual_seed(0)
    for _ in range(25):
        batch = sampler.draw(generator)
        if not batch.sampling.thickness.max():
            assert (batch.positions % 1 > 0).all()


def test_a_film_keeps_time_as_its_slice_axis(sources):
    for seed in range(5):
        volume, spacing = slice_sampler.turned(sources[1], Generator().manual_seed(seed))
        assert len(volume) == 21 and spacing == [1.0, 1.0, 1.0]


def test_the_chances_of_the_views_sum_to_one():
    assert sum(chance for _, chance in SUBSETS) == pytest.approx(1.0)


def trained(sources, path, steps):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.new_model(SMALL)
    sampler = SliceSampler(sources, batch=1, slices=5, edge=12)
    trainer = Trainer(sampler.draw, supervised_slices, TrainingSettings(steps=steps, decay=0.5), torch.device("cpu"),
                      path, model)
    return trainer


def test_training_changes_the_network_and_goes_on_from_its_checkpoint(sources, tmp_path):
    path = tmp_path / "slices.checkpoint"
    trainer = trained(sources, path, 4)
    before = trainer.model.network.decoders["cut"].out.weight.clone()
    after = trainer.run().network.decoders["cut"].out.weight
    assert not torch.equal(before, after)
    again = trained(sources, path, 4)
    assert again.step == 4 and torch.equal(again.run().network.decoders["cut"].out.weight, after)
