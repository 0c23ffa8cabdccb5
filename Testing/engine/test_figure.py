"""The figure of the gains over time."""

from __future__ import annotations

import pytest

from ttt4d.evaluation.figure import draw, gains_over_time


def case(*curve):
    return {"methods": {"blend": {"curve": [[t, p] for t, p, _ in curve]},
                        "base": {"curve": [[t, p] for t, _, p in curve]}}}


REPORT = {"methods": {"blend": {}, "base": {}}, "cases": [case((0.1, 30, 31), (0.9, 28, 28)), case((0.12, 20, 23))]}


def test_the_figure_shows_gains_over_the_first_method_by_time():
    assert gains_over_time(REPORT) == ([0.0625, 0.9375], {"base": [2.0, 0.0]})


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_figure_is_written_in_every_kind_the_command_takes(tmp_path, ending):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    draw(REPORT, str(tmp_path / f"figure.{ending}"))
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending]
    assert (tmp_path / f"figure.{ending}").read_bytes().startswith(start)
