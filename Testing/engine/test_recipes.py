"""Recipes of Docs/contributing.md, followed to the letter in a copy of the engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import ENGINE
from moving_ball import moving_ball
from shell import PATIENCE, written
from test_evaluate_command import write_acdc


@pytest.fixture
def engine(tmp_path) -> Path:
    """A copy of the engine, without weights, in the folder in which `start` starts Python."""
    shutil.copytree(ENGINE / "ttt4d", tmp_path / "ttt4d",
                    ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    return tmp_path / "ttt4d"


@pytest.fixture
def evaluate(tmp_path, start):
    """evaluate(methods): what `ttt4d evaluate` of the copy prints for one case, and its report."""
    def run(methods: str):
        write_acdc(tmp_path, "001", moving_ball())
        child = start("-m", "ttt4d", "evaluate", "--data", str(tmp_path), "--cases", "001", "--methods", methods,
                      "--json", "figures.json")
        printed, errors = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0, errors.decode()
        return printed.decode(), json.loads((tmp_path / "figures.json").read_text())
    return run


def insert(path: Path, before: str, text: str) -> None:
    """Write a text into a file, before the only place where another one is found."""
    content = path.read_text()
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before))


def test_a_metric_is_one_function_and_one_entry(engine, evaluate):
    path = engine / "evaluation" / "metrics.py"
    insert(path, "METRICS: Dict", """def mae(truth: np.ndarray, frame: np.ndarray) -> float:
    return 100 * float(np.abs(truth - frame).mean())


""")
    insert(path, ")}\n", """    Metric("mae", "MAE", "%", 2, False, mae),
""")
    printed, report = evaluate("blend")
    assert "| MAE % " in printed and f"{report['methods']['blend']['mae']:.2f} +- " in printed
    assert 0 < report["cases"][0]["methods"]["blend"]["mae"] < 100


def test_a_peer_is_one_class_and_one_entry(engine, evaluate):
    insert(engine / "evaluation" / "baselines.py", "def load_extra(", """class Nearest(Method):
    def __call__(self, phase0, phase1, times, spacing):
        return [phase0 if t < 0.5 else phase1 for t in times]


""")
    entry = '    "nearest": lambda options: baselines.Nearest(),\n'
    insert(engine / "evaluation" / "methods.py", '    "uvinet": ', entry)
    printed, report = evaluate("blend,nearest")
    assert f"| nearest | {report['methods']['nearest']['psnr']:.2f} +- " in printed


# What a new task between slices is: one file with a subclass, and one entry.
SHARPNESS = """
from .slice_task import SliceTask, patch

class Sharpness(SliceTask):
    iterations = 3
    learning_rate = 1e-3

    def loss(self, network, batch, generator):
        slices = patch(batch, generator)
        between = network(slices[None], slices.new_tensor([0.5, 1.5]), batch.sampling).fused
        return (between.diff(dim=-1).abs().mean() - slices.diff(dim=-1).abs().mean()) ** 2
"""


def test_a_task_between_slices_is_a_loss_and_an_entry(engine, start, slice_weights):
    (engine / "through_plane" / "auxiliary" / "sharpness.py").write_text(SHARPNESS)
    insert(engine / "through_plane" / "auxiliary" / "__init__.py", '    "in-plane": ',
           '    "sharpness": "sharpness.Sharpness",\n')
    written(str(engine.parent / "in.nrrd"))
    child = start("-m", "ttt4d", "slices", "in.nrrd", "-o", "out.nrrd", "--factor", "2", "--auxiliary", "sharpness",
                  "--weights", slice_weights, "--report", "report.json")
    _, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, errors.decode()
    adaptation, = json.loads((engine.parent / "report.json").read_text())["adaptation"]
    assert len(adaptation["losses"]) == 3 and (engine.parent / "out.nrrd").is_file()
