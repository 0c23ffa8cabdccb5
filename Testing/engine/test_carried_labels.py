"""Labels carried through the frames from the command line, with the table of their volumes and the maps."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
import SimpleITK as sitk

from shell import SMALL, files_in
from ttt4d.commands.job import Job
from ttt4d.commands.labels_input import read_labels
from ttt4d.commands.request import Request
from ttt4d.errors import GeometryError, InputError, OutputError, SettingsError
from ttt4d.images.readers import read_sequence
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry, Volume
from ttt4d.motion.carry import LabelCarrier
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.phantom import beating_heart

MAPS = ["confidence", "displacement", "jacobian", "strain_1", "strain_2", "strain_3"]
NAMES = {"Segment0_Name": "left ventricle", "Segment0_LabelValue": "3", "Segment0_Color": "1 0 0",
         "Segment0_Extent": "0 9 0 9 0 9", "Segmentation_ReferenceImageExtentOffset": "0 0 0"}


def drawn(grid: Geometry = SMALL) -> np.ndarray:
    """Label 3 in a ball, label 1 in a ring around it, on any grid of the same space."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    middle = SMALL.index_to_world((np.asarray(SMALL.shape) - 1) / 2)
    distance = np.linalg.norm(grid.index_to_world(index) - middle, axis=-1)
    return np.select([distance < 18, distance < 28], [3, 1], 0).astype(np.uint8)


def write(path, array, grid: Geometry = SMALL, metadata=()) -> str:
    image = to_sitk(Volume(array, grid))
    for key, value in dict(metadata).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path))
    return str(path)


@pytest.fixture
def run(pair, small_weights, tmp_path, monkeypatch):
    """run(request values): the report of a run on two phases with one frame between."""
    monkeypatch.chdir(tmp_path)

    def job(settings=None, **values):
        chosen = {"weights": small_weights, "frames": 1, "device": "cpu", "adaptation": {"auxiliary": "none"},
                  **(settings or {})}
        request = Request(**{"output": "out.seq.nrrd", "phases": tuple(pair), **values},
                          settings=InterpolationSettings.from_json(chosen))
        return Job(request).run(lambda progress: None, lambda *frame: None, lambda: False)

    return job


def test_labels_table_and_maps_are_written_and_agree(run, tmp_path):
    labels = write("heart.seg.nrrd", drawn(), metadata=NAMES)
    report = run(labels=labels, carried="carried", volumes="ml.csv", maps="maps", report="r.json", displacements="d")
    frames = [sitk.ReadImage(f"carried/frame_{n:03d}.nrrd") for n in range(3)]
    arrays = [sitk.GetArrayFromImage(frame) for frame in frames]
    assert np.array_equal(arrays[0], drawn())
    for number in (1, 2):
        millimetres = sitk.GetArrayFromImage(sitk.ReadImage(f"d/displacement_{number:03d}.nrrd"))
        voxels = millimetres @ np.linalg.inv(SMALL.matrix).T
        expected = LabelCarrier(drawn(), SMALL.spacing).carry(voxels)
        assert np.count_nonzero(arrays[number] != expected) <= 2, "the labels follow the field that is written"
    assert all(a.dtype == np.uint8 and set(np.unique(a)) == {0, 1, 3} for a in arrays)
    assert [frame.GetMetaData("ttt4d.frame") for frame in frames] == ["acquired", "synthetic", "synthetic"]
    assert frames[1].GetMetaData("Segment0_Name") == "left ventricle"
    assert frames[1].GetMetaData("Segment0_Extent") == "0 23 0 23 0 4"
    assert "Not for clinical use" in frames[1].GetMetaData("ttt4d.notice")

    voxel = np.prod(SMALL.spacing) / 1000
    with open("ml.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["name"], row["frame"]) for row in rows] == [
        *[("1", "", str(n)) for n in range(3)], *[("3", "left ventricle", str(n)) for n in range(3)]]
    for row in rows:
        count = np.count_nonzero(arrays[int(row["frame"])] == int(row["label"]))
        assert float(row["volume_ml"]) == pytest.approx(count * voxel, abs=1e-3)
    assert [entry["ml"] for entry in report["volumes"]] == [
        [float(row["volume_ml"]) for row in rows[start:start + 3]] for start in (0, 3)]
    assert json.load(open("r.json"))["volumes"] == report["volumes"]
    assert report["motion"][0]["pace"][-1] == [1.0, 1.0] and "folded_percent" in report["motion"][0]

    assert sorted(os.listdir("maps")) == MAPS
    maps = {name: [sitk.GetArrayFromImage(sitk.ReadImage(f"maps/{name}/frame_{n:03d}.nrrd")) for n in range(3)]
            for name in MAPS}
    assert all(m.dtype == np.float32 and m.shape == SMALL.shape for frames in maps.values() for m in frames)
    assert not maps["displacement"][0].any() and (maps["jacobian"][0] == 1).all()
    assert maps["displacement"][2].max() > 0
    assert 0 <= min(m.min() for m in maps["confidence"]) and max(m.max() for m in maps["confidence"]) <= 1


def test_the_frames_are_the_same_bit_for_bit_with_and_without_what_the_motion_gives(run):
    run()
    alone = [phase.array for phase in read_sequence("out.seq.nrrd").phases]
    run(output="again.seq.nrrd", labels=write("l.nrrd", drawn()), carried="l.seq.nrrd", maps="maps", displacements="d")
    again = [phase.array for phase in read_sequence("again.seq.nrrd").phases]
    assert all(np.array_equal(a, b) for a, b in zip(alone, again))


