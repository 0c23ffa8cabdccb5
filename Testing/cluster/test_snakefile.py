"""The Snakefile of the documentation, run by Snakemake where it is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry
from ttt4d.temporal.phantom import beating_heart

ROOT = Path(__file__).parents[2]
GRID = Geometry((5, 24, 24), (8.0, 5.0, 5.0), (-60.0, -60.0, -16.0))


@pytest.mark.skipif(not shutil.which("snakemake"), reason="snakemake is not installed")
def test_the_snakefile_computes_a_cohort_in_parts_and_a_bad_case_is_a_row(tmp_path):
    for n in range(3):
        patient = tmp_path / "cases" / f"p{n}"
        patient.mkdir(parents=True)
        for name, volume in zip(("ed.nrrd", "es.nrrd"), beating_heart((0, 1), GRID)[0]):
            sitk.WriteImage(to_sitk(volume) + n, str(patient / name))
    (tmp_path / "cases" / "p1" / "es.nrrd").write_bytes(b"no image")
    command = tmp_path / "bin" / "ttt4d"  # this very engine
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ttt4d "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
                   "PYTHONPATH": str(ROOT / "TTTInterpolation")}
    subprocess.run(["snakemake", "--snakefile", str(ROOT / "Docs" / "cohorts" / "Snakefile"), "--cores", "1",
                    "--config", "cases=cases", "results=results", "parts=2",
                    "options=--frames 1 --auxiliary none --device cpu"], cwd=tmp_path, env=environment, check=True)
    with open(tmp_path / "results" / "summary.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done", "failed", "done"]
