"""`ttt4d interpolate --slices-factor`: frames between phases, and slices between theirs, in one run."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from shell import SMALL, files_in
from ttt4d.commands import cli, slices_inputs
from ttt4d.commands.job import Job
from ttt4d.commands.request import Request
from ttt4d.commands.worker import _job
from ttt4d.errors import Cancelled
from ttt4d.images.readers import read_sequence
from ttt4d.images.resampling import to_sitk
from ttt4d.progress import never
from ttt4d.settings import AdaptationSettings, InterpolationSettings
from ttt4d.through_plane.pipeline import SliceInterpolator, SliceRequest
from ttt4d.through_plane.settings import SliceAdaptationSettings, SliceRunSettings, SliceSettings

FACTOR = 3


@pytest.fixture(autouse=True)
def in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def heart(phases):
    """Files of three phases, 5 slices each."""
    paths = []
    for name, phase in zip(("ed.nii.gz", "mid.nii.gz", "es.nii.gz"), phases(3, SMALL)):
        sitk.WriteImage(to_sitk(phase), name)
        paths.append(name)
    return paths


@pytest.fixture
def settings(small_weights, slice_weights):
    """Settings of both axes with untrained weights: (iterations, kind of slices) -> the two."""
    def make(iterations: int = 0, slices: str = "gap"):
        task = ({"iterations": iterations}, {"iterations": iterations}) if iterations else ({"auxiliary": "none"},) * 2
        return (InterpolationSettings(frames=1, adaptation=AdaptationSettings(**task[0]), weights=small_weights),
                SliceRunSettings(float(FACTOR), slices=slices, adaptation=SliceAdaptationSettings(**task[1]),
                                 weights=slice_weights))
    return make


def run(request: Request, cancelled=never):
    progress = []
    report = Job(request).run(progress.append, lambda *frame: None, cancelled)
    return report, progress


def voxels(path: str) -> np.ndarray:
    """The voxels of a NIfTI file by nibabel, (t, k, j, i)."""
    return np.asarray(nibabel.load(path).dataobj).T


@pytest.mark.parametrize("iterations", [0, 2])
def test_the_acquired_slices_of_the_phases_come_back_bit_for_bit(iterations, heart, settings):
    frames, slices = settings(iterations)
    run(Request("out.nii.gz", tuple(heart), settings=frames, slices=slices))
    result = voxels("out.nii.gz")
    assert result.shape == (5, 13, 24, 24)
    for number, path in zip((0, 2, 4), heart):
        np.testing.assert_array_equal(result[number, ::FACTOR], voxels(path))
    assert nibabel.load("out.nii.gz").header.get_zooms()[2] == pytest.approx(8 / FACTOR)


def test_every_frame_gets_the_slices_that_it_would_get_by_itself(heart, settings, slice_weights):
    frames, slices = settings()
    run(Request("both.nii.gz", tuple(heart), settings=frames, slices=slices))
    run(Request("frames.nii.gz", tuple(heart), settings=frames))
    alone = SliceInterpolator(slice_weights, "cpu")
    plain = SliceSettings("gap", adaptation=SliceAdaptationSettings("none"))
    for found, frame in zip(voxels("both.nii.gz"), voxels("frames.nii.gz")):
        request = SliceRequest.by_factor(np.ascontiguousarray(frame), 8.0, (5.0, 5.0), FACTOR)
        np.testing.assert_array_equal(found, alone.run(request, plain).array)


def test_headers_and_report_tell_which_slices_of_which_frames_are_acquired(heart, settings):
    frames, slices = settings(1)
    report, _ = run(Request("out", tuple(heart), settings=frames, slices=slices, report="r.json"))
    headers = [sitk.ReadImage(f"out/frame_{number:03d}.nrrd") for number in range(5)]
    for header in headers:
        assert header.GetMetaData("ttt4d.frame") == "synthetic"
        assert header.GetMetaData("ttt4d.slices") == "0 3 6 9 12"
        assert header.GetMetaData("ttt4d.slices.frames") == "0 2 4"
        assert header.GetMetaData("ttt4d.slices.weights") == "small-slices.safetensors"
        assert os.sep not in header.GetMetaData("ttt4d.slices.settings")
    found = json.load(open("r.json"))
    assert found["slices"]["acquired"] == [0, 3, 6, 9, 12] and found["slices"]["frames"] == [0, 2, 4]
    assert found["slices"]["count"] == [5, 13] and len(found["slices"]["adaptation"]) == 3
    assert [frame["acquired"] for frame in found["frames"]] == [False] * 5
    assert found["seconds"]["slices"] > 0 and report["slices"] == found["slices"]


def test_thick_slices_are_all_computed(heart, settings):
    frames, slices = settings(slices="thick")
    report, _ = run(Request("out", tuple(heart), settings=frames, slices=slices))
    assert report["slices"]["acquired"] == report["slices"]["frames"] == []
    assert sitk.ReadImage("out/frame_000.nrrd").GetMetaData("ttt4d.slices") == "none"


def test_frames_of_a_cycle_have_their_slices_too(heart, settings, small_weights, slice_weights):
    report, _ = run(Request("out.seq.nrrd", tuple(heart), settings=InterpolationSettings(
        frames=1, cyclic=True, adaptation=AdaptationSettings("none"), weights=small_weights), slices=settings()[1]))
    assert len(report["frames"]) == 6 and report["slices"]["frames"] == [0, 2, 4]
    assert [phase.array.shape for phase in read_sequence("out.seq.nrrd", []).phases] == [(13, 24, 24)] * 6


def test_displacements_stay_on_the_grid_of_the_phases(heart, settings):
    frames, slices = settings()
    run(Request("out.nii.gz", tuple(heart[:2]), settings=frames, slices=slices, displacements="motion"))
    run(Request("plain.nii.gz", tuple(heart[:2]), settings=frames, displacements="plain"))
    for name in os.listdir("plain"):
        one, other = sitk.ReadImage(f"motion/{name}"), sitk.ReadImage(f"plain/{name}")
        assert one.GetSize() == other.GetSize() == (24, 24, 5)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))


def test_progress_never_falls_and_ends_at_one(heart, settings):
    frames, slices = settings(2)
    _, progress = run(Request("out.nii.gz", tuple(heart), settings=frames, slices=slices))
    fractions = [part.fraction for part in progress]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(fractions) > 15


@pytest.mark.parametrize("after", [0.1, 0.2, 0.4, 0.7])
def test_a_cancel_leaves_nothing_behind(after, heart, settings):
    frames, slices = settings(3)
    before, seen = files_in("."), []
    with pytest.raises(Cancelled):
        Job(Request("out.nii.gz", tuple(heart), settings=frames, slices=slices, report="r.json", preview="p.png")).run(
            lambda part: seen.append(part.fraction), lambda *frame: None, lambda: seen[-1] > after)
    assert files_in(".") == before


def test_the_seed_of_the_run_holds_for_both_axes(heart, settings):
    frames, slices = settings(2)
    request = Request("a.nii.gz", tuple(heart[:2]), settings=frames, slices=slices)
    run(request)
    report, _ = run(Request("b.nii.gz", tuple(heart[:2]), settings=frames, slices=SliceRunSettings.from_json(
        {**slices.to_json(), "seed": 5, "device": "cuda", "adaptation": {"iterations": 2, "scheme": "online"}})))
    np.testing.assert_array_equal(voxels("a.nii.gz"), voxels("b.nii.gz"))
    assert report["slices"]["settings"]["seed"] == 0 and report["slices"]["settings"]["device"] == "auto"
    assert report["slices"]["settings"]["adaptation"]["scheme"] == "naive"


# -- the command line and the worker -----------------------------------------------------------------------------------


def test_the_command_line_fills_in_both_axes(heart, small_weights, capfd):
    status = cli.run(["interpolate", *heart[:2], "-o", "out.nii.gz", "--frames", "1", "--auxiliary", "none",
                      "--weights", small_weights, "--slices-factor", "2", "--slices", "gap", "--preview", "p.png"])
    assert status == 0 and "3 frames, 3 of them synthetic" in capfd.readouterr().out
    assert voxels("out.nii.gz").shape == (3, 9, 24, 24)


def test_a_result_is_not_taken_for_acquired_phases(heart, settings, capfd):
    frames, slices = settings()
    run(Request("out.nii.gz", tuple(heart), settings=frames, slices=slices))
    assert cli.run(["interpolate", "out.nii.gz", "-o", "again.nii.gz"]) == 2
    assert "was computed, not measured" in capfd.readouterr().err


REFUSED = {
    "DICOM": ("would be a DICOM series", ["-o", "out.dcm", "--slices-factor", "2"]),
    "factor 1": ("factor is 1.0: choose a number above 1", ["--slices-factor", "1"]),
    "no factor": ("give --slices-factor too", ["--slices", "gap"]),
    "no kind": ("Unknown kind of slices 'thin'", ["--slices-factor", "2", "--slices", "thin"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_one_sentence(case, heart, small_weights, capfd):
    words, arguments = REFUSED[case]
    output = [] if "-o" in arguments else ["-o", "out.nii.gz"]
    refused(capfd, words, *heart[:2], *output, "--weights", small_weights, "--auxiliary", "none", *arguments)


def test_phases_of_thin_slices_are_refused(phases, small_weights, capfd):
    for name, phase in zip(("a.nrrd", "b.nrrd"), phases(2, SMALL)):
        image = to_sitk(phase)
        image.SetSpacing((5.0, 5.0, 5.0))
        sitk.WriteImage(image, name)
    refused(capfd, "The slices of 'a.nrrd' are already thin", "a.nrrd", "b.nrrd", "-o", "out.nii.gz", "--weights",
            small_weights, "--auxiliary", "none", "--slices-factor", "2")


def test_a_result_that_does_not_fit_in_memory_is_refused_before_the_work(heart, small_weights, capfd, monkeypatch):
    monkeypatch.setattr(slices_inputs, "available_memory_mib", lambda: 200.0)
    refused(capfd, "GiB of memory", *heart[:2], "-o", "out.nii.gz", "--weights", small_weights, "--auxiliary", "none",
            "--slices-factor", "2")


def refused(capfd, words: str, *arguments: str) -> None:
    before, _ = files_in("."), capfd.readouterr()
    assert cli.run(["interpolate", *arguments]) == 2
    sentence = capfd.readouterr().err.strip()
    assert words in sentence and "\n" not in sentence and sentence.endswith("."), sentence
    assert files_in(".") == before


def test_the_worker_takes_the_settings_of_both_axes(settings):
    frames, slices = settings(2)
    request = Request("out.nii.gz", ("a.nii.gz", "b.nii.gz"), settings=frames, slices=slices)
    line = json.dumps(request.to_json()).encode()
    assert _job(line).request == request
    plain = _job(json.dumps({"output": "o.nrrd", "sequence": "s.nrrd", "slices": None}).encode())
    assert plain.request.slices is None
