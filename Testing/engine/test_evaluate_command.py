"""`ttt4d evaluate`: its tables, its files, and what it refuses before it measures."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest

from moving_ball import moving_ball
from ttt4d.commands import evaluate as evaluate_command
from ttt4d.errors import InputError, OutputError, SettingsError
from ttt4d.evaluation.methods import make_method
from ttt4d.evaluation.shifts import SHIFTS


def run(*words):
    parser = argparse.ArgumentParser()
    evaluate_command.add_arguments(parser)
    return evaluate_command.run(parser.parse_args(words))


def write_acdc(folder, number, frames):
    sitk = pytest.importorskip("SimpleITK")
    patient = folder / f"patient{number}"
    patient.mkdir()
    (patient / "Info.cfg").write_text(f"ED: 1\nES: {len(frames)}\n")
    image = sitk.GetImageFromArray(frames.astype(np.float32), isVector=False)
    image.SetSpacing((1.5, 1.5, 10, 1))
    sitk.WriteImage(image, str(patient / f"patient{number}_4d.nii.gz"))


def test_evaluate_prints_tables_and_writes_every_figure(tmp_path, capsys):
    for number in ("001", "002"):
        write_acdc(tmp_path, number, moving_ball(seed=int(number)))
    (tmp_path / "index.csv").write_text("patient,split,spacing_known\n001,validation,no\n002,validation,no\n")
    out = tmp_path / "figures.json"
    assert run("--data", str(tmp_path), "--methods", "blend", "--shifts", "--json", str(out)) == 0
    report = json.loads(out.read_text())
    assert report["protocol"] == "crop" and [case["name"] for case in report["cases"]] == ["001", "002"]
    assert set(report["methods"]["blend"]) >= {"psnr", "psnr_se", "ncc", "ncc_se", "ssim", "ssim_se", "nmse", "nmse_se",
                                               "seconds"}
    assert set(report["shifts"]) == set(SHIFTS)
    printed = capsys.readouterr().out
    assert "NOT comparable" in printed and "33.73" in printed and f"{report['methods']['blend']['psnr']:.2f}" in printed


def test_the_table_is_printed_though_a_file_fails(tmp_path, capsys, monkeypatch):
    write_acdc(tmp_path, "001", moving_ball())
    monkeypatch.setattr(Path, "write_text", lambda path, text: Path(path, "under a file").write_bytes(b""))
    with pytest.raises(OutputError, match="'figures.json' cannot be written"):
        run("--data", str(tmp_path), "--cases", "001", "--methods", "blend", "--json", str(tmp_path / "figures.json"))
    assert "blend" in capsys.readouterr().out


def test_an_hour_of_measuring_is_not_begun_in_vain(tmp_path):
    write_acdc(tmp_path, "001", moving_ball())
    arguments = ["--data", str(tmp_path), "--cases", "001", "--methods", "blend"]
    with pytest.raises(OutputError, match="is a folder"):
        run(*arguments, "--json", str(tmp_path))
    with pytest.raises(SettingsError, match="two or more"):
        run(*arguments, "--figure", str(tmp_path / "figure.png"))
    info = tmp_path / "patient001" / "Info.cfg"
    info.write_text(re.sub(r"ES: \d+", "ES: 2", info.read_text()))
    with pytest.raises(InputError, match="no frame between"):
        run(*arguments)


def test_evaluate_measures_the_named_cases_alone(tmp_path):
    for number in ("001", "002"):
        write_acdc(tmp_path, number, moving_ball())
    out = tmp_path / "figures.json"
    assert run("--data", str(tmp_path), "--cases", "002,002", "--methods", "blend", "--json", str(out)) == 0
    assert [case["name"] for case in json.loads(out.read_text())["cases"]] == ["002"]


def test_evaluate_refuses_what_it_does_not_know(tmp_path):
    write_acdc(tmp_path, "001", moving_ball())
    with pytest.raises(SettingsError, match="Unknown method 'blnd'.*blend"):
        run("--data", str(tmp_path), "--cases", "001", "--methods", "blnd")
    with pytest.raises(InputError, match="no case '099'"):
        run("--data", str(tmp_path), "--cases", "099")
    with pytest.raises(OutputError, match="does not exist"):
        run("--data", str(tmp_path), "--json", str(tmp_path / "nowhere" / "figures.json"))
    with pytest.raises(OutputError, match="figure.xyz has an unsupported extension: use one of .png"):
        run("--data", str(tmp_path), "--figure", str(tmp_path / "figure.xyz"))
    with pytest.raises(SettingsError, match="--uvinet"):
        make_method("uvinet")
