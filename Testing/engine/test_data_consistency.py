"""Data consistency of thick slices: the result, seen through the slice profile, is what was acquired."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from ttt4d.through_plane import classical
from ttt4d.through_plane.data_consistency import made_consistent, noise_deviation
from ttt4d.through_plane.profile import projection_matrix
from ttt4d.through_plane.stack import SliceStack

FACTOR = 4


def smooth(slices, seed, edge=24):
    """Thin slices (n, edge, edge) of a smooth body."""
    coarse = torch.rand(1, 1, max(2, slices // 5), 6, 6, generator=Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (slices, edge, edge), mode="trilinear", align_corners=True)[0, 0]


def thick(truth, noise=0.0, seed=0):
    """The stack that thick slices of the truth are, the positions of the thin ones, and the slice profile."""
    count = (len(truth) - 1) // FACTOR + 1
    positions = torch.arange(len(truth)) / FACTOR
    profile = projection_matrix(positions, torch.arange(float(count)), 1.0)
    slices = classical.apply(profile, truth)
    slices = slices + noise * torch.randn(slices.shape, generator=Generator().manual_seed(seed))
    return SliceStack(slices, torch.full((count - 1,), 4.0), (1.0, 1.0), 4.0, 1.0), positions, profile


@given(count=st.integers(3, 9), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_without_noise_the_result_projects_to_the_acquired_slices_and_comes_nearer_to_the_truth(count, seed):
    truth = smooth((count - 1) * FACTOR + 1, seed)
    stack, positions, profile = thick(truth)
    result = classical.linear(stack.slices, positions)
    before = (result - truth).square().mean()
    missed = (classical.apply(profile, result) - stack.slices).square().mean()
    mended = made_consistent(result, stack, positions)
    assert (classical.apply(profile, mended) - stack.slices).square().mean() < 0.05 * missed + 1e-10
    assert (mended - truth).square().mean() <= before


def test_noise_is_not_put_into_a_clean_result():
    truth = smooth(33, 0, edge=64)
    stack, positions, _ = thick(truth, noise=0.05)
    mended = made_consistent(truth.clone(), stack, positions)
    assert (mended - truth).square().mean() < 0.02 * 0.05**2


@pytest.mark.parametrize("deviation", [0.01, 0.1])
def test_the_noise_is_found(deviation):
    slices = smooth(8, 1, edge=96) + deviation * torch.randn(8, 96, 96, generator=Generator().manual_seed(1))
    assert noise_deviation(slices) == pytest.approx(deviation, rel=0.1)


def test_a_constant_background_is_no_proof_of_little_noise():
    slices = torch.zeros(4, 96, 96)
    slices[:, :30] = 0.1 * torch.randn(4, 30, 96, generator=Generator().manual_seed(2))
    assert noise_deviation(slices) == pytest.approx(0.1, rel=0.15)