@pytest.mark.parametrize("cyclic, frames", [(False, 5), (True, 6)])
def test_labels_are_carried_through_a_sequence_and_a_cycle_in_every_format(run, pair, cyclic, frames):
    phases = beating_heart((0, 0.5, 1), SMALL)[0]
    for number, phase in enumerate(phases):
        write(f"phase{number}.nrrd", phase.array)
    paths = tuple(f"phase{number}.nrrd" for number in range(3))
    run({"cyclic": cyclic}, phases=paths, labels=write("l.nii.gz", drawn()), carried="l.nii.gz.seq.nrrd",
        volumes="ml.csv")
    run({"cyclic": cyclic}, phases=paths, output="two", labels="l.nii.gz", carried="carried.nii.gz")
    one = sitk.GetArrayFromImage(sitk.ReadImage("carried.nii.gz"))
    two = np.moveaxis(sitk.GetArrayFromImage(sitk.ReadImage("l.nii.gz.seq.nrrd")), -1, 0)
    assert len(one) == frames and np.array_equal(one, two)
    assert set(np.unique(one)) == {0, 1, 3}


def test_labels_on_another_grid_are_resampled_and_it_is_said(run):
    finer = Geometry((9, 48, 40), (4.0, 2.5, 3.0), SMALL.origin)
    report = run(labels=write("fine.nrrd", drawn(finer), finer), carried="l.seq.nrrd")
    assert any("'fine.nrrd' is on another grid" in message for message in report["messages"])
    first = np.moveaxis(sitk.GetArrayFromImage(sitk.ReadImage("l.seq.nrrd")), -1, 0)[0]
    assert np.count_nonzero(first != drawn()) < 0.1 * np.count_nonzero(drawn())


def noise(dtype, high):
    return np.random.default_rng(0).integers(0, high, SMALL.shape).astype(dtype)


def with_nan():
    labels = drawn().astype(np.float32)
    labels[0, 0, 0] = np.nan
    return labels


@pytest.mark.parametrize("array, error, words", [
    (lambda: np.zeros(SMALL.shape, np.uint8), InputError, "holds no label, only background"),
    (lambda: noise(np.uint16, 2000), InputError, "more than the 254 labels"),
    (lambda: noise(np.uint8, 200), InputError, "is an image, not a label map"),
    (with_nan, InputError, "its voxels are not whole numbers"),
    (lambda: drawn() * np.float32(0.5), InputError, "its voxels are not whole numbers"),
    (lambda: drawn().astype(np.int16) - 2, InputError, "holds the value -2, which is no number of a label"),
])
def test_what_is_no_label_map_is_one_sentence_and_leaves_nothing_behind(run, tmp_path, array, error, words):
    labels = write("l.nrrd", array())
    before = files_in(tmp_path)
    with pytest.raises(error, match=words) as found:
        run(labels=labels, carried="carried", volumes="ml.csv", maps="maps")
    assert "'l.nrrd'" in str(found.value) and files_in(tmp_path) == before


def test_labels_of_another_place_are_refused(run):
    far = Geometry(SMALL.shape, SMALL.spacing, (500.0, 500.0, 500.0))
    with pytest.raises(GeometryError, match="No label of 'far.nrrd' lies within the first phase"):
        run(labels=write("far.nrrd", drawn(), far), volumes="ml.csv")


@pytest.mark.parametrize("values, error, words", [
    ({"labels": "l.nrrd"}, SettingsError, "something to write"),
    ({"carried": "out"}, SettingsError, "needs a label map"),
    ({"labels": "l.nrrd", "volumes": "ml.txt"}, OutputError, "does not end in .csv"),
    ({"maps": "maps", "report": "maps/r.json"}, OutputError, "folder of the maps would hold another output"),
    ({"labels": "l.nrrd", "carried": "l.dcm"}, OutputError, "holds images, not label maps"),
    ({"labels": "l.nrrd", "carried": "l.nrrd.seq.nrrd", "volumes": "nowhere/ml.csv"}, OutputError, "does not exist"),
    ({"labels": "missing.nrrd", "volumes": "ml.csv"}, InputError, "'missing.nrrd'"),
])
def test_outputs_that_cannot_be_are_one_sentence_before_any_work(run, tmp_path, values, error, words):
    write("l.nrrd", drawn())
    before = files_in(tmp_path)
    with pytest.raises(error, match=words):
        run(**values)
    assert files_in(tmp_path) == before


def test_254_labels_are_read_and_one_more_is_refused(tmp_path):
    grid = Geometry((4, 64, 64), (8.0, 1.5, 1.5))
    k, j, i = np.indices(grid.shape)
    blocks = (64 * k + 8 * (j // 8) + i // 8).astype(np.int16)  # 0 to 255
    labels = read_labels(write(tmp_path / "l.nrrd", np.minimum(blocks, 254), grid), grid, [])
    assert labels.array.dtype == np.uint8 and np.array_equal(labels.array, np.minimum(blocks, 254))
    with pytest.raises(InputError, match="255 different values, more than the 254 labels"):
        read_labels(write(tmp_path / "l.nrrd", blocks, grid), grid, [])
