"""`ttt4d slices`: what a user gets for good input, judged by SimpleITK and nibabel; what is refused; what stops it."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from shell import OBLIQUE, files_in, thick_volume, written
from ttt4d.commands import cli, slices_inputs
from ttt4d.images import output_paths
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry, Volume
from ttt4d.through_plane import classical
from ttt4d.through_plane.grid import with_more_slices
from ttt4d.through_plane.profile import projection_matrix

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]


@pytest.fixture(autouse=True)
def in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fill(slice_weights):
    def run(*arguments: str) -> None:
        assert cli.run(["slices", *arguments, "--weights", slice_weights]) == 0
    return run


def voxels(path: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


# -- what comes out ----------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(count=st.integers(3, 6), axis=st.integers(0, 2), factor=st.sampled_from([1.5, 2, 2.6, 3, 5]),
       flip=st.booleans(), ending=st.sampled_from([".nrrd", ".nii.gz", ".nii"]))
def test_the_first_and_last_slice_keep_their_places_in_the_world(count, axis, factor, flip, ending, tmp_path_factory,
                                                                 slice_weights):
    folder = tmp_path_factory.mktemp("place")
    direction = tuple(tuple(-v for v in row) for row in OBLIQUE) if flip else OBLIQUE
    given_path = written(str(folder / f"in{ending}"), shape=(count, 9, 8), axis=axis, direction=direction)
    output = str(folder / f"out{ending}")
    assert cli.run(["slices", given_path, "-o", output, "--factor", str(factor), "--slices", "gap", "--auxiliary",
                    "none", "--weights", slice_weights]) == 0
    before, after = sitk.ReadImage(given_path), sitk.ReadImage(output)
    last, new_last = ([size - 1 for size in image.GetSize()] for image in (before, after))
    for old, new in (([0, 0, 0], [0, 0, 0]), (last, new_last)):
        np.testing.assert_allclose(after.TransformIndexToPhysicalPoint(new), before.TransformIndexToPhysicalPoint(old),
                                   atol=1e-3)
    np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-5)
    assert new_last[2 - axis] == max(round((count - 1) * factor), count)
    if ending != ".nrrd":
        image = nibabel.load(output)
        corner = image.affine @ [*new_last, 1]
        np.testing.assert_allclose(corner[:3] * (-1, -1, 1), before.TransformIndexToPhysicalPoint(last), atol=1e-3)


@given(st.floats(0.1, 20), st.integers(3, 60), st.sampled_from([1.5, 2, 2.5, 2.6, 3]))
@example(2.1136426709435807, 4, 1.5)
def test_the_number_of_slices_follows_from_the_factor_whatever_their_spacing(spacing, slices, factor):
    grid, _ = with_more_slices(Geometry((slices, 8, 8), (spacing, 1.0, 1.0)), 0, factor)
    assert grid.shape[0] - 1 == max(round((slices - 1) * factor), slices)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_acquired_slices_with_gaps_come_back_bit_for_bit_in_every_scalar_type(dtype, ending, fill):
    path = written(f"in{ending}", dtype=dtype)
    fill(path, "-o", f"out{ending}", "--factor", "3", "--slices", "gap", "--iterations", "1")
    result = voxels(f"out{ending}")
    assert result.dtype == voxels(path).dtype
    np.testing.assert_array_equal(result[::3], voxels(path))
    assert all(result[n].any() for n in range(len(result)))


def test_a_factor_that_is_no_whole_number_keeps_the_slices_that_new_ones_fall_on(fill):
    fill(written("in.nrrd"), "-o", "out.nrrd", "--factor", "1.5", "--slices", "gap", "--auxiliary", "none")
    np.testing.assert_array_equal(voxels("out.nrrd")[::3], voxels("in.nrrd")[::2])
    assert sitk.ReadImage("out.nrrd").GetMetaData("ttt4d.slices") == "0 3 6"


def test_the_header_tells_the_acquired_slices_and_where_the_result_comes_from(fill):
    fill(written("in.nrrd", axis=2), "-o", "out.nrrd", "--factor", "2", "--slices", "gap", "--auxiliary", "none")
    header = sitk.ReadImage("out.nrrd")
    assert (header.GetMetaData("ttt4d.slices"), header.GetMetaData("ttt4d.slices.axis")) == ("0 2 4 6 8", "i")
    assert header.GetMetaData("ttt4d.frame") == "synthetic"
    assert header.GetMetaData("ttt4d.weights") == "small-slices.safetensors"
    assert "Not for clinical use" in header.GetMetaData("ttt4d.notice")


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz"])
def test_a_result_is_not_taken_for_an_acquired_volume(ending, fill, tmp_path, capfd, slice_weights):
    fill(written("in.nrrd"), "-o", f"thin{ending}", "--factor", "2", "--auxiliary", "none")
    refused(capfd, slice_weights, "was computed, not measured", f"thin{ending}", "-o", "again.nrrd", "--factor", "2",
            "--force")


def test_a_spacing_that_does_not_divide_the_extent_is_rounded_and_said(fill, capsys):
    fill(written("in.nrrd"), "-o", "out.nrrd", "--spacing", "2.5", "--auxiliary", "none")
    assert sitk.ReadImage("out.nrrd").GetSpacing()[2] == pytest.approx(2.4)  # 24 mm in 10 steps
    assert "The spacing of the new slices is 2.4 mm, not 2.5 mm" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_voxels(fill):
    for name in ("a.nrrd", "b.nrrd"):
        fill(written("in.nrrd"), "-o", name, "--factor", "2", "--iterations", "2", "--seed", "7")
    np.testing.assert_array_equal(voxels("a.nrrd"), voxels("b.nrrd"))


def test_thick_slices_are_all_computed_and_the_result_through_the_profile_gives_them_again(fill):
    fine = thick_volume((41, 20, 22), (1.0, 1.5, 1.2), "float32", direction=OBLIQUE)
    centres = torch.arange(0, 41, 5.0)
    project = projection_matrix(torch.arange(41.0), centres, 5.0)
    acquired = classical.apply(project, torch.from_numpy(fine.array)).numpy()
    grid = Geometry(acquired.shape, (5.0, 1.5, 1.2), fine.geometry.origin, OBLIQUE)
    sitk.WriteImage(to_sitk(Volume(acquired, grid)), "in.nrrd")
    fill("in.nrrd", "-o", "out.nrrd", "--factor", "5", "--slices", "thick", "--thickness", "5", "--auxiliary", "none")
    again = classical.apply(project, torch.from_numpy(voxels("out.nrrd"))).numpy()
    assert sitk.ReadImage("out.nrrd").GetMetaData("ttt4d.slices") == "none"
    noise = np.abs(acquired - fine.array[::5]).mean()
    assert np.abs(again - acquired)[1:-1].mean() < noise


@pytest.mark.parametrize("thickness, kind", [(6.0, "thick"), (1.0, "gap")])
def test_the_thickness_in_the_header_decides_between_gap_and_thick_and_it_is_said(thickness, kind, fill, capsys):
    written("plain.nrrd")
    text = open("plain.nrrd", "rb").read()
    header, data = text.split(b"\n\n", 1)
    with open("in.nrrd", "wb") as file:
        file.write(header + f"\nthicknesses: nan nan {thickness}\n\n".encode() + data)
    fill("in.nrrd", "-o", "out.nrrd", "--factor", "2", "--auxiliary", "none", "--report", "report.json")
    assert json.load(open("report.json"))["slices"]["kind"] == kind
    assert f"{thickness:g} mm thick at a spacing of 6 mm, as the file says" in capsys.readouterr().err


def test_a_thickness_that_no_header_tells_is_estimated_and_it_is_said(fill, capsys):
    fill(written("in.nii.gz"), "-o", "out.nii.gz", "--factor", "2", "--auxiliary", "none")
    assert "as estimated from the blur across them" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["out.seq.nrrd", "out.nii.gz", "out"])
def test_a_sequence_is_filled_in_frame_by_frame(output, fill):
    phases = [to_sitk(thick_volume(seed=seed)) for seed in range(3)]
    sitk.WriteImage(sitk.JoinSeries(phases), "cine.nii.gz")
    fill("cine.nii.gz", "-o", output, "--factor", "2", "--slices", "gap", "--iterations", "1", "--report", "r.json")
    if output == "out":
        results = [voxels(f"out/frame_{n:03d}.nrrd") for n in range(3)]
    elif output == "out.seq.nrrd":
        results = np.moveaxis(voxels(output), -1, 0)
    else:
        results = voxels(output)
    assert len(results) == 3
    for phase, result in zip(phases, results):
        np.testing.assert_array_equal(result[::2], sitk.GetArrayFromImage(phase))
    assert len(json.load(open("r.json"))["frames"]) == 3


def test_the_preview_shows_the_cut_before_and_after(fill):
    fill(written("in.nrrd"), "-o", "out.nrrd", "--factor", "3", "--auxiliary", "none", "--preview", "cut.png")
    picture = Image.open("cut.png")
    assert picture.width > 150 and len(picture.convert("L").getcolors(1000)) > 30


# -- labels ------------------------------------------------------------------------------------------------------------


def ball(shape, spacing, radius=18.0, value=3) -> np.ndarray:
    k, j, i = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing)), indexing="ij")
    return np.where(k**2 + j**2 + i**2 < radius**2, value, 0).astype(np.uint8)


def test_labels_follow_the_shape_between_slices_and_stay_on_acquired_ones(fill):
    volume = thick_volume((9, 40, 40), (5.0, 1.2, 1.2))
    sitk.WriteImage(to_sitk(volume), "in.nrrd")
    labels = ball((9, 40, 40), (5.0, 1.2, 1.2))
    labels[labels == 3] += (np.arange(40) > 20).astype(np.uint8)[None, None, :].repeat(9, 0).repeat(40, 1)[labels == 3]
    sitk.WriteImage(to_sitk(Volume(labels, volume.geometry)), "organs.nii.gz")
    fill("in.nrrd", "-o", "out.nrrd", "--factor", "5", "--auxiliary", "none", "--labels", "organs.nii.gz",
         "--labels-out", "new.nii.gz")
    result = voxels("new.nii.gz")
    np.testing.assert_array_equal(result[::5], labels)
    truth = ball((41, 40, 40), (1.0, 1.2, 1.2)) > 0
    found = result > 0
    nearest = labels[np.rint(np.arange(41) / 5).astype(int)] > 0

    def dice(mask):
        return 2 * (truth & mask).sum() / (truth.sum() + mask.sum())

    assert dice(found) > 0.965 > dice(nearest) + 0.01
    assert set(np.unique(result)) == {0, 3, 4}
    assert not ((result == 0) & (sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.GetImageFromArray(
        found.astype(np.uint8)))) == 1)).any()
    np.testing.assert_allclose(sitk.ReadImage("new.nii.gz").GetSpacing(), sitk.ReadImage("out.nrrd").GetSpacing())


def test_a_segmentation_of_slicer_keeps_its_segments(fill):
    volume = thick_volume()
    sitk.WriteImage(to_sitk(volume), "in.nrrd")
    image = to_sitk(Volume((volume.array > 40).astype(np.uint8), volume.geometry))
    for key, value in {"Segmentation_MasterRepresentation": "Binary labelmap", "Segment0_ID": "Segment_1",
                       "Segment0_Name": "lesion", "Segment0_Extent": "0 21 0 19 0 4"}.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, "lesion.seg.nrrd")
    fill("in.nrrd", "-o", "out.nrrd", "--factor", "2", "--auxiliary", "none", "--labels", "lesion.seg.nrrd",
         "--labels-out", "new.seg.nrrd")
    result = sitk.ReadImage("new.seg.nrrd")
    assert result.GetMetaData("Segment0_Name") == "lesion"
    assert result.GetMetaData("Segment0_Extent") == "0 21 0 19 0 8"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(result)[::2], sitk.GetArrayFromImage(image))


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(capfd, weights: str, words: str, *arguments: str, status: int = 2) -> None:
    """The command ends with one sentence that holds the words, and writes nothing."""
    before, _ = files_in("."), capfd.readouterr()
    assert cli.run(["slices", *arguments, "--weights", weights, "--auxiliary", "none"]) == status
    sentence = capfd.readouterr().err.strip()
    assert words in sentence and "\n" not in sentence and sentence.endswith("."), sentence
    assert files_in(".") == before


def thin(path):
    return written(path, shape=(9, 9, 9), spacing=(1.0, 1.0, 1.0))


def with_nan(path):
    volume = thick_volume(dtype="float32")
    volume.array[2, 3, 3] = np.nan
    sitk.WriteImage(to_sitk(volume), path)
    return path


def label_map(path):
    volume = thick_volume()
    sitk.WriteImage(to_sitk(Volume((volume.array > 40).astype(np.uint8), volume.geometry)), path)
    return path


def colour(path):
    sitk.WriteImage(sitk.Compose([to_sitk(thick_volume(dtype="uint8"))] * 3), path)
    return path


VOLUMES = {
    "one slice": ("has only 1 slice along its axis k", lambda p: written(p, shape=(1, 9, 9))),
    "two slices": ("has only 2 slices along its axis k", lambda p: written(p, shape=(2, 9, 9))),
    "thin": ("already thin along its axis k", thin),
    "NaN": ("not numbers (NaN or infinite)", with_nan),
    "label map": ("is a label map", label_map),
    "colour": ("values per voxel", colour),
    "nothing": ("There is no file or folder 'in.nrrd'", lambda p: p),
}


@pytest.mark.parametrize("case", VOLUMES)
def test_a_volume_that_cannot_be_filled_in_is_refused_with_one_sentence(case, capfd, slice_weights):
    words, make = VOLUMES[case]
    refused(capfd, slice_weights, words, make("in.nrrd"), "-o", "out.nrrd", "--factor", "2")


ARGUMENTS = {
    "no factor": ("give either a factor or a spacing", []),
    "factor 1": ("factor is 1.0: choose a number above 1", ["--factor", "1"]),
    "negative spacing": ("spacing is -1.0: choose a number above 0", ["--spacing", "-1"]),
    "spacing of the input": ("The slice spacing of 6 mm is not between 0 and the 6 mm", ["--spacing", "6"]),
    "no thickness": ("thickness is 0.0: choose a number above 0", ["--factor", "2", "--thickness", "0"]),
    "no axis": ("Unknown axis 'x'", ["--factor", "2", "--axis", "x"]),
    "no kind": ("Unknown kind of slices 'thin'", ["--factor", "2", "--slices", "thin"]),
    "both": ("not allowed with argument", ["--factor", "2", "--spacing", "1"]),
    "labels alone": ("give labels together with labels-out", ["--factor", "2", "--labels", "in.nrrd"]),
    "sequence name": ("does not say in which format one volume is written", ["--factor", "2", "-o", "out.seq.nrrd"]),
    "no ending": ("does not say in which format one volume is written", ["--factor", "2", "-o", "out.png"]),
    "DICOM": ("would be a DICOM series", ["--factor", "2", "-o", "out.dcm"]),
    "over the input": ("is one of the inputs", ["--factor", "2", "-o", "in.nrrd"]),
    "no folder": ("does not exist", ["--factor", "2", "-o", "missing/out.nrrd"]),
    "temporal weights": ("weights", ["--factor", "2", "--weights", "cardiac"]),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_argument_that_makes_no_sense_is_refused_with_one_sentence(case, capfd, slice_weights):
    words, arguments = ARGUMENTS[case]
    weights = "cardiac" if "cardiac" in arguments else slice_weights
    refused(capfd, weights, words, written("in.nrrd"), *([] if "-o" in arguments else ["-o", "out.nrrd"]), *arguments)


def test_force_fills_in_slices_that_are_already_thin(fill):
    fill(thin("in.nrrd"), "-o", "out.nrrd", "--factor", "2", "--auxiliary", "none", "--force")
    assert sitk.ReadImage("out.nrrd").GetSize() == (9, 9, 17)


def test_labels_on_another_grid_are_refused(capfd, slice_weights):
    label_map("organs.nrrd")
    refused(capfd, slice_weights, "is on another grid than 'in.nrrd'", written("in.nrrd", shape=(6, 20, 22)), "-o",
            "out.nrrd", "--factor", "2", "--labels", "organs.nrrd", "--labels-out", "new.nrrd")


def test_a_result_that_does_not_fit_in_memory_is_refused_before_the_work(capfd, slice_weights, monkeypatch):
    monkeypatch.setattr(slices_inputs, "available_memory_mib", lambda: 200.0)
    refused(capfd, slice_weights, "GiB of memory", written("in.nrrd"), "-o", "out.nrrd", "--factor", "2")


def test_a_result_that_does_not_fit_on_the_disk_is_refused_before_the_work(capfd, slice_weights, monkeypatch):
    usage = output_paths.shutil.disk_usage(".")
    monkeypatch.setattr(output_paths.shutil, "disk_usage", lambda path: usage._replace(free=6000))
    refused(capfd, slice_weights, "but the disk has only", written("in.nrrd"), "-o", "out.nrrd", "--factor", "2")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(capfd, slice_weights, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(capfd, slice_weights, "cannot be written", written("in.nrrd"), "-o", "locked/out.nrrd", "--factor", "2")


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a file system that nobody may write to")
@pytest.mark.parametrize("option", ["-o", "--report", "--preview", "--labels-out"])
def test_a_file_system_that_is_read_only_is_refused_before_the_work(option, capfd, slice_weights):
    ending = {"--report": "json", "--preview": "png"}.get(option, "nrrd")
    arguments = [option, f"/sys/kernel/out.{ending}"] + (["-o", "out.nrrd"] if option != "-o" else [])
    if option == "--labels-out":
        arguments += ["--labels", label_map("organs.nrrd")]
    refused(capfd, slice_weights, "cannot be written", written("in.nrrd"), "--factor", "2", *arguments)


def test_every_setting_is_an_argument(capsys):
    assert cli.run(["slices", "--help"]) == 0
    text = capsys.readouterr().out
    for name in ("factor", "spacing", "axis", "slices", "thickness", "force", "auxiliary", "scheme", "labels-out"):
        assert f"--{name}" in text
