"""Samples are what they say they are."""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.images.volume import Geometry
from ttt4d.motion import warping
from ttt4d.temporal.canvas import Canvas
from ttt4d.training.batches import SLICES
from ttt4d.training.cache import CineSequence
from ttt4d.training.cine import CineSampler, draw_phases
from ttt4d.training.full_images import FullImageSampler
from ttt4d.training.hearts import beat, draw_heart, paint
from ttt4d.training.loop import mixed
from ttt4d.training.synthetic import SyntheticAnatomySampler


@given(st.integers(3, 30), st.integers(0, 29), st.integers(0, 29), st.integers(0, 999))
def test_there_is_a_frame_between_the_phases(count, ed, es, seed):
    sequence = CineSequence(torch.zeros(count, 1, 2, 2, dtype=torch.uint8), ed % count, es % count,
                      torch.tensor([[0.0, 1.0]] * count))
    start, length = draw_phases(sequence, 0.55, torch.Generator().manual_seed(seed))
    assert 0 <= start < count and 2 <= length <= count


@settings(max_examples=15)
@given(st.integers(0, 999))
def test_a_sample_s_frames_are_of_one_beat_in_order_of_time(sequences, seed):
    sample = CineSampler(sequences, crop=17, batch=3).draw(torch.Generator().manual_seed(seed))
    assert sample.phase0.shape == sample.phase1.shape == sample.truth.shape
    assert sample.phase0.shape[:2] == (3, 1) and sample.phase0.shape[3:] == (17, 17)
    assert 0 <= sample.phase0.min() and sample.phase0.max() <= 1
    assert torch.all((0 < sample.time) & (sample.time < 1))
    assert sample.upright.shape[:2] == (2, 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999))
def test_whole_images_come_on_the_grid_of_deployment(sequences, seed):
    sample = FullImageSampler(sequences, crop=17, batch=3).draw(torch.Generator().manual_seed(seed))
    size = (sample.phase0.shape[2], *sequences[0].frames.shape[2:])
    assert tuple(sample.phase0.shape[2:]) == Canvas.fit(Geometry(size, SLICES), 4, 10**6).padded
    assert sample.phase0.shape == sample.truth.shape and torch.all((0 < sample.time) & (sample.time < 1))


def test_images_of_several_sizes_are_never_in_one_batch(sequences):
    narrow = dataclasses.replace(sequences[0], frames=sequences[0].frames[..., :20])
    sampler = FullImageSampler([*sequences, narrow], 17, 4)
    generator = torch.Generator().manual_seed(0)
    assert {sampler.draw(generator).phase0.shape[-1] for _ in range(20)} == {21, 29}


def test_the_same_draws_give_the_same_sample(sequences):
    one, again = (CineSampler(sequences, 17, 2).draw(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.phase0, again.phase0) and torch.equal(one.time, again.time)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999))
def test_a_generated_anatomy_is_the_same_for_the_same_seed_and_its_phases_are_scaled(seed):
    sampler = SyntheticAnatomySampler(crop=33, batch=2)
    one, same = (sampler.draw(torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(one.phase1, same.phase1) and torch.equal(one.truth, same.truth), "same seed, same draw"
    assert one.phase0.shape == one.truth.shape and torch.all((0 < one.time) & (one.time < 1))
    assert 0 <= one.phase0.min() and one.phase0.max() <= 1 and torch.isfinite(one.truth).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999))
def test_the_left_ventricle_of_a_generated_heart_empties(seed):
    generator = torch.Generator().manual_seed(seed)
    heart = draw_heart((6, 65, 65), generator)
    cavity = (heart.radius < heart.inner).float()
    motion = beat(heart, generator)
    image = paint(heart, torch.full_like(cavity, 0.5), generator)
    assert 0 <= image.min() and image.max() <= 1
    assert warping.warp(cavity, motion).sum() < cavity.sum()


@settings(max_examples=10)
@given(st.floats(0, 1), st.integers(0, 999))
def test_two_samplers_take_turns_by_their_parts(part, seed):
    """Of 300 batches, the part of the second sampler is met within five standard deviations of a fair draw."""
    generator = torch.Generator().manual_seed(seed)
    draw = mixed(lambda generator: "usual", lambda generator: "other", part)
    others = sum(draw(generator) == "other" for _ in range(300)) / 300
    assert abs(others - part) <= 5 * (part * (1 - part) / 300) ** 0.5 + 1e-9
