"""The tables hold every figure, and say what compares with what."""

from __future__ import annotations

import re

import numpy as np
import pytest

from moving_ball import case_of, moving_ball, pair
from ttt4d.evaluation import metrics
from ttt4d.evaluation.baselines import Blend
from ttt4d.evaluation.protocol import PROTOCOLS, evaluate, pair_of
from ttt4d.evaluation.tables import PUBLISHED, markdown


class First(Blend):
    """The first phase at all times."""

    def __call__(self, phase0, phase1, times, spacing):
        return [phase0 for _ in times]


def test_published_rows_are_called_comparable_only_under_their_own_protocol():
    report = {**evaluate([pair(moving_ball())], {"blend": Blend()}), "protocol": "acdc-paper"}
    assert "same protocol" in markdown(report)
    assert "NOT comparable" in markdown({**report, "protocol": "crop"})
    assert {len(row) for rows in PUBLISHED.values() for row in rows.values()} == {len(metrics.METRICS)}


def test_a_new_metric_has_a_column_in_every_table_and_in_the_report(monkeypatch):
    """It may use the voxel spacing, and is told where that is unknown."""
    def blur_mm(truth, frame, spacing):
        return -1.0 if spacing is None else float(np.abs(truth - frame).mean()) * spacing[0]

    monkeypatch.setitem(metrics.METRICS, "blur",
                        metrics.Metric("blur", "Blur", "mm", 4, False, blur_mm, needs_spacing=True))
    made = pair(moving_ball())
    unknown = pair_of(case_of(moving_ball(), spacing=None), PROTOCOLS["crop"])
    report = {**evaluate([made], {"blend": Blend()}), "protocol": "acdc-paper"}
    middle = [(1 - t) * made.phase0 + t * made.phase1 for t in made.times]
    expected = np.mean([10.0 * np.abs(truth - frame).mean() for truth, frame in zip(made.truth, middle)])
    assert report["methods"]["blend"]["blur"] == pytest.approx(expected, rel=1e-4)
    assert evaluate([unknown], {"blend": Blend()})["cases"][0]["methods"]["blend"]["blur"] == -1
    measured, published = markdown(report).split("Published")
    assert "NMSE % " in measured and "| Blur mm " in measured and f"| {expected:.4f} +- 0.0" in measured
    assert "| Blur mm " in published and published.count(" - ") == len(PUBLISHED["cardiac"])
    assert all("blur" in found for found in (*report["cases"][0]["methods"].values(), report["groups"][""]["blend"]))


def test_published_figures_stand_under_their_own_heads():
    report = {**evaluate([pair(moving_ball())], {"blend": Blend()}), "protocol": "lung-paper"}
    lines = markdown(report).split("Published")[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["method", "PSNR dB", "NCC", "SSIM", "NMSE %"]
    assert rows[2:] == [[name, *(f"{value:.{2 if n == 0 else 3}f}" for n, value in enumerate(row))]
                        for name, row in PUBLISHED["lung"].items()]


def test_each_source_has_a_row_where_there_are_several():
    pairs = [pair_of(case_of(moving_ball(frames, seed=n), f"{n}", group=group), PROTOCOLS["crop"])
             for n, (frames, group) in enumerate([(4, "one"), (6, "other"), (5, "one")])]
    report = {**evaluate(pairs, {"blend": Blend()}), "protocol": "crop"}
    db = {group: np.mean([value for case in report["cases"] if case["group"] == group
                          for _, value in case["methods"]["blend"]["curve"]]) for group in ("one", "other")}
    for group, value in db.items():
        assert report["groups"][group]["blend"]["psnr"] == pytest.approx(value)
        assert re.search(rf"\| {group} +\| {value:.2f} \(\+0.00\)", markdown(report))
    alone = {**evaluate(pairs[:1], {"blend": Blend()}), "protocol": "crop"}
    assert "of each group" not in markdown(alone)


def test_each_case_has_a_row_so_that_one_that_loses_is_seen():
    pairs = [pair_of(case_of(moving_ball(5, seed=n), f"00{n}"), PROTOCOLS["crop"]) for n in (1, 2)]
    report = {**evaluate(pairs, {"blend": Blend(), "first": First()}), "protocol": "crop"}
    for case in report["cases"]:
        blend, first = (case["methods"][name]["psnr"] for name in ("blend", "first"))
        assert first < blend
        assert re.search(rf"\| {case['name']} +\| {blend:.2f} \(\+0.00\) \| {first:.2f} \({first - blend:+.2f}\)",
                         markdown(report))
