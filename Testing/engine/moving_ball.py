"""A small case with a known motion, for tests of the evaluation: a bright ball on a textured ground."""

from __future__ import annotations

import numpy as np

from ttt4d.evaluation.protocol import PROTOCOLS, Pair, pair_of
from ttt4d.images.datasets import Case


def moving_ball(frames=5, size=(6, 28, 30), travel=5.0, seed=0):
    """A bright ball on a textured ground that moves along j: (T, k, j, i), intensities far from [0, 1]."""
    k, j, i = np.indices(size)
    ground = np.random.default_rng(seed).random(size) * 20
    place = 10 + travel * np.linspace(0, 1, frames)
    return np.stack([100 + ground + 500 / (1 + np.exp(np.hypot(j - y, i - 15) - 6)) for y in place])


def case_of(frames, name="001", first=0, last=None, spacing=(10.0, 1.5, 1.5), group="") -> Case:
    return Case(name, first, len(frames) - 1 if last is None else last, spacing, lambda: frames, group)


def pair(frames, name="001", **options) -> Pair:
    return pair_of(case_of(frames, name), PROTOCOLS["crop"], **options)
