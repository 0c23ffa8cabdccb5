"""`ttt4d batch --slurm` on a real Slurm: a cluster of one node on loopback, which `slurm.sh` starts and tears down.

It runs as root where Debian's slurm-wlm and munge and the extra `cluster` are installed, and is left out elsewhere.
With TTT4D_COHORT=40 it is the measurement of the documentation.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

from ttt4d.cohort.claims import claimed
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry
from ttt4d.temporal import models
from ttt4d.temporal.network.interpolator import NetworkSettings
from ttt4d.temporal.phantom import beating_heart
from ttt4d.weights.files import save

HERE = Path(__file__).parent
ENGINE = HERE.parents[1] / "TTTInterpolation"
COUNT = int(os.environ.get("TTT4D_COHORT", 8))
# Seconds after which the test has waited in vain: a busy machine takes minutes to start the tasks.
PATIENCE = 3000.0
GRID = Geometry((5, 24, 24), (8.0, 5.0, 5.0), (-60.0, -60.0, -16.0))

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
pytestmark = [
    pytest.mark.skipif(not all(shutil.which(name, path=PATH) for name in ("sbatch", "slurmctld", "slurmd", "munged")),
                       reason="Slurm is not installed: apt-get install slurm-wlm munge"),
    pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="the cluster of one node runs as root")]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment in which Slurm's commands speak to a cluster of this computer alone."""
    pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([HERE / "slurm.sh", "start", folder], check=True)
    yield {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}
    subprocess.run([HERE / "slurm.sh", "stop", folder], check=True)


@pytest.fixture
def cohort(tmp_path) -> Path:
    torch.manual_seed(0)
    small = NetworkSettings(features=(4, 6, 8), motion=(8, 8), refinement=(6, 8))
    save(tmp_path / "small.safetensors", models.new_model(small), {"name": "small"})
    phases = [to_sitk(volume) for volume in beating_heart((0, 1), GRID)[0]]
    for n in range(COUNT):
        patient = tmp_path / "cases" / f"p{n:03d}"
        patient.mkdir(parents=True)
        for name, phase in zip(("ed.nrrd", "es.nrrd"), phases):
            sitk.WriteImage(phase + n, str(patient / name))
    return tmp_path


def batch(cohort: Path, *arguments: str) -> list:
    return [sys.executable, "-m", "ttt4d", "batch", str(cohort / "cases"), str(cohort / "results"), "--frames", "1",
            "--iterations", "20", "--weights", str(cohort / "small.safetensors"), "--device", "cpu", *arguments]


def running(environment) -> list:
    """The jobs of the array's tasks that run, in order."""
    found = subprocess.run(["squeue", "--noheader", "--states", "RUNNING", "--format", "%F_%K"], env=environment,
                           stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return sorted(found)


def until(condition) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.1)


def test_an_array_of_four_is_whole_though_one_task_is_cancelled_and_one_is_requeued(slurm, cohort):
    results = cohort / "results"
    with contextlib.ExitStack() as held:  # the last case of each task, so that none ends before it is disturbed
        for n in range(COUNT - 4, COUNT):
            held.enter_context(claimed(str(results / ".ttt4d" / f"p{n:03d}.claim")))
        command = subprocess.Popen(batch(cohort, "--slurm", "tasks=4", "time=60"), env=slurm, cwd=cohort, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: command.poll() is not None or (any(results.glob("*.json")) and len(running(slurm)) == 2))
        cancelled, requeued = running(slurm)
        subprocess.run(["scancel", cancelled], env=slurm, check=True)
        subprocess.run(["scontrol", "requeue", requeued], env=slurm, check=True)  # what a preemption does
    out, err = command.communicate(timeout=PATIENCE)
    print(out)
    assert command.returncode == 0, err
    assert out.count("Slurm array") == 2, "the cases of the cancelled task were submitted again"
    with open(results / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [f"p{n:03d}" for n in range(COUNT)]
    assert {row["status"] for row in rows} == {"done"}
    said = "".join(path.read_text() for path in (results / ".ttt4d" / "slurm").glob("*_log.out"))
    for n in range(COUNT):
        assert said.count(f"p{n:03d}: done in") == 1, "no case is computed twice"
    assert json.loads((results / "p000.json").read_text())["device"] == "cpu"


def test_a_wrong_option_and_a_detached_array_are_told_in_one_sentence(slurm, cohort):
    refused = subprocess.run(batch(cohort, "--slurm", "partition=nowhere"), env=slurm, cwd=cohort, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("ttt4d: Slurm does not take the job")
    detached = subprocess.run(batch(cohort, "--slurm", "tasks=1", "wait=no", "comment=a cohort"), env=slurm,
                              cwd=cohort, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert detached.returncode == 0 and "ttt4d summary" in detached.stdout
    subprocess.run(["scancel", "--name", "ttt4d"], env=slurm, check=True)
