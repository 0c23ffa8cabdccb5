"""A run between slices as a job: what stops it leaves nothing behind; the worker serves it."""

from __future__ import annotations

import json
import os
import signal

import pytest
import SimpleITK as sitk

from shell import PATIENCE, ends_within, files_in, until, written
from ttt4d.commands.slices_job import SlicesJob
from ttt4d.commands.slices_request import SlicesRequest
from ttt4d.commands.worker import _job
from ttt4d.errors import Cancelled, SettingsError
from ttt4d.progress import never
from ttt4d.through_plane.settings import SliceAdaptationSettings, SliceRunSettings


@pytest.fixture(autouse=True)
def in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- what stops it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["reading", "adaptation", "interpolation"])
def test_a_cancel_leaves_nothing_behind(stage, slice_weights):
    request = SlicesRequest(written("in.nrrd"), "out.nrrd", SliceRunSettings(
        factor=2.0, adaptation=SliceAdaptationSettings(iterations=3), weights=slice_weights), report="r.json",
        preview="p.png")
    before, seen = files_in("."), []
    with pytest.raises(Cancelled):
        SlicesJob(request).run(lambda progress: seen.append(progress.stage), lambda *frame: None, lambda: stage in seen)
    assert files_in(".") == before


def test_progress_never_falls_and_ends_at_one(slice_weights):
    fractions = []
    request = SlicesRequest(written("in.nrrd"), "out.nrrd", SliceRunSettings(
        factor=2.0, adaptation=SliceAdaptationSettings(iterations=3), weights=slice_weights))
    SlicesJob(request).run(lambda progress: fractions.append(progress.fraction), lambda *frame: None, never)
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(fractions) > 5


def test_an_existing_output_survives_a_run_that_fails(slice_weights, monkeypatch):
    written("out.nrrd", seed=5)
    before = open("out.nrrd", "rb").read()
    request = SlicesRequest(written("in.nrrd"), "out.nrrd", SliceRunSettings(factor=2.0, weights=slice_weights))
    stop = iter([False] * 20 + [True] * 1000)
    with pytest.raises(Cancelled):
        SlicesJob(request).run(lambda progress: None, lambda *frame: None, lambda: next(stop))
    assert open("out.nrrd", "rb").read() == before and files_in(".") == ["in.nrrd", "out.nrrd"]


@pytest.mark.skipif(os.name != "posix", reason="a signal of POSIX")
def test_an_interrupt_in_mid_run_leaves_nothing_behind_and_exits_with_130(start, slice_weights):
    written("in.nrrd")
    child = start("-m", "ttt4d", "slices", "in.nrrd", "-o", "out.nrrd", "--factor", "4", "--iterations", "10000",
                  "--weights", slice_weights)
    wait_for_a_part(child)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130 and b"Interrupted" in error
    assert files_in(".") == ["in.nrrd"]


@pytest.mark.skipif(os.name != "posix", reason="a signal of POSIX")
def test_a_run_that_is_killed_leaves_nothing_under_the_names_of_its_outputs(start, slice_weights):
    written("in.nrrd")
    child = start("-m", "ttt4d", "slices", "in.nrrd", "-o", "out.nrrd", "--factor", "4", "--iterations", "10000",
                  "--weights", slice_weights, "--report", "report.json")
    wait_for_a_part(child)
    child.kill()
    child.wait(PATIENCE)
    assert [name for name in files_in(".") if not name.startswith(".ttt4d-")] == ["in.nrrd"]


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize("output", ["out.nrrd", "out.nii"])
def test_a_disk_that_gets_full_is_said_in_one_sentence_and_leaves_nothing(output, start, slice_weights):
    import resource

    written("in.nrrd")
    child = start("-m", "ttt4d", "slices", "in.nrrd", "-o", output, "--factor", "4", "--auxiliary", "none", "--weights",
                  slice_weights, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    _, error = child.communicate(timeout=PATIENCE)
    assert child.returncode == 2 and b"make room" in error and error.count(b"\n") == 1, error
    assert files_in(".") == ["in.nrrd"]


def wait_for_a_part(child) -> None:
    """Wait until a run has opened its outputs."""
    until(lambda: child.poll() is not None or any(".part" in name for name in files_in(".")))
    assert child.poll() is None


# -- the worker --------------------------------------------------------------------------------------------------------


def test_the_worker_takes_a_request_of_this_axis(start, slice_weights):
    written("in.nrrd")
    child = start("-m", "ttt4d", "worker")
    request = {"axis": "slices", "volume": "in.nrrd", "output": "out.nrrd", "preview": None, "settings": {
        "factor": 2, "weights": slice_weights, "adaptation": {"iterations": 1}}}
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    lines = [json.loads(line) for line in iter(child.stdout.readline, b"")]
    assert lines[-1]["type"] == "result" and lines[-1]["output"] == "out.nrrd"
    assert {"progress", "frame"} <= {line["type"] for line in lines}
    assert lines[-1]["report"]["slices"]["count"] == [5, 9]
    assert sitk.ReadImage("out.nrrd").GetSize()[2] == 9


def test_the_end_of_standard_input_cancels_an_adaptation_within_a_second(start, slice_weights):
    written("in.nrrd")
    child = start("-m", "ttt4d", "worker")
    request = {"axis": "slices", "volume": "in.nrrd", "output": "out.nrrd", "settings": {
        "factor": 4, "weights": slice_weights, "adaptation": {"iterations": 10000}}}
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    while json.loads(child.stdout.readline()).get("stage") != "adaptation":
        pass
    with ends_within(1.0, child):
        child.stdin.close()
        last = child.stdout.readlines()[-1]
    assert json.loads(last)["type"] == "cancelled"
    assert files_in(".") == ["in.nrrd"]


@pytest.mark.parametrize("values, words", [({"axis": "colour"}, "Unknown axis 'colour'"),
                                           ({"axis": "slices", "output": "x.nrrd"}, "with a volume"),
                                           ({"axis": "slices", "volume": "x", "output": "y.nrrd", "phases": []},
                                            "Unknown entry 'phases'")])
def test_a_request_that_makes_no_sense_is_answered_with_one_sentence(values, words):
    with pytest.raises(SettingsError, match=words):
        _job(json.dumps(values).encode())


def test_a_request_is_the_same_after_a_journey_through_json():
    request = SlicesRequest("in.nrrd", "out.nrrd", SliceRunSettings(spacing=1.5, slices="thick", axis="i"))
    assert SlicesRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
