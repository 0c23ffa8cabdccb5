"""f, h and the whole: any size, strides that follow the slices, and f reaches both the motion and the refinement."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.temporal.network.features import FeatureExtractor, padded_size, pyramid_strides
from ttt4d.temporal.network.interpolator import Estimate, InterpolationNetwork, NetworkSettings

SIZES = st.tuples(*[st.integers(1, 30)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 12)] * 3)


@pytest.fixture(scope="module")
def network(small) -> InterpolationNetwork:
    torch.manual_seed(1)
    return InterpolationNetwork(small).requires_grad_(False)


def canvas(size, spacing=(8.0, 1.5, 1.5), levels=3):
    """Random phases on a canvas of at least `size`: phase0, phase1, strides."""
    strides = pyramid_strides(size, spacing, levels)
    phases = torch.rand(2, 1, 1, *padded_size(size, strides), generator=torch.Generator().manual_seed(0))
    return phases[0], phases[1], strides


def test_the_published_extractor_has_13556_parameters():
    assert sum(p.numel() for p in FeatureExtractor((4, 8, 16)).parameters()) == 13_556


@given(SIZES, SPACINGS, st.integers(1, 5))
def test_an_axis_is_halved_only_while_it_is_fine_and_long_enough(size, spacing, levels):
    strides = pyramid_strides(size, spacing, levels)
    assert len(strides) == levels and strides[0] == (1, 1, 1)
    now, length = list(spacing), list(size)
    for stride in strides[1:]:
        finest = min((s for s, n in zip(now, size) if n > 1), default=1.0)
        for axis, step in enumerate(stride):
            assert (step == 2) == (length[axis] >= 12 and now[axis] <= 2 * finest)
            now[axis] *= step
            length[axis] = -(-length[axis] // step)
    assert all(n >= min(6, m) for n, m in zip(length, size))


@given(SIZES, SPACINGS, st.integers(1, 5))
def test_every_level_keeps_the_corner_voxels_of_the_padded_grid(size, spacing, levels):
    strides = pyramid_strides(size, spacing, levels)
    padded = padded_size(size, strides)
    for axis in range(3):
        step = 1
        for stride in strides:
            step *= stride[axis]
        assert size[axis] <= padded[axis] < size[axis] + step
        assert step == 1 or (padded[axis] - 1) % step == 0


def test_the_extractor_returns_every_level_at_its_stride(small):
    phase0, _, strides = canvas((7, 30, 26))
    levels = FeatureExtractor(small.features)(phase0, strides)
    assert [tuple(x.shape[1:]) for x in levels] == [(4, 7, 33, 29), (6, 7, 17, 15), (8, 7, 9, 8)]


def test_the_extractor_sees_the_same_wherever_the_image_lies(small):
    """Away from the border, a shift by the coarsest stride shifts every level: no half-voxel between the levels."""
    strides = [(1, 1, 1), (1, 2, 2), (1, 2, 2)]
    image = torch.rand(1, 1, 5, 45, 45, generator=torch.Generator().manual_seed(0))
    f = FeatureExtractor(small.features)
    for level, step, a, b in zip(range(3), (4, 2, 1), f(image, strides), f(image.roll(4, dims=4), strides)):
        away = (..., slice(6, -6))
        assert torch.allclose(a.roll(step, dims=4)[away], b[away], atol=1e-5), level


@settings(max_examples=20)
@given(SIZES, st.sampled_from([(8.0, 1.5, 1.5), (1.0, 1.0, 1.0), (1.0, 3.0, 0.9)]))
def test_any_size_gives_an_estimate_on_its_own_grid(network, size, spacing):
    phase0, phase1, strides = canvas(size, spacing)
    estimate = network(phase0, phase1, torch.tensor([0.3]), strides)
    grid = phase0.shape[2:]
    assert estimate.to0.shape == estimate.to1.shape == (1, 3, *grid)
    assert estimate.weight.shape == estimate.residual.shape == (1, 1, *grid)
    assert all(torch.isfinite(x).all() for x in vars(estimate).values())
    assert 0 <= estimate.weight.min() and estimate.weight.max() <= 1


@pytest.mark.parametrize("time, own", [(0.0, "to0"), (1.0, "to1")])
def test_nothing_has_moved_from_a_phase_at_its_own_time(network, time, own):
    phase0, phase1, strides = canvas((4, 20, 20))
    estimate = network(phase0, phase1, torch.tensor([time]), strides)
    assert getattr(estimate, own).abs().max() == 0
    assert (estimate.weight - (1 - time)).abs().max() < 0.01


def test_a_batch_of_times_is_each_time_on_its_own(network):
    phase0, phase1, strides = canvas((4, 20, 24))
    both = [phase.expand(2, -1, -1, -1, -1) for phase in (phase0, phase1)]
    together = network(*both, torch.tensor([0.2, 0.7]), strides)
    for n, time in enumerate((0.2, 0.7)):
        alone = network(phase0, phase1, torch.tensor([time]), strides)
        for a, b in zip(vars(together).values(), vars(alone).values()):
            assert torch.allclose(a[n:n + 1], b, atol=1e-5)


def test_features_extracted_once_give_the_same_estimate(network):
    phase0, phase1, strides = canvas((4, 20, 24))
    time = torch.tensor([0.4])
    at_once = network(phase0, phase1, time, strides)
    later = network.estimate(phase0, phase1, network.features(phase0, strides), network.features(phase1, strides), time)
    for a, b in zip(vars(at_once).values(), vars(later).values()):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("part", ["to0", "to1", "weight", "residual"])
def test_f_reaches_the_motion_and_the_refinement(small, part):
    """What adaptation changes in f changes every part of the frame."""
    torch.manual_seed(1)
    network = InterpolationNetwork(small)
    phase0, phase1, strides = canvas((4, 20, 20))
    getattr(network(phase0, phase1, torch.tensor([0.5]), strides), part).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.features.parameters())


def test_an_estimate_of_no_motion_and_no_residual_is_the_blend():
    phase0, phase1 = torch.rand(2, 1, 1, 3, 5, 6)
    nothing = torch.zeros(1, 3, 3, 5, 6)
    estimate = Estimate(nothing, nothing, torch.full((1, 1, 3, 5, 6), 0.25), torch.zeros(1, 1, 3, 5, 6))
    assert torch.allclose(estimate.frame(phase0, phase1), 0.25 * phase0 + 0.75 * phase1, atol=1e-5)


def test_network_settings_come_back_from_their_json():
    settings = NetworkSettings((4, 8, 16), (8, 16), (8,))
    assert NetworkSettings.from_json(settings.to_json()) == settings
