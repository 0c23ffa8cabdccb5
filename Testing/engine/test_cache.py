"""The packed cache gives back what was packed, and is refused when it is another file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ttt4d.errors import InputError
from ttt4d.training import cache
from ttt4d.training.cine import phases_and_truth


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
    phase0, phase1, truth, unit_truth = phases_and_truth(cache.load(folder / "c.safetensors")[0], 0, 2, 1)
    assert torch.equal(phase0, phase1)
    assert (truth - phase0).flatten()[1:].abs().max() < (3 + 2 * glare) / 255
    assert unit_truth.max() == 1 and unit_truth.mean() < truth.mean()
