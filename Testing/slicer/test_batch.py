"""Batch: many cases, a bad one among them, and a second run that does nothing."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import runpy
import sys

import pytest
import slicer

import tools
from ttt4d.cohort.cases import Case, find_cases
from ttt4d.cohort.results import CaseFiles, Wanted, as_reported
from ttt4d.errors import InputError, WeightsError
from ttt4d.settings import InterpolationSettings
from ttt4d.weights import checksum, locate
from TTTInterpolationLib import batch, volumes


def write_case(scene, folder, seed: int) -> None:
    folder.mkdir()
    nodes = tools.heart(scene, tools.SMALL)
    for node, name in zip(nodes, ("phase2.nrrd", "phase10.nrrd")):
        slicer.util.arrayFromVolume(node)[:] += seed
        volumes.writePhase(node, str(folder / name))


def summary_of(folder) -> list:
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_five_cases_with_one_corrupt_give_four_results_one_clear_row_and_status_1(scene, weights, tmp_path, capsys):
    cases, results = tmp_path / "cases", tmp_path / "results"
    cases.mkdir()
    for n in range(1, 6):
        write_case(scene, cases / f"patient{n}", seed=n)
    corrupt = cases / "patient3" / "phase10.nrrd"
    corrupt.write_bytes(corrupt.read_bytes()[:-2000])
    arguments = [str(cases), str(results), "--frames", "1", "--iterations", "1", "--weights", weights,
                 "--device", "cpu"]

    assert batch.main(arguments) == 1
    rows = summary_of(results)
    assert [row["status"] for row in rows] == ["done", "done", "failed", "done", "done"]
    assert rows[2]["case"] == "patient3" and "phase10.nrrd" in rows[2]["message"]
    assert "\n" not in rows[2]["message"] and "Traceback" not in rows[2]["message"]
    made = sorted(name for name in os.listdir(results) if name.endswith(".seq.nrrd"))
    assert made == [f"patient{n}.seq.nrrd" for n in (1, 2, 4, 5)]
    with open(results / "patient1.json", encoding="utf-8") as file:
        report = json.load(file)
    assert report["settings"]["frames"] == 1 and len(report["frames"]) == 3
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(results / made[0]))
    assert storage.ReadData(sequence) and sequence.GetNumberOfDataNodes() == 3

    times = {name: os.path.getmtime(results / name) for name in made}
    assert batch.main(arguments) == 1, "the bad case is still bad"
    assert [row["status"] for row in summary_of(results)] == ["skipped", "skipped", "failed", "skipped", "skipped"]
    assert times == {name: os.path.getmtime(results / name) for name in made}, "nothing is recomputed"


def test_thick_volumes_of_a_folder_get_thin_slices_that_slicer_reads(scene, tmp_path):
    cases, results = tmp_path / "cases", tmp_path / "results"
    cases.mkdir()
    for node, name in zip(tools.heart(scene, tools.SMALL), ("ann.nrrd", "bob.nrrd")):
        volumes.writePhase(node, str(cases / name))
    assert batch.main([str(cases), str(results), "--factor", "2", "--slices", "gap", "--auxiliary", "none",
                       "--weights", "slices-free", "--device", "cpu"]) == 0
    assert [row["status"] for row in summary_of(results)] == ["done", "done"]
    for name in ("ann", "bob"):
        read = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(results / f"{name}.nii.gz"))
        assert storage.ReadData(read) and read.GetImageData().GetDimensions()[2] == 9
        report = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        assert report["slices"]["acquired"] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_table_names_pairs_and_sequences_relative_to_itself(delimiter, tmp_path):
    table = tmp_path / "cases.csv"
    text = "case,phase0,phase1,sequence\nann,a/0.nii.gz,a/1.nii.gz,\nbob,,,b.nii.gz\n"
    table.write_text(text.replace(",", delimiter))
    ann, bob = find_cases(str(table))
    assert ann.phases == (str(tmp_path / "a/0.nii.gz"), str(tmp_path / "a/1.nii.gz")) and ann.sequence is None
    assert bob.phases == () and bob.sequence == str(tmp_path / "b.nii.gz")


def test_a_folder_is_read_as_pairs_sequences_and_4d_files_in_natural_order(tmp_path):
    for name in ("pair/p2.nrrd", "pair/p10.nrrd", "gates/-0.5 s.nii", "gates/0.25 s.nii", "cine/0.nii", "cine/1.nii",
                 "cine/2.nii", "one/4d.nii.gz", "x.seq.nrrd", "notes.txt", ".hidden/readme.txt", "empty/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = {case.name: case for case in find_cases(str(tmp_path))}
    assert sorted(found) == ["cine", "gates", "one", "pair", "x"]
    assert [os.path.basename(path) for path in found["gates"].phases] == ["-0.5 s.nii", "0.25 s.nii"]
    assert [os.path.basename(path) for path in found["pair"].phases] == ["p2.nrrd", "p10.nrrd"]
    assert found["cine"].sequence == str(tmp_path / "cine")
    assert found["one"].sequence.endswith("4d.nii.gz")


def test_results_within_the_cases_are_no_cases(tmp_path):
    for name in ("ann/0.nii", "ann/1.nii", "results/ann.seq.nrrd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [case.name for case in find_cases(str(tmp_path), str(tmp_path / "results"))] == ["ann"]
    with pytest.raises(InputError, match="among the cases"):
        find_cases(str(tmp_path), str(tmp_path / "results" / ".."))


def test_a_patient_in_dicom_is_never_left_out_of_a_folder(tmp_path):
    for name in ("ann/ED/IM0", "ann/ES/IM0", "bob/0/a.dcm", "bob/1/a.dcm", "bob/2/a.dcm", "cat/IM0", "dan/readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_cases(str(tmp_path)) == [
        Case("ann", (str(tmp_path / "ann" / "ED"), str(tmp_path / "ann" / "ES"))),
        *(Case(name, sequence=str(tmp_path / name)) for name in ("bob", "cat", "dan"))]


@pytest.mark.parametrize("text, words", [
    ("case,phase0,phase1\nann,a.nii,\n", "Row 1"),
    ("case,phase0,phase1\n,a.nii,b.nii\n", "needs a case"),
    ("case,sequence\nx,a.nii\nx,b.nii\n", "Two cases have the name x"),
    ("case,sequence\nAnn,a.nii\nann,b.nii\n", "Two cases have the name ann"),
    ("case,sequence\n../x,a.nii\n", "becomes a file name"),
    ("case,sequence\nx: 2,a.nii\n", "becomes a file name"),
    ("case,sequence\n", "no case"),
])
def test_a_table_that_makes_no_sense_is_refused_in_one_sentence(text, words, tmp_path, capsys):
    table = tmp_path / "cases.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=words):
        find_cases(str(table))
    assert batch.main([str(table), str(tmp_path / "results")]) == 2
    assert not (tmp_path / "results").exists()


class Result:
    """What a run of 3 frames leaves in a folder, as far as the next run looks at it."""

    def __init__(self, folder, weights: str) -> None:
        self.files = CaseFiles(str(folder), "c", ".seq.nrrd")
        self.output, self.report = folder / "c.seq.nrrd", folder / "c.json"
        self.settings = InterpolationSettings(frames=3, weights=weights)

    def make(self, case: Case, **changed) -> None:
        self.output.touch()
        self.report.write_text(json.dumps({
            "settings": as_reported(self.settings), "frames": [], "inputs": case.digest,
            "weights": {"sha256": checksum(locate(self.settings.weights))}, **changed}))

    def stands(self, case: Case, **settings) -> bool:
        with contextlib.suppress(WeightsError):  # weights that are not there end a batch before its first case
            wanted = Wanted.of(dataclasses.replace(self.settings, **settings))
            return wanted.done_report(case.digest, self.files) is not None
        return False


@pytest.fixture
def result(tmp_path, weights) -> Result:
    return Result(tmp_path, weights)


def test_a_result_of_other_settings_or_images_or_of_none_that_are_there_does_not_count_as_done(tmp_path, result):
    for name in ("ed.nrrd", "es.nrrd", "other.nrrd"):
        (tmp_path / name).touch()
    ed, es, other = (str(tmp_path / name) for name in ("ed.nrrd", "es.nrrd", "other.nrrd"))
    case = Case("c", (ed, es))
    result.make(case)
    assert result.stands(case)
    assert not result.stands(case, frames=4)
    os.utime(other, (1, 1))
    assert not result.stands(Case("c", (ed, other))), "another image, however old"
    assert not result.stands(Case("c", (es, ed))), "the way back"
    os.utime(es, (1, 1))
    assert not result.stands(case), "an image put there since"
    os.remove(es)
    assert not result.stands(case)


def test_a_result_of_weights_that_have_been_renewed_since_does_not_count_as_done(tmp_path, weights, result):
    (tmp_path / "i.nrrd").touch()
    case = Case("c", sequence=str(tmp_path / "i.nrrd"))
    result.make(case)
    (tmp_path / "weights").mkdir()
    renewed = tmp_path / "weights" / os.path.basename(weights)
    for content, stands in ((locate(weights).read_bytes(), True), (b"others of this name", False)):
        renewed.write_bytes(content)
        assert result.stands(case, weights=str(renewed)) is stands
    os.remove(renewed)
    assert not result.stands(case, weights=str(renewed))


def test_a_summary_that_cannot_be_written_is_said_and_the_batch_goes_on(scene, weights, tmp_path, capsys):
    cases, results = tmp_path / "cases", tmp_path / "results"
    cases.mkdir()
    for name in ("a", "b"):
        write_case(scene, cases / name, seed=1)
    (results / "summary.csv").mkdir(parents=True)  # as good as locked: it cannot be opened
    assert batch.main([str(cases), str(results), "--frames", "1", "--auxiliary", "none", "--weights", weights,
                       "--device", "cpu"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said if "done in" in line] == ["[1/2] a", "[2/2] b"]
    assert sum("summary.csv cannot be written" in line for line in said) == 2


def test_slicer_is_left_with_status_2_even_where_the_batch_breaks(tmp_path, monkeypatch, capsys):
    def broken() -> None:
        raise RuntimeError("unforeseen")

    (tmp_path / "x.nrrd").touch()
    statuses = []
    monkeypatch.setattr(batch.dependencies, "check", broken)
    monkeypatch.setattr(slicer.util, "exit", statuses.append, raising=False)
    monkeypatch.setattr(sys, "argv", ["batch.py", str(tmp_path), str(tmp_path / "results")])
    runpy.run_path(batch.__file__, run_name="__main__")
    assert statuses == [2]
    assert "unforeseen" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("IM0", "IM1"), ("series0/IM0.dcm", "series1/IM0.dcm"), ("x.nrrd", "series/IM0")])
def test_a_case_that_is_a_folder_of_dicom_files_is_done_until_one_of_them_changes(names, tmp_path, result):
    images = tmp_path / "dicom"
    for name in names:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    case = Case("c", sequence=str(images))
    result.make(case)
    assert result.stands(case)
    os.utime(images / names[-1], (1, 1))
    assert not result.stands(case)


@pytest.mark.parametrize("spoilt", [{"frames": None}, {"weights": None}, {"inputs": None}],
                         ids=["without frames", "without weights", "of an earlier version"])
def test_a_report_that_is_none_does_not_count_as_done(spoilt, tmp_path, result):
    (tmp_path / "i.nrrd").touch()
    case = Case("c", sequence=str(tmp_path / "i.nrrd"))
    result.make(case, **spoilt)
    assert not result.stands(case)
    (tmp_path / "c.json").write_text("[]")
    assert not result.stands(case)
