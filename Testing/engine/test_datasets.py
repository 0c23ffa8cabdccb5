import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ttt4d.errors import InputError
from ttt4d.images.datasets import LUNG_SIZE, open_data, unit_range

DATA = Path(os.environ.get("TTT4D_DATA", Path(__file__).parents[3] / "shared" / "data"))


def write_patient(folder, number, spacing=(1.5, 1.4, 10.0), ed=1, es=4, frames=6, size=(3, 5, 4)):
    patient = folder / f"patient{number}"
    patient.mkdir(parents=True)
    (patient / "Info.cfg").write_text(f"ED: {ed}\nES: {es}\nGroup: NOR\nHeight: 180.0\nNbFrame: {frames}\n")
    array = np.arange(frames * np.prod(size), dtype=np.int16).reshape(frames, *size)
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((*spacing, 1.0))
    sitk.WriteImage(image, str(patient / f"patient{number}_4d.nii.gz"))
    return array


def test_a_full_acdc_download_is_split_nine_to_one_by_sorted_name(tmp_path):
    for n in range(1, 11):
        write_patient(tmp_path / "training", f"{n:03d}")
    data = open_data(tmp_path)
    assert data.protocol == "acdc-paper"
    assert [case.name for case in data.split("test")] == ["010"]
    assert [case.name for case in data.split("train")] == [f"{n:03d}" for n in range(1, 10)]


def test_a_case_gives_its_frames_slice_row_column_and_the_times_between_ed_and_es(tmp_path):
    array = write_patient(tmp_path, "007")
    (case,) = open_data(tmp_path).cases(["007"])
    assert np.array_equal(case.frames(), array)
    assert case.spacing == pytest.approx((10.0, 1.4, 1.5))
    assert (case.first, case.last, case.between) == (0, 3, (1, 2))
    assert case.times == pytest.approx((1 / 3, 2 / 3))


def test_time_runs_backwards_where_es_comes_before_ed(tmp_path):
    write_patient(tmp_path, "007", ed=5, es=2)
    (case,) = open_data(tmp_path).cases(["007"])
    assert case.between == (3, 2)
    assert case.times == pytest.approx((1 / 3, 2 / 3))


def test_a_spacing_of_one_millimetre_each_way_is_unknown(tmp_path):
    write_patient(tmp_path, "007", spacing=(1.0, 1.0, 1.0))
    (case,) = open_data(tmp_path).cases(["007"])
    assert case.spacing is None


def test_the_index_decides_splits_and_spacing_where_there_is_one(tmp_path):
    for number in ("001", "002"):
        write_patient(tmp_path, number, spacing=(1.0, 1.0, 1.0))
    (tmp_path / "index.csv").write_text(
        "patient,split,sx,sy,sz,spacing_known\n001,validation,1.3,1.2,10.0,yes\n002,train,1.0,1.0,1.0,no\n")
    data = open_data(tmp_path)
    assert data.protocol == "crop"
    assert data.split("validation")[0].spacing == (10.0, 1.2, 1.3)
    assert data.split("train")[0].spacing is None


def test_a_sequence_is_cut_at_the_frame_least_like_the_first(tmp_path):
    rng = np.random.default_rng(0)
    start, end = rng.random((2, 4, 5, 6), dtype=np.float32)
    frames = [start + (end - start) * w for w in (0, 0.4, 0.8, 1, 0.7, 0.3, 0.1)]
    sitk.WriteImage(sitk.GetImageFromArray(np.stack(frames), isVector=False), str(tmp_path / "heart.nii.gz"))
    (tmp_path / "heart_seg.nii.gz").write_bytes(b"never read")
    cases = open_data(tmp_path).split("test")
    assert [(case.first, case.last) for case in cases] == [(0, 3), (3, 6)]


@pytest.mark.parametrize("name,value", [("split", "validation"), ("case", "099")])
def test_an_unknown_split_or_case_is_refused_with_the_names_there_are(tmp_path, name, value):
    write_patient(tmp_path, "007")
    data = open_data(tmp_path)
    with pytest.raises(InputError, match="There is no"):
        data.split(value) if name == "split" else data.cases([value])


