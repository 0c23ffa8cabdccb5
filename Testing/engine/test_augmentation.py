"""Augmentation changes the appearance, and leaves the moment."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.training.augmentation import augment_appearance
from ttt4d.training.batches import TrainingBatch


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_another_scanner_shows_the_same_moment(seed):
    """Where nothing moves, truth and phases stay alike (but for noise, which falls on the phases alone)."""
    generator = torch.Generator().manual_seed(seed)
    still = torch.rand((2, 1, 3, 9, 9), generator=generator)
    sample = TrainingBatch(still, still, still, still, torch.rand(2, generator=generator), still[:, 0:1])
    other = augment_appearance(sample, 1.0, generator)
    assert torch.equal(other.unit_truth, other.truth)
    assert all(0 <= x.min() and x.max() <= 1 for x in (other.phase0, other.phase1))
    noisy = not torch.equal(other.phase0, other.phase1)
    assert torch.allclose(other.truth, still if noisy else other.phase0, atol=1e-5)
