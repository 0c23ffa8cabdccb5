"""What methods are given, what is counted, and how figures are averaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from moving_ball import moving_ball, pair
from ttt4d.evaluation import metrics
from ttt4d.evaluation.baselines import Blend
from ttt4d.evaluation.protocol import PROTOCOLS, Method, evaluate, pair_of
from ttt4d.images.datasets import open_data

DATA = Path(os.environ.get("TTT4D_DATA", Path(__file__).parents[3] / "shared" / "data"))


class Oracle(Method):
    """Gives the true frames of a cohort, above 1 where they are 1."""

    def cohort(self, pairs):
        for each in pairs:
            yield [frame + 0.1 * (frame == 1) for frame in each.truth]


def test_each_frame_is_scaled_by_itself_and_only_those_between_are_the_truth():
    frames = moving_ball() * np.array([1, 2, 3, 4, 5]).reshape(-1, 1, 1, 1)
    made = pair(frames)
    assert made.truth.shape[0] == len(made.times) == 3
    assert made.times == pytest.approx((0.25, 0.5, 0.75))
    for frame in (made.phase0, made.phase1, *made.truth):
        assert (frame.min(), frame.max()) == (0, 1) and frame.dtype == np.float32


def test_the_papers_cardiac_grid_is_cut_and_padded_about_the_centre_before_scaling():
    frames = np.full((2, 10, 150, 100), 300.0)
    frames[:, :, 11:139] = 500
    fitted = PROTOCOLS["acdc-paper"].fit(frames)
    assert fitted.shape == (2, 32, 128, 128)
    assert (fitted[:, 11:21, :, 14:114] == 500).all(), "the middle is not in the middle"
    assert fitted.sum() == 2 * 10 * 128 * 100 * 500, "what was added is not zero"


def test_means_are_over_frames_and_not_over_cases():
    pairs = [pair(moving_ball(frames=4), "001"), pair(moving_ball(frames=9, travel=9), "002")]
    report = evaluate(pairs, {"blend": Blend()})
    figures = [db for case in report["cases"] for _, db in case["methods"]["blend"]["curve"]]
    assert report["frames"] == len(figures) == 9
    row = report["methods"]["blend"]
    assert row["psnr"] == pytest.approx(np.mean(figures))
    assert row["psnr_se"] == pytest.approx(np.std(figures, ddof=1) / 3)
    assert row["psnr"] != pytest.approx(np.mean([c["methods"]["blend"]["psnr"] for c in report["cases"]]), abs=1e-3)


def test_the_figures_of_a_case_are_those_of_its_frames():
    made = pair(moving_ball())
    report = evaluate([made], {"blend": Blend()})
    middle = 0.5 * (made.phase0 + made.phase1)
    (t, db) = report["cases"][0]["methods"]["blend"]["curve"][1]
    assert t == 0.5 and db == pytest.approx(metrics.psnr(made.truth[1], middle), abs=1e-4)
    assert report["cases"][0]["methods"]["blend"]["ncc"] == report["methods"]["blend"]["ncc"]


def test_what_lies_outside_zero_and_one_is_cut_off_for_every_method():
    report = evaluate([pair(moving_ball())], {"truth": Oracle()})
    assert report["methods"]["truth"]["psnr"] == metrics.HIGHEST_PSNR


def test_methods_see_the_cohort_before_the_first_case():
    pairs = [pair(moving_ball(), "001"), pair(moving_ball(seed=1), "002")]
    report = evaluate(pairs, {"truth": Oracle()})
    assert [c["methods"]["truth"]["nmse"] for c in report["cases"]] == [0, 0]


def test_a_method_that_gives_too_few_frames_is_an_error():
    class Short(Method):
        def __call__(self, phase0, phase1, times, spacing):
            return [phase0]

    with pytest.raises(ValueError, match="1 frames for 3 times"):
        evaluate([pair(moving_ball())], {"short": Short()})


def test_the_curve_gathers_psnr_by_tenths_of_the_way():
    report = evaluate([pair(moving_ball(frames=5))], {"blend": Blend()})
    assert [t for t, _ in report["methods"]["blend"]["curve"]] == pytest.approx([0.25, 0.55, 0.75])


@pytest.mark.skipif(not (DATA / "acdc").is_dir(), reason="real data are absent: set TTT4D_DATA to their folder")
def test_plain_blending_of_a_real_heart_has_the_known_figures():
    (case,) = open_data(DATA).cases(["017"])
    row = evaluate([pair_of(case, PROTOCOLS["crop"])], {"blend": Blend()})["methods"]["blend"]
    assert row["psnr"] == pytest.approx(29.34, abs=0.01)
