"""The registrations that the engine is measured beside."""

from __future__ import annotations

import numpy as np
import pytest

from moving_ball import moving_ball, pair
from ttt4d.evaluation.baselines import Blend, Demons, Elastix, Greedy, SyN
from ttt4d.evaluation.protocol import evaluate


# SyN without the smoothing of its whole field, which small hearts want and which holds this large motion back.
@pytest.mark.parametrize("peer,needs", [
    (Demons(), "SimpleITK"), (Elastix(iterations=30), "itk"), (SyN(total=0.0), "ants"), (Greedy(), "picsl_greedy")])
def test_a_registration_peer_follows_a_motion_that_blending_cannot(peer, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    report = evaluate([pair(moving_ball(frames=3))], {"blend": Blend(), "peer": peer})
    gain = report["methods"]["peer"]["psnr"] - report["methods"]["blend"]["psnr"]
    assert gain > 1, f"it gains {gain:.2f} dB"


@pytest.mark.parametrize("peer,needs", [(Elastix(iterations=5), "itk"), (SyN(), "ants"), (Greedy(), "picsl_greedy")])
def test_a_registration_peer_manages_two_slices(peer, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    report = evaluate([pair(moving_ball(frames=3, size=(2, 28, 30)))], {"peer": peer})
    assert np.isfinite(report["methods"]["peer"]["psnr"])
