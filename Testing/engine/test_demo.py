"""The demo tells the truth about what it did."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from ttt4d.commands import cli
from ttt4d.images.readers import read_sequence
from ttt4d.temporal.phantom import beating_heart
from ttt4d.through_plane.phantom import head


def figures(text: str, name: str):
    return [float(value) for value in re.search(rf"^ +{name} +([\d.]+) +([\d.]+)$", text, re.MULTILINE).groups()]


def test_the_demo_prints_the_psnr_of_the_file_it_wrote_and_of_blending(tmp_path, small_weights, capsys):
    folder = tmp_path / "demo"
    arguments = ["-o", str(folder), "--weights", small_weights, "--auxiliary", "none", "--times", "0.5"]
    assert cli.run(["demo", *arguments]) == 0
    text = capsys.readouterr().out
    first, middle, last = [volume.array.astype(float) for volume in beating_heart((0, 0.5, 1))[0]]
    peak = max(first.max(), last.max()) - min(first.min(), last.min())

    def psnr(frame):
        return 20 * np.log10(peak / np.sqrt(np.mean((frame - middle) ** 2)))

    ours = read_sequence(folder / "heart.seq.nrrd").phases[1].array
    assert figures(text, "mean") == pytest.approx([psnr(ours), psnr((first + last) / 2)], abs=0.006)
    for name in ("heart.seq.nrrd", "preview.png", "report.json"):
        assert str(folder / name) in text and (folder / name).is_file()
    assert Image.open(folder / "preview.png").height > 3 * 160  # ours, the truth, and blending


def test_a_demo_can_be_run_again_over_its_own_output(tmp_path, small_weights):
    for frames in "12":
        arguments = ["-o", str(tmp_path), "--weights", small_weights, "--auxiliary", "none", "--frames", frames]
        assert cli.run(["demo", *arguments]) == 0
    assert len(read_sequence(tmp_path / "heart.seq.nrrd").phases) == 4


def test_the_packaged_weights_beat_blending_in_the_demo(tmp_path, cardiac, capsys):
    assert cli.run(["demo", "-o", str(tmp_path), "--weights", cardiac]) == 0
    ours, blending = figures(capsys.readouterr().out, "mean")
    assert ours > blending


def test_the_demo_prints_the_psnr_of_the_slices_it_wrote_and_of_interpolation(tmp_path, small_weights, capsys):
    arguments = ["-o", str(tmp_path), "--weights", small_weights, "--auxiliary", "none", "--times", "0.5"]
    assert cli.run(["demo", *arguments]) == 0
    line = re.search(r"missing slices: linear ([\d.]+), best interpolation \(\w+\) ([\d.]+), ttt4d ([\d.]+)",
                     capsys.readouterr().out)
    linear, best, ours = map(float, line.groups())
    truth, result = head().array.astype(float), sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "head.nrrd")))
    missing = np.arange(len(truth)) % 4 > 0
    error = np.sqrt(np.mean((result - truth)[missing] ** 2))
    assert ours == pytest.approx(20 * np.log10((truth.max() - truth.min()) / error), abs=0.006)
    assert linear <= best < ours
    np.testing.assert_array_equal(result[::4], truth[::4])
    assert Image.open(tmp_path / "slices.png").width > 3 * 100
