"""The imitated scanners: repeatable, the same for phases and truth, but for noise."""

from __future__ import annotations

import numpy as np
import pytest

from moving_ball import case_of, moving_ball, pair
from ttt4d.evaluation.protocol import PROTOCOLS, pair_of
from ttt4d.evaluation.shifts import SHIFTS


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_is_repeatable_and_changes_what_is_shown(name):
    frames = moving_ball()
    once, again = (pair(frames, shift=SHIFTS[name], shift_name=name) for _ in range(2))
    assert np.array_equal(once.phase0, again.phase0) and np.array_equal(once.truth, again.truth)
    plain = pair(frames)
    assert once.phase0.shape != plain.phase0.shape or np.abs(once.phase0 - plain.phase0).mean() > 0.005
    assert once.phase0.min() == 0 and once.phase0.max() == 1


@pytest.mark.parametrize("name", ["bias-field", "noise"])
def test_each_case_has_its_own_random_shift(name):
    frames = moving_ball()
    one, other = (pair(frames, case, shift=SHIFTS[name], shift_name=name) for case in ("001", "002"))
    assert np.abs(one.phase0 - other.phase0).mean() > 0.005


def test_noise_is_drawn_for_each_frame_and_the_truth_stays_clean():
    still = np.stack([moving_ball(frames=2)[0]] * 4)
    noisy = pair(still, shift=SHIFTS["noise"], shift_name="noise")
    assert not np.array_equal(noisy.phase0, noisy.phase1)
    assert np.array_equal(noisy.truth, pair(still).truth)


@pytest.mark.parametrize("name", sorted(set(SHIFTS) - {"noise"}))
def test_phases_and_truth_go_through_the_same_scanner(name):
    still = np.stack([moving_ball(frames=2)[0]] * 4)
    shown = pair(still, shift=SHIFTS[name], shift_name=name)
    assert np.array_equal(shown.phase0, shown.truth[0]) and np.array_equal(shown.phase1, shown.truth[1])


def test_thick_slices_are_means_of_two_and_their_spacing_is_known():
    frames = moving_ball(size=(7, 28, 30))
    shown = pair(frames, shift=SHIFTS["thick-slices"], shift_name="thick-slices")
    assert shown.phase0.shape == (3, 28, 30) and shown.spacing == (20.0, 1.5, 1.5)
    unknown = pair_of(case_of(frames, spacing=None), PROTOCOLS["crop"], SHIFTS["thick-slices"], "thick-slices")
    assert unknown.spacing is None
