"""The network of the axis between slices, and its way over a whole stack."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.through_plane import classical, inference
from ttt4d.through_plane.network.through_plane import NetworkSettings, Sampling, ThroughPlaneNetwork
from ttt4d.through_plane.network.views import CUTS, VIEWS, from_images, to_images
from ttt4d.through_plane.stack import SliceStack

SMALL = NetworkSettings(channels=4, blocks=2, hidden=4)


@pytest.fixture(scope="module")
def network():
    """A network that is not trained, but whose residuals are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ThroughPlaneNetwork(SMALL).eval().requires_grad_(False)
        for decoder in network.decoders.values():
            torch.nn.init.normal_(decoder.residual.weight)
    return network


def volume(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def sampling(ratio=4.0, thickness=0.0, batch=1):
    return Sampling(torch.full((batch, 2), ratio), torch.full((batch,), thickness))


def stack(*shape, thickness=0.0):
    return SliceStack(volume(*shape), torch.full((shape[0] - 1,), 4.0), (1.0, 1.0), thickness, 1.0)


@pytest.mark.parametrize("view", VIEWS)
def test_images_of_a_view_lead_back_to_the_volume(view):
    features = volume(2, 3, 4, 5, 6)
    assert torch.equal(from_images(to_images(features, view), view, 2), features)


@given(shape=st.tuples(st.integers(2, 6), st.integers(1, 12), st.integers(1, 12)), factor=st.floats(1.05, 9),
       ratio=st.floats(0.5, 20), thickness=st.floats(0, 2),
       views=st.sampled_from([VIEWS, CUTS, *((v,) for v in VIEWS)]))
@settings(max_examples=40, deadline=None)
def test_slices_of_any_size_factor_and_thickness_are_finite(network, shape, factor, ratio, thickness, views):
    positions = torch.arange(int((shape[0] - 1) * factor) + 1) / factor
    estimate = network(volume(1, *shape), positions, sampling(ratio, thickness), views)
    assert estimate.fused.shape == (1, len(positions), *shape[1:])
    assert torch.isfinite(estimate.fused).all() and len(estimate.views) == len(views)


def test_a_fresh_network_is_the_classical_interpolation():
    fresh, slices, positions = ThroughPlaneNetwork(SMALL), volume(1, 5, 6, 7), torch.linspace(0, 4, 9)
    with torch.no_grad():
        assert torch.equal(fresh(slices, positions, sampling()).fused, classical.pchip(slices, positions))


def test_a_shift_of_all_intensities_shifts_the_result(network):
    slices, positions = volume(1, 5, 9, 9), torch.linspace(0, 4, 9)
    result = network(slices, positions, sampling()).fused
    assert torch.allclose(network(slices + 5, positions, sampling()).fused, result + 5, atol=1e-4)


@pytest.mark.parametrize("views", [VIEWS, CUTS])
def test_a_volume_in_a_batch_gets_what_it_gets_alone(views):
    torch.manual_seed(1)
    network = ThroughPlaneNetwork(SMALL).requires_grad_(False)
    for name, weights in network.named_parameters():
        if "scales" in name:  # they are all 1 at first, whatever they are told
            torch.nn.init.normal_(weights)
    for decoder in network.decoders.values():
        torch.nn.init.normal_(decoder.residual.weight)
    volumes, positions = volume(2, 4, 6, 5), torch.linspace(0, 3, 7)
    ratios, thickness = torch.tensor([[2.0, 3.0], [6.0, 4.0]]), torch.tensor([0.0, 1.5])
    together = network(volumes, positions, Sampling(ratios, thickness), views).fused
    for n in range(2):
        alone = network(volumes[n:n + 1], positions, Sampling(ratios[n:n + 1], thickness[n:n + 1]), views).fused
        torch.testing.assert_close(together[n:n + 1], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[0], network(volumes[:1], positions, Sampling(ratios[1:], thickness[1:]),
                                                   views).fused[0], atol=1e-2), "the conditions matter"


def test_turning_rows_into_columns_turns_the_result(network):
    slices, positions = volume(1, 5, 8, 9), torch.linspace(0, 4, 9)
    turned = network(slices.transpose(2, 3), positions, sampling()).fused.transpose(2, 3)
    assert torch.allclose(turned, network(slices, positions, sampling()).fused, atol=1e-5)


def test_tiles_meet_without_a_seam(network, monkeypatch):
    whole = inference.interpolate(network, stack(5, 70, 90), torch.linspace(0, 4, 11), VIEWS)
    monkeypatch.setattr(inference, "TILE_VOXELS", 9000)
    monkeypatch.setattr(inference, "READ_VOXELS", {"cpu": 300})
    assert len(list(inference.tiles((5, 70, 90)))) > 1
    parts = inference.interpolate(network, stack(5, 70, 90), torch.linspace(0, 4, 11), VIEWS)
    assert torch.allclose(parts, whole, atol=1e-5)


@given(size=st.tuples(st.integers(2, 80), st.integers(1, 600), st.integers(1, 600)))
@settings(max_examples=60, deadline=None)
def test_tiles_cover_every_pixel_once_and_stay_small(size):
    seen = torch.zeros(size[1:], dtype=torch.int)
    for inner in inference.tiles(size):
        seen[inner] += 1
        outer, within = inference.with_halo(inner, size[1:], inference.HALO["axial"])
        tile = [s.stop - s.start for s in outer]
        assert seen[inner].shape == torch.empty(tile)[within].shape
        assert size[0] * tile[0] * tile[1] <= 2 * inference.TILE_VOXELS
    assert (seen == 1).all()


def test_no_position_gives_no_slice(network):
    assert inference.interpolate(network, stack(4, 30, 20), torch.empty(0)).shape == (0, 30, 20)


def test_progress_rises_to_the_end(network):
    fractions = []
    inference.interpolate(network, stack(4, 30, 30), torch.linspace(0, 3, 7), on_tile=fractions.append)
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