def test_a_folder_in_no_known_layout_is_refused(tmp_path):
    with pytest.raises(InputError, match="no layout known"):
        open_data(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_data(tmp_path / "nowhere")


def test_a_damaged_image_is_refused_without_naming_the_folder(tmp_path):
    write_patient(tmp_path, "007")
    (tmp_path / "patient007" / "patient007_4d.nii.gz").write_text("not an image")
    with pytest.raises(InputError, match="patient007_4d.nii.gz cannot be read"):
        open_data(tmp_path)


def write_phase(folder, number, shift):
    """A DICOM series in the layout of TCIA: a body with two lungs that end `shift` slices lower, on a bed."""
    folder.mkdir(parents=True)
    k, j, i = np.indices((16, 40, 40))
    array = np.full(k.shape, -1000, np.int16)
    array[((i - 16) / 11.0) ** 2 + ((j - 17) / 9.0) ** 2 < 1] = 40
    for side in (11, 21):
        array[(((i - side) / 3.5) ** 2 + ((j - 17) / 5.0) ** 2 < 1) & (k > 4 + shift)] = -850
    array[:, 34:36, 4:36] = 100
    for s, slice_array in enumerate(array):
        image = sitk.GetImageFromArray(slice_array[None])
        image.SetSpacing((2.0, 2.0, 3.0))
        values = {"0008|0060": "CT", "0020|000e": f"1.2.826.0.1.{number}", "0020|000d": "1.2.826.0.1",
                  "0020|0032": f"0\\0\\{3.0 * s}", "0020|0037": "1\\0\\0\\0\\1\\0", "0020|0013": str(s + 1),
                  "0028|1052": "-1000", "0028|1053": "1"}
        for key, value in values.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"1-{s + 1:02d}.dcm"))
        writer.Execute(image)


def test_4d_lung_is_read_as_tcia_hands_it_out_and_preprocessed_as_published(tmp_path):
    study = tmp_path / "100_HM10395" / "07-02-2003-NA-p4-14571"
    for phase in range(10):
        gate = f"Gated {phase * 10}.0A"
        write_phase(study / f"1.000000-P4P100S300I0000{phase} {gate}-{29193 - phase}", phase, min(phase, 10 - phase))
    (tmp_path / "100_HM10395" / "07-05-2003-NA-cone-beam").mkdir()
    data = open_data(tmp_path)
    assert data.protocol == "lung-paper"
    (case,) = data.cases(["100_0"])
    assert (case.first, case.last, case.between) == (0, 5, (1, 2, 3, 4))
    frames = case.frames()
    assert frames.shape == (10, LUNG_SIZE, LUNG_SIZE, LUNG_SIZE)
    assert frames.min() >= -1400 and frames.max() <= 200
    lung = ((frames > -950) & (frames < -750)).sum(axis=(1, 2, 3))
    assert lung[0] > lung[2] > lung[5], "the phases are not in the order of their gates"
    body = np.flatnonzero((frames[0] > -500).any(axis=(0, 1)))
    assert abs((body[0] + body[-1]) / 2 - (LUNG_SIZE - 1) / 2) <= 1, "the body is not in the middle"
    assert frames[0][:, -20:].max() == -1400, "the bed is still there"


def test_a_frame_is_scaled_by_its_own_minimum_and_maximum():
    frame = unit_range(np.array([[[-3, 5], [1, 1]]], np.int16))
    assert frame.dtype == np.float32 and frame.tolist() == [[[0, 1], [0.5, 0.5]]]
    assert unit_range(np.full((1, 2, 2), 7)).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.skipif(not (DATA / "acdc").is_dir(), reason="real data are absent: set TTT4D_DATA to their folder")
def test_the_real_cases_are_all_there_and_fit_their_descriptions():
    data = open_data(DATA)
    assert {name: len(cases) for name, cases in data.splits.items()} == {"train": 73, "validation": 10}
    (case,) = data.cases(["090"])
    assert case.frames().shape == (12, 6, 95, 100) and case.between == (4, 5, 6, 7, 8, 9)
