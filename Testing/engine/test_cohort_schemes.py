"""`naive` and `mini-batch` over a cohort: the weights of the engine's schemes, and the same after an interruption."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from shell import SMALL, written
from ttt4d.adaptation.schemes import Adaptation
from ttt4d.cohort.cases import find_cases
from ttt4d.cohort.results import Plan
from ttt4d.cohort.schemes import learn_naive, naive_plan
from ttt4d.commands import cli
from ttt4d.images.readers import read_sequence, read_volume
from ttt4d.images.resampling import to_sitk
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.phantom import beating_heart
from ttt4d.temporal.pipeline import Interpolator

ITERATIONS = 2


@pytest.fixture
def cases(tmp_path):
    """Three patients of different brightness and noise; the images of a fourth, between them, cannot be read."""
    for n in range(4):
        folder = tmp_path / "cases" / f"p{n}"
        folder.mkdir(parents=True)
        for name, volume in zip(("ed.nrrd", "es.nrrd"), beating_heart((0, 1), SMALL)[0]):
            noise = np.random.default_rng(n).integers(0, 40 * (n + 1), volume.array.shape)
            image = sitk.GetImageFromArray(volume.array + noise.astype(volume.array.dtype))
            image.CopyInformation(to_sitk(volume))
            sitk.WriteImage(image, str(folder / name))
    (tmp_path / "cases" / "p1" / "es.nrrd").write_bytes(b"no image")
    return tmp_path / "cases"


def settings(scheme: str, weights: str) -> InterpolationSettings:
    return InterpolationSettings.from_json({
        "frames": 1, "weights": weights, "device": "cpu",
        "adaptation": {"scheme": scheme, "iterations": ITERATIONS, "auxiliary": "rotation", "learning_rate": 1e-3}})


def batch(cases, results, scheme: str, weights: str, *more: str) -> int:
    return cli.run(["batch", str(cases), str(results), "--frames", "1", "--iterations", str(ITERATIONS), "--auxiliary",
                    "rotation", "--learning-rate", "0.001", "--scheme", scheme, "--weights", weights, "--device", "cpu",
                    *more])


def statuses(results) -> dict:
    with open(results / "summary.csv", newline="") as file:
        return {row["case"]: row["status"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("scheme", ["naive", "mini-batch"])
def test_each_case_gets_the_weights_of_the_scheme_whose_batches_are_patients(scheme, cases, tmp_path, small_weights):
    results = tmp_path / "results"
    assert batch(cases, results, scheme, small_weights) == 1
    assert statuses(results) == {"p0": "done", "p1": "failed", "p2": "done", "p3": "done"}
    readable = ["p0", "p2", "p3"]
    interpolator = Interpolator(small_weights, "cpu")
    patients = [[read_volume(str(cases / name / phase)) for phase in ("ed.nrrd", "es.nrrd")] for name in readable]
    adapted = interpolator.adapt_cohort(patients, settings(scheme, small_weights))
    for name, patient in zip(readable, adapted):
        frames = [frame.array for frame in interpolator.interpolate(patient)]
        made = read_sequence(str(results / f"{name}.seq.nrrd")).phases
        for frame, phase in zip(frames, made):
            np.testing.assert_array_equal(frame, phase.array)
    alone = interpolator.adapt(patients[2], settings("online", small_weights))
    middle = list(interpolator.interpolate(alone))[1].array
    assert not np.array_equal(middle, made[1].array), "it is not the scheme of one patient"

    times = {path: os.path.getmtime(path) for path in results.glob("p*")}
    assert batch(cases, results, scheme, small_weights) == 1
    assert statuses(results) == {"p0": "skipped", "p1": "failed", "p2": "skipped", "p3": "skipped"}
    assert times == {path: os.path.getmtime(path) for path in results.glob("p*")}


def test_an_interrupted_naive_learning_goes_on_to_the_same_weights_bit_for_bit(cases, tmp_path, small_weights,
                                                                                monkeypatch):
    found = find_cases(str(cases))
    plans = [Plan.of(str(tmp_path / name), settings("naive", small_weights)) for name in ("calm", "disturbed")]
    for plan in plans:
        os.makedirs(plan.folder)
    learn_naive(found, plans[0])
    step, steps = Adaptation.step, []

    def interrupted(self, number, batch) -> None:
        steps.append(number)
        if len(steps) == 5:  # in the second pass over three patients
            raise KeyboardInterrupt
        step(self, number, batch)

    monkeypatch.setattr(Adaptation, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn_naive(found, plans[1])
    learn_naive(found, plans[1])
    assert steps == [0, 2, 3, 0, 2, 0, 2, 3], "the first pass is not taken again"
    calm, disturbed = (load_file(naive_plan(found, plan).settings.weights) for plan in plans)
    assert calm.keys() == disturbed.keys()
    assert all(torch.equal(calm[name], disturbed[name]) for name in calm)


def test_a_stream_goes_on_where_a_case_was_added_and_begins_again_where_one_has_changed(cases, tmp_path, small_weights):
    first = tmp_path / "first"
    os.makedirs(first)
    for name in ("p0", "p2"):
        os.rename(cases / name, first / name)
    results, calm = tmp_path / "results", tmp_path / "calm"
    assert batch(first, results, "mini-batch", small_weights) == 0
    os.rename(cases / "p3", first / "p3")
    assert batch(first, results, "mini-batch", small_weights) == 0
    assert statuses(results) == {"p0": "skipped", "p2": "skipped", "p3": "done"}
    assert batch(first, calm, "mini-batch", small_weights) == 0
    one, other = (sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "p3.seq.nrrd"))) for folder in (results, calm))
    np.testing.assert_array_equal(one, other)
    os.utime(first / "p2" / "ed.nrrd", (1, 1))
    assert batch(first, results, "mini-batch", small_weights) == 0
    assert statuses(results) == {"p0": "skipped", "p2": "done", "p3": "done"}


def test_slices_know_the_scheme_over_a_cohort_too(tmp_path, slice_weights):
    (tmp_path / "cases").mkdir()
    for n in range(2):
        written(str(tmp_path / "cases" / f"v{n}.nrrd"), seed=n)
    assert cli.run(["batch", str(tmp_path / "cases"), str(tmp_path / "results"), "--factor", "2", "--iterations", "1",
                    "--scheme", "naive", "--weights", slice_weights, "--device", "cpu"]) == 0
    assert statuses(tmp_path / "results") == {"v0": "done", "v1": "done"}
    assert len(list((tmp_path / "results").glob("naive-*.safetensors"))) == 1


def test_mini_batch_is_refused_in_parts_or_side_by_side(cases, tmp_path, small_weights, capsys):
    assert batch(cases, tmp_path / "results", "mini-batch", small_weights, "--jobs", "2") == 2
    assert "from case to case" in capsys.readouterr().err
