"""One job: what is checked before anything is read, what results know of their inputs, and what the worker says."""

from __future__ import annotations

import dataclasses
import json

import nibabel
import numpy as np
import pytest
import torch

from shell import files_in
from ttt4d import devices
from ttt4d.commands import messages
from ttt4d.commands.job import Job
from ttt4d.commands.request import Request
from ttt4d.errors import InputError, InstallationError, OutputError, UserError, WeightsError
from ttt4d.images import readers
from ttt4d.images.readers import read_sequence
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.phantom import beating_heart


@pytest.fixture
def run(small_weights, tmp_path, monkeypatch):
    """run(request values): the report."""
    monkeypatch.chdir(tmp_path)

    def job(**values):
        chosen = {"weights": small_weights, "frames": 1, "device": "cpu", "adaptation": {"auxiliary": "none"},
                  **values.pop("settings", {})}
        request = Request(settings=InterpolationSettings.from_json(chosen), **values)
        return Job(request).run(lambda progress: None, lambda *frame: None, lambda: False)

    return job


@pytest.mark.parametrize("change, error, words", [
    (lambda pair: {"phases": [pair[0], "missing.nrrd"]}, InputError, "no file or folder 'missing.nrrd'"),
    (lambda pair: {"output": "-"}, OutputError, "'-'"),
    (lambda pair: {"report": "nowhere/r.json"}, OutputError, "does not exist"),
    (lambda pair: {"settings": {"weights": "kidney"}}, WeightsError, "no weights 'kidney'"),
    (lambda pair: {"settings": {"device": "cuda:99"}}, UserError, "no device 'cuda:99'"),
])
def test_paths_weights_and_device_are_checked_before_the_first_image_is_read(pair, run, tmp_path, change, error, words,
                                                                             monkeypatch):
    monkeypatch.setattr(readers, "read_volume", None)  # a call would be a bug
    before = files_in(tmp_path)
    with pytest.raises(error, match=words):
        run(**{"output": "out.seq.nrrd", "phases": pair, **change(pair)})
    assert files_in(tmp_path) == before


def test_pytorch_beside_a_numpy_it_was_not_built_for_is_one_sentence(pair, run, monkeypatch):
    def from_numpy(array):
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch, "from_numpy", from_numpy)
    with pytest.raises(InstallationError) as error:
        run(output="out.seq.nrrd", phases=pair)
    words = str(error.value)
    assert torch.__version__ in words and np.__version__ in words and 'pip install "numpy<2"' in words
    with pytest.raises(InstallationError):
        devices.choose("cpu", [])


@pytest.mark.parametrize("unit", ["msec", "sec"])
def test_the_time_between_phases_is_divided_among_the_frames_of_the_result(run, unit):
    frames = np.stack([volume.array.T[::2, ::2] for volume in beating_heart((0, 0.5, 1))[0]], axis=-1)
    image = nibabel.Nifti1Image(frames, np.diag([4.0, 4.0, 8.0, 1.0]))
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = 40
    nibabel.save(image, "cine.nii.gz")
    run(output="out.nii.gz", sequence="cine.nii.gz", settings={"canvas": 16})
    result = nibabel.load("out.nii.gz")
    assert result.shape[3] == 5 and result.header["pixdim"][4] == pytest.approx(20)
    assert result.header.get_xyzt_units()[1] == unit


def test_phases_in_files_that_tell_no_time_give_a_result_in_percent(pair, run):
    run(output="out.seq.nrrd", phases=pair)
    result = read_sequence("out.seq.nrrd")
    assert (result.index, result.index_name, result.index_unit) == ((0, 50, 100), "phase", "%")


def test_the_report_holds_what_its_type_says(pair, run):
    from ttt4d.report import JobReport

    report = run(output="out.seq.nrrd", phases=pair, report="r.json",
                 settings={"adaptation": {"auxiliary": "reconstruction", "iterations": 2}})
    with open("r.json") as file:
        assert json.load(file) == json.loads(json.dumps(report))
    # Three of its entries are there only where slices, carried labels or maps were asked for.
    assert set(report) == set(JobReport.__annotations__) - {"slices", "motion", "volumes"}
    assert set(report["seconds"]) == {"reading", "loading", "adaptation", "interpolation", "writing"}
    entry, = report["adaptation"]
    assert len(entry["losses"]) == 2 and len(entry["held_out_loss"]) == 2


@pytest.mark.parametrize("message", [
    messages.ProgressMessage("reading", 0.5, "Reading", {"frame": 1}, 1.0, None), messages.Frame(0, 0.0, True, None),
    messages.Result("out", {"messages": []}), messages.Error(messages.BUG, "It broke.", "Traceback"),
    messages.Cancelled(),
])
def test_a_message_is_one_line_of_json_with_its_type_and_fields(message):
    line = message.to_line()
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    names = {field.name for field in dataclasses.fields(message)}
    assert set(json.loads(line)) == {"type", *names}
    assert (json.loads(line)["type"] in messages.LAST_TYPES) == (
        isinstance(message, (messages.Result, messages.Error, messages.Cancelled)))
