"""DICOM files of every kind are read with each voxel at its place and with its value, or refused by what they hold.

The judge is pydicom: `truth` places every voxel of every file by the standard's equation, independently of the reader.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.commands import cli
from ttt4d.errors import GeometryError, InputError, UserError
from ttt4d.images.readers import read_sequence, read_volume
from ttt4d.images.sequence import FrameTimes
from ttt4d.images.volume import Geometry, Volume
from ttt4d.images.writers import check_output, open_writer
from ttt4d.temporal.phantom import beating_heart

pydicom = pytest.importorskip("pydicom", minversion="3")  # the engine takes version 2 too, which Python 3.9 has

CT, MR, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1"
NUCLEAR, ULTRASOUND = "1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.3.1"
REPORT, SEGMENTATION = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.66.4"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
NAME = "Secret^Patient"


# -- small data sets ---------------------------------------------------------------------------------------------------


def item(**elements):
    return pydicom.sequence.Sequence([dataset(**elements)])


def dataset(**elements):
    made = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def stored(shape=(4, 6, 5), seed=0, dtype="int16", low=-300, high=1200) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def image(voxels: np.ndarray, sop=MR, series="1.2.826.7", **elements):
    """A data set with the voxels of one frame, shape (rows, columns), or of several (frames, rows, columns)."""
    made = dataset(SOPClassUID=sop, SOPInstanceUID=pydicom.uid.generate_uid(), StudyInstanceUID="1.2.826.1",
                   SeriesInstanceUID=series, FrameOfReferenceUID="1.2.826.2", Modality="MR", PatientName=NAME,
                   PatientID="4711", StudyDescription="Heart", SeriesNumber=3, PixelSpacing=[1.5, 1.25],
                   SliceThickness=8, ImageOrientationPatient=list(AXIAL), SamplesPerPixel=1,
                   PhotometricInterpretation="MONOCHROME2", Rows=voxels.shape[-2], Columns=voxels.shape[-1],
                   BitsAllocated=8 * voxels.itemsize, BitsStored=8 * voxels.itemsize, HighBit=8 * voxels.itemsize - 1,
                   PixelRepresentation=int(voxels.dtype.kind == "i"))
    if voxels.ndim == 3:
        made.NumberOfFrames = len(voxels)
    made.PixelData = voxels.astype(voxels.dtype.newbyteorder("<")).tobytes()
    made["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            made.pop(keyword, None)
        else:
            setattr(made, keyword, value)
    return made


def save(made, path, preamble=True) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    if preamble:
        made.file_meta = meta
        pydicom.dcmwrite(path, made, enforce_file_format=True)
    else:
        pydicom.dcmwrite(path, made, implicit_vr=True, little_endian=True)
    return str(path)


def place(k: int, step=8.0, axes=AXIAL, first=(-30.0, 20.0, 5.0)) -> List[float]:
    normal = np.cross(axes[:3], axes[3:])
    return [round(float(x), 6) for x in np.asarray(first) + step * k * normal]


def series(folder, volume: np.ndarray, name="IM{:03d}", each=lambda k: {}, preamble=True, **elements):
    """One file a slice, stored in the opposite of the order in space."""
    for k, voxels in enumerate(volume):
        words = {"ImagePositionPatient": place(k), "InstanceNumber": k + 1, **elements, **each(k)}
        save(image(voxels, **words), Path(folder) / name.format(len(volume) - k), preamble)
    return str(folder)


def enhanced(path, frames: Sequence[np.ndarray], groups: Sequence[Dict], sop=ENHANCED_MR, axes=AXIAL, spacing=8.0,
             **elements):
    """A multi-frame file; groups: for each frame the place (k), then elements of its functional groups by keyword."""
    per_frame = []
    for group in groups:
        group = dict(group)
        content = {keyword: group.pop(keyword) for keyword in list(group)
                   if keyword in ("TemporalPositionIndex", "FrameAcquisitionDateTime", "StackID")}
        made = dataset(PlanePositionSequence=item(ImagePositionPatient=place(group.pop("k"), axes=axes)),
                       FrameContentSequence=item(**content))
        for sequence, inner in group.items():
            setattr(made, sequence, item(**inner))
        per_frame.append(made)
    shared = item(PixelMeasuresSequence=item(PixelSpacing=[1.5, 1.25], SliceThickness=8, SpacingBetweenSlices=spacing),
                  PlaneOrientationSequence=item(ImageOrientationPatient=list(axes)))
    made = image(np.stack(frames), sop, ImageOrientationPatient=None, PixelSpacing=None, SliceThickness=None,
                 SharedFunctionalGroupsSequence=shared,
                 PerFrameFunctionalGroupsSequence=pydicom.sequence.Sequence(per_frame), **elements)
    return save(made, path)


def gated_spect(path, volumes: np.ndarray, **elements):
    """Nuclear medicine: slices and time slots by the frame increment pointer."""
    times, slices = volumes.shape[:2]
    return save(image(volumes.reshape(-1, *volumes.shape[2:]), NUCLEAR, **{
        "Modality": "NM", "ImagePositionPatient": place(0), "SpacingBetweenSlices": 8,
        "FrameIncrementPointer": [0x00540070, 0x00540080], "SliceVector": list(range(1, slices + 1)) * times,
        "TimeSlotVector": [t + 1 for t in range(times) for _ in range(slices)], **elements}), path)


def loop(path, frames: np.ndarray, **elements):
    """A two-dimensional loop, such as of ultrasound, without a place in the patient."""
    return save(image(frames, ULTRASOUND, **{
        "Modality": "US", "ImageOrientationPatient": None, "SliceThickness": None, "FrameTime": 40,
        "FrameIncrementPointer": 0x00181063, **elements}), path)


# -- the judge ---------------------------------------------------------------------------------------------------------


def truth(path) -> List[Tuple[np.ndarray, np.ndarray]]:
    """The LPS positions (rows, columns, 3) and values of every classic file in a folder, by pydicom alone."""
    found = []
    for file in sorted(Path(path).rglob("*")):
        if not file.is_file():
            continue
        made = pydicom.dcmread(file, force=True)
        axes = np.asarray(made.ImageOrientationPatient, dtype=float).reshape(2, 3)
        rows, columns = np.indices((made.Rows, made.Columns))
        positions = (np.asarray(made.ImagePositionPatient, dtype=float)
                     + columns[..., None] * float(made.PixelSpacing[1]) * axes[0]
                     + rows[..., None] * float(made.PixelSpacing[0]) * axes[1])
        found.append((positions, np.asarray(pydicom.pixels.apply_rescale(made.pixel_array, made))))
    return found


def assert_as_pydicom_reads(volume: Volume, path) -> None:
    voxels = truth(path)
    assert volume.array.size == sum(values.size for _, values in voxels)
    for positions, values in voxels:
        index = volume.geometry.world_to_index(positions)
        assert np.abs(index - np.rint(index)).max() < 0.02
        k, j, i = np.rint(index).astype(int).reshape(-1, 3).T
        assert np.array_equal(volume.array[k, j, i], values.ravel())


def refusal(path, read=read_sequence) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    sentence = str(caught.value)
    assert os.path.basename(path) in sentence and "\n" not in sentence and ". " not in sentence
    assert "Secret" not in sentence
    return sentence


# -- order in place ----------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 2**31), st.floats(0.5, 12), st.booleans(),
       st.sampled_from(["int16", "uint16", "uint8", "int32"]), st.data())
def test_every_voxel_has_the_place_and_value_that_pydicom_gives_it(slices, seed, step, scaled, dtype, data):
    generator = np.random.default_rng(seed)
    turned, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    axes = [round(float(x), 9) for x in (*turned[:, 0], *turned[:, 1])]
    low = 0 if dtype.startswith("u") else -100
    volume = generator.integers(low, 120, (slices, 3, 4)).astype(dtype)
    names = data.draw(st.permutations(range(slices)))
    scale = st.tuples(st.sampled_from([1, 2, 0.5, 0.1, 0.0318, 70]), st.sampled_from([0, -1024, 32768, 0.25]))
    with tempfile.TemporaryDirectory() as folder:
        for k, name in enumerate(names):
            words = {}
            if scaled:
                words["RescaleSlope"], words["RescaleIntercept"] = data.draw(scale)
            save(image(volume[k], ImageOrientationPatient=axes, ImagePositionPatient=place(k, step, axes),
                       SliceThickness=step, **words), Path(folder) / f"{name}")
        assert_as_pydicom_reads(read_volume(folder), folder)


@settings(max_examples=20)
@given(st.permutations([(k, t) for k in range(3) for t in range(3)]), st.sampled_from([AXIAL, OBLIQUE]),
       st.sampled_from([ENHANCED_MR, ENHANCED_CT, "1.2.840.10008.5.1.4.1.1.130"]))
def test_frames_of_one_file_are_ordered_by_place_and_time_with_their_own_slopes(order, axes, sop):
    volumes = np.stack([stored((3, 4, 5), seed) for seed in range(3)])
    groups = [{"k": k, "TemporalPositionIndex": t + 1,
               "PixelValueTransformationSequence": {"RescaleSlope": k + 1, "RescaleIntercept": -t, "RescaleType": "US"}}
              for k, t in order]
    with tempfile.TemporaryDirectory() as folder:
        path = enhanced(os.path.join(folder, "a.dcm"), [volumes[t, k] for k, t in order], groups, sop, axes)
        found = read_sequence(path)
    assert len(found.phases) == 3
    for t, phase in enumerate(found.phases):
        for k in range(3):
            at = np.rint(phase.geometry.world_to_index(place(k, axes=axes))).astype(int)
            assert np.array_equal(phase.array[at[0]], volumes[t, k].astype(int) * (k + 1) - t)
        assert np.allclose(phase.geometry.spacing, (8, 1.5, 1.25))


@pytest.mark.parametrize("lie", [0, 3.3, 10])
def test_positions_count_and_not_the_spacing_between_slices(tmp_path, lie):
    volume = stored()
    found = read_volume(series(tmp_path / "classic", volume, SpacingBetweenSlices=lie))
    assert np.allclose(found.geometry.spacing[0], 8) and np.array_equal(found.array, volume)
    path = enhanced(tmp_path / "a.dcm", volume, [{"k": k} for k in range(4)], spacing=lie)
    assert np.allclose(read_volume(path).geometry.spacing[0], 8)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even_and_that_is_said(tmp_path):
    messages: List[str] = []
    step = 0.625
    folder = series(tmp_path / "thin", stored((9, 4, 5)),
                    each=lambda k: {"ImagePositionPatient": [-30.0, 20.0, round(5 + step * k, 1)]})
    found = read_volume(folder, messages)
    assert abs(found.geometry.spacing[0] - step) < 0.02 and any("even grid" in words for words in messages)


def test_a_missing_slice_is_refused(tmp_path):
    folder = series(tmp_path / "gap", stored())
    os.remove(tmp_path / "gap" / "IM002")
    assert "a slice is missing" in refusal(folder, read_volume)


def test_a_tilted_gantry_is_refused(tmp_path):
    folder = series(tmp_path / "tilted", stored(), each=lambda k: {"ImagePositionPatient": [0.0, 2.0 * k, 8.0 * k]})
    with pytest.raises(GeometryError, match="tilted gantry"):
        read_volume(folder)


def test_slices_of_two_orientations_are_no_volume(tmp_path):
    folder = series(tmp_path / "radial", stored(),
                    each=lambda k: {"ImageOrientationPatient": list(OBLIQUE if k % 2 else AXIAL)})
    assert "2 different sizes or orientations" in refusal(folder)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slopes, dtype", [([1, 1, 1, 1], "int16"), ([1, 3, 70, 2], "int32"),
                                           ([1, 0.5, 0.25, 2], "float32"), ([0.1, 0.2, 0.3, 0.4], "float64")])
def test_slices_of_different_slopes_become_one_type_that_holds_all_values(tmp_path, slopes, dtype):
    folder = series(tmp_path / "pet", stored(), each=lambda k: {"RescaleSlope": slopes[k], "RescaleIntercept": 0})
    found = read_volume(folder)
    assert found.array.dtype == dtype
    assert_as_pydicom_reads(found, folder)


def test_slices_of_different_signedness_and_bits_are_not_wrapped(tmp_path):
    planes = [stored((6, 5), 1), stored((6, 5), 2, "uint16", 40000, 60000), stored((6, 5), 3, "uint8", 0, 255)]
    for k, plane in enumerate(planes):
        save(image(plane, ImagePositionPatient=place(k)), tmp_path / "mixed" / f"{k}")
    found = read_volume(tmp_path / "mixed")
    assert found.array.dtype == "int32"
    assert_as_pydicom_reads(found, tmp_path / "mixed")


def test_an_intercept_of_32768_on_signed_voxels_is_read(tmp_path):
    folder = series(tmp_path / "signed", stored(), RescaleSlope=1, RescaleIntercept=32768)
    assert_as_pydicom_reads(read_volume(folder), folder)


@pytest.mark.parametrize("slope", [0, "nan"])
def test_a_slope_that_gives_no_image_is_refused_by_name(tmp_path, slope):
    with pydicom.config.disable_value_validation():
        folder = series(tmp_path / "flat", stored(), RescaleSlope=slope, RescaleIntercept=0)
    with pytest.raises(InputError, match=r"Rescale Slope of 'IM\d+' is"):
        read_volume(folder)


# -- several times -----------------------------------------------------------------------------------------------------


VOLUMES = np.stack([stored(seed=seed) for seed in range(10)])


def assert_phases(found, count: int, index: Sequence[float], name: str, unit: str) -> None:
    assert len(found.phases) == count
    assert all(np.array_equal(phase.array, volume) for phase, volume in zip(found.phases, VOLUMES))
    assert np.allclose(found.index, index) and (found.index_name, found.index_unit) == (name, unit)


def test_ten_gates_in_ten_series_of_one_folder_are_ten_phases(tmp_path):
    for t in range(10):
        series(tmp_path / "4dct", VOLUMES[t], f"{9 - t}_{{}}", series=f"1.2.826.9.{t}",
               SeriesDescription=f"P4, Gated, {10 * t}.0%")
    assert_phases(read_sequence(tmp_path / "4dct"), 10, range(0, 100, 10), "gate", "%")


def test_gates_are_phases_beside_their_average_in_nested_folders(tmp_path):
    for t in range(3):
        series(tmp_path / "study" / f"series{7 - t}", VOLUMES[t], series=f"1.2.826.9.{t}",
               SeriesDescription=f"CT {50 * t}%")
    series(tmp_path / "study" / "average", stored(seed=99), series="1.2.826.9.9", SeriesDescription="CT AVG")
    found = read_sequence(tmp_path / "study")
    assert_phases(found, 3, (0, 50, 100), "gate", "%")
    assert any("left out" in words for words in found.messages)


@pytest.mark.parametrize("each, name, unit, index", [
    (lambda t, k: {"TriggerTime": 80.5 * t}, "trigger time", "ms", (0, 80.5, 161)),
    (lambda t, k: {"TriggerTime": 80 * t + k}, "trigger time", "ms", (1.5, 81.5, 161.5)),  # each slice its own beat
    (lambda t, k: {"TemporalPositionIdentifier": t + 1}, "temporal position", "", (1, 2, 3)),
    (lambda t, k: {"TemporalPositionIdentifier": t + 1, "TriggerTime": 80 * t}, "trigger time", "ms", (0, 80, 160)),
    (lambda t, k: {"NominalPercentageOfCardiacPhase": 35.0 + t}, "cardiac phase", "%", (35, 36, 37)),
    (lambda t, k: {"FrameReferenceTime": 1500 * (t + 1)}, "frame reference time", "ms", (1500, 3000, 4500)),
    (lambda t, k: {"AcquisitionTime": ("235958.5", "235959.5", "235959.9")[t]}, "acquisition time", "s", (0, 1, 1.4)),
    (lambda t, k: {"AcquisitionDateTime": f"20260101120{t}0{k}"}, "acquisition time", "s", (0, 60, 120)),
    (lambda t, k: {"ImageComments": f"Phase {t + 1}"}, "phase", "", (1, 2, 3)),
])
def test_a_series_over_time_is_a_sequence_with_its_true_times(tmp_path, each, name, unit, index):
    for t in range(3):
        series(tmp_path / "cine", VOLUMES[t], f"{9 - t}_{{}}", each=lambda k, t=t: each(t, k))
    assert_phases(read_sequence(tmp_path / "cine"), 3, index, name, unit)


@pytest.mark.parametrize("each, name, unit, index", [
    (lambda t: {"CardiacSynchronizationSequence": {"NominalPercentageOfCardiacPhase": 30.0 * t}}, "cardiac phase", "%",
     (0, 30, 60)),
    (lambda t: {"CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 45.5 * t}}, "trigger time", "ms",
     (0, 45.5, 91)),
    (lambda t: {"TemporalPositionIndex": t + 1, "TemporalPositionSequence": {"TemporalPositionTimeOffset": 0.5 * t}},
     "time offset", "s", (0, 0.5, 1)),
    (lambda t: {"FrameAcquisitionDateTime": f"2026010112000{t}.25"}, "acquisition time", "s", (0, 1, 2)),
])
def test_a_file_of_several_times_is_a_sequence_and_never_a_volume(tmp_path, each, name, unit, index):
    places = [(k, t) for k in range(4) for t in range(3)]  # time runs first, as some scanners store it
    path = enhanced(tmp_path / "a", [VOLUMES[t, k] for k, t in places], [{"k": k, **each(t)} for k, t in places])
    assert_phases(read_sequence(path), 3, index, name, unit)
    assert "a sequence of 3 phases" in refusal(path, read_volume)


def test_a_gated_spect_is_a_sequence_of_its_time_slots(tmp_path):
    path = gated_spect(tmp_path / "spect.dcm", VOLUMES[:3])
    assert_phases(read_sequence(path), 3, (1, 2, 3), "time slot", "")
    gated = item(DataInformationSequence=item(FrameTime=60.5))
    path = gated_spect(tmp_path / "timed.dcm", VOLUMES[:3], GatedInformationSequence=gated)
    assert_phases(read_sequence(path), 3, (0, 60.5, 121), "frame time", "ms")


def test_slices_of_nuclear_medicine_may_run_against_the_normal(tmp_path):
    found = read_volume(gated_spect(tmp_path / "down.dcm", VOLUMES[:1], SpacingBetweenSlices=-8))
    assert np.array_equal(found.array, VOLUMES[0][::-1]) and found.geometry.origin[2] == 5 - 3 * 8


def test_rotating_projections_are_no_volume(tmp_path):
    frames = VOLUMES[0]
    path = save(image(frames, NUCLEAR, ImagePositionPatient=place(0), FrameIncrementPointer=[0x00540050, 0x00540090],
                      RotationVector=[1] * 4, AngularViewVector=[1, 2, 3, 4]), tmp_path / "projections.dcm")
    assert "4 angular views" in refusal(path)


def test_a_loop_is_a_sequence_of_single_slices_and_what_it_does_not_tell_is_said(tmp_path):
    found = read_sequence(loop(tmp_path / "echo.dcm", stored((5, 6, 7))))
    assert len(found.phases) == 5 and found.phases[0].array.shape == (1, 6, 7)
    assert (found.index, found.index_unit) == ((0, 40, 80, 120, 160), "ms")
    assert any("where it lies" in words for words in found.messages)


def test_a_thickness_and_a_place_that_are_assumed_are_said_on_standard_error_and_in_the_report(tmp_path, small_weights,
                                                                                               capfd):
    path = loop(tmp_path / "echo.dcm", stored((2, 24, 24)), SliceThickness=None)
    assert cli.run(["interpolate", path, "-o", str(tmp_path / "out.nii.gz"), "--frames", "1", "--auxiliary", "none",
                    "--weights", small_weights, "--report", str(tmp_path / "r.json")]) == 0
    said, told = capfd.readouterr().err, json.loads((tmp_path / "r.json").read_text())["messages"]
    for words in ("'echo.dcm' does not tell the thickness of its slice: taken for 1 mm.",
                  "'echo.dcm' does not tell where it lies in the patient: its first voxel is taken for the origin"):
        assert said.count(words) == 1 and sum(words in message for message in told) == 1
    volume = read_sequence(path).phases[0].geometry
    assert volume.spacing[0] == 1.0 and volume.origin == (0.0, 0.0, 0.0)


def test_the_spacing_of_ultrasound_is_that_of_its_regions_and_its_times_may_be_uneven(tmp_path):
    regions = item(PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3, PhysicalDeltaX=0.05, PhysicalDeltaY=0.04)
    found = read_sequence(loop(tmp_path / "echo.dcm", stored((3, 6, 7)), PixelSpacing=None, FrameTime=None,
                               SequenceOfUltrasoundRegions=regions, FrameIncrementPointer=0x00181065,
                               FrameTimeVector=[0, 40, 60]))
    assert np.allclose(found.phases[0].geometry.spacing[1:], (0.4, 0.5)) and found.index == (0, 40, 100)


def test_an_image_that_does_not_tell_its_pixel_spacing_is_refused(tmp_path):
    assert "size of its pixels" in refusal(loop(tmp_path / "echo.dcm", stored((3, 6, 7)), PixelSpacing=None))


@pytest.mark.parametrize("words, differ", [
    (lambda n: {"MREchoSequence": {"EffectiveEchoTime": 10.0 + n}}, "2 echo times"),
    (lambda n: {"MRDiffusionSequence": {"DiffusionBValue": 500.0 * n}}, "2 diffusion weightings"),
    (lambda n: {"StackID": str(n)}, "2 stacks"),
])
def test_what_differs_in_anything_but_time_is_refused_by_what_it_differs_in(tmp_path, words, differ):
    frames = [VOLUMES[n, k] for n in range(2) for k in range(4)]
    groups = [{"k": k, "TemporalPositionIndex": 1, "FrameAcquisitionDateTime": f"2026010112000{n}", **words(n)}
              for n in range(2) for k in range(4)]
    assert differ in refusal(enhanced(tmp_path / "echoes.dcm", frames, groups))


def test_frames_that_tell_nothing_are_refused(tmp_path):
    path = save(image(stored(), "1.2.840.10008.5.1.4.1.1.7.3", ImageOrientationPatient=None), tmp_path / "frames.dcm")
    assert "holds 4 frames but does not tell" in refusal(path)


def test_a_phase_that_lacks_a_slice_is_refused(tmp_path):
    for t in range(3):
        series(tmp_path / "cine", VOLUMES[t], f"{t}_{{}}", TriggerTime=80 * t)
    os.remove(tmp_path / "cine" / "1_2")
    assert "3 trigger times" in refusal(tmp_path / "cine")


def test_images_at_one_place_that_nothing_tells_apart_are_refused(tmp_path):
    for t in range(2):
        series(tmp_path / "twice", VOLUMES[t], f"{t}_{{}}")
    assert "several images at one place" in refusal(tmp_path / "twice")


def placed(folder, heights, each=lambda n: {}, sideways=None, **elements) -> str:
    """One file a slice at any heights in mm."""
    for n, height in enumerate(heights):
        first = (-30.0 + (0 if sideways is None else sideways[n]), 20.0, 5.0)
        save(image(VOLUMES[0, n % 4], **{"ImagePositionPatient": place(1, height, first=first), **elements, **each(n)}),
             Path(folder) / f"{n:03d}")
    return str(folder)


@pytest.mark.parametrize("thickness", [4, None])
@pytest.mark.parametrize("step, gap", [(4, 84), (1, 12), (0.4, 50)])
def test_two_stacks_in_one_series_are_refused_and_not_read_as_phases(tmp_path, thickness, step, gap):
    heights = [base + step * n for base in (0, 4 * step + gap) for n in range(5)]
    path = placed(tmp_path / "breasts", heights, lambda n: {"AcquisitionTime": f"12000{n}"}, SliceThickness=thickness)
    assert "not of one stack" in refusal(path)


def test_slices_that_lie_aside_are_refused_and_a_slanted_stack_is_not_taken_for_them(tmp_path):
    path = placed(tmp_path / "aside", [8 * k for k in range(6)], sideways=[0, 0, 20, 20, 0, 0])
    assert "not of one stack (up to 20 mm sideways" in refusal(path)
    assert "sheared" in refusal(placed(tmp_path / "slanted", [8 * k for k in range(6)], sideways=range(0, 18, 3)))


def test_series_that_are_whole_stacks_are_never_mixed_into_phases(tmp_path):
    for t in range(3):  # at each place the three were taken in another order
        series(tmp_path / "ct", VOLUMES[t], f"{t}_{{}}", series=f"1.2.826.9.{t}",
               each=lambda k, t=t: {"AcquisitionTime": f"12{k:02d}{(t + k) % 3:02d}"})
    assert "3 DICOM series" in refusal(tmp_path / "ct")


def test_two_patients_are_refused_without_their_names(tmp_path):
    for t in range(2):
        series(tmp_path / "mixed", VOLUMES[t], f"{t}_{{}}", series=f"1.2.826.9.{t}", PatientID=f"Secret{t}",
               AcquisitionTime=f"12000{t}")
    assert "2 patients" in refusal(tmp_path / "mixed")


def test_scans_of_different_frames_of_reference_are_no_phases_by_their_times(tmp_path):
    for t in range(2):
        series(tmp_path / "days", VOLUMES[t], f"{t}_{{}}", series=f"1.2.826.9.{t}", AcquisitionTime="120000",
               AcquisitionDate=f"2026010{t + 1}", FrameOfReferenceUID=f"1.2.826.5.{t}")
    assert "2 DICOM series" in refusal(tmp_path / "days")


def private(creator: str, group: int, offset: int, vr: str):
    def changed(made, value) -> None:
        made.private_block(group, creator, create=True).add_new(offset, vr, value)
    return changed


@pytest.mark.parametrize("change, words", [
    (lambda made, b: setattr(made, "SequenceName", f"*ep_b{b}t"), "3 sequence names"),
    (private("SIEMENS MR HEADER", 0x0019, 0x0C, "IS"), "3 diffusion weightings"),
    (private("GEMS_PARM_01", 0x0043, 0x39, "IS"), "3 diffusion weightings"),
    (private("Philips Imaging DD 001", 0x2001, 0x03, "FL"), "3 diffusion weightings"),
    (lambda made, b: setattr(made, "ImageType", ["ORIGINAL", "PRIMARY", "DIFFUSION"]), "several images at one place"),
], ids=["name", "Siemens", "GE", "Philips", "image type"])
def test_a_classic_diffusion_series_is_no_sequence_over_time(tmp_path, change, words):
    for t, b in enumerate((0, 500, 1000)):
        for k in range(4):
            made = image(VOLUMES[t, k], ImagePositionPatient=place(k), AcquisitionTime=f"1200{t}{k}")
            change(made, b)
            save(made, tmp_path / "dwi" / f"{t}{k}")
    assert words in refusal(tmp_path / "dwi")


@pytest.mark.parametrize("description, found", [
    ("Chest ASiR {} %", None), ("Abdomen ASIR-V {}%", None), ("iDose {}%", None), ("Gated, {}.0%", (0, 30, 60)),
    ("4D RESP_PHASE_{}", (0, 30, 60)), ("RESP {}% ASiR 40%", (0, 30, 60)), ("Recon {} %", (0, 30, 60))])
def test_numbers_in_descriptions_are_phases_and_that_is_said_but_strengths_of_a_reconstruction_are_not(
        tmp_path, description, found):
    for t in range(3):
        series(tmp_path / "ct", VOLUMES[t], f"{t}_{{}}", series=f"1.2.826.9.{t}",
               SeriesDescription=description.format(30 * t))
    if found is None:
        assert "3 DICOM series" in refusal(tmp_path / "ct")
    else:
        messages: List[str] = []
        assert read_sequence(tmp_path / "ct", messages).index == found
        assert any("numbers in the descriptions" in words for words in messages)


# -- what else lies in a folder ----------------------------------------------------------------------------------------


def test_subfolders_without_times_are_phases_in_the_order_of_their_names(tmp_path):
    for t, name in enumerate(("gate_0.5", "gate_2", "gate_10")):
        series(tmp_path / "study" / name, VOLUMES[t], series=f"1.2.826.9.{t}")
    assert_phases(read_sequence(tmp_path / "study"), 3, (0.5, 2, 10), "frame", "")


def test_localizers_reports_and_other_files_are_left_out_and_said(tmp_path):
    folder = series(tmp_path / "study", VOLUMES[0])
    save(image(stored((20, 20)), ImagePositionPatient=place(0), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
               series="1.2.826.8"), tmp_path / "study" / "a")
    save(image(stored((20, 20)), ImagePositionPatient=place(0), ImageOrientationPatient=list(OBLIQUE),
               series="1.2.826.8.1"), tmp_path / "study" / "b")
    save(dataset(SOPClassUID=REPORT, SOPInstanceUID="1.2.3", Modality="SR", PatientName=NAME),
         tmp_path / "study" / "sr")
    (tmp_path / "study" / "notes.txt").write_text("acquired on a Monday")
    (tmp_path / "study" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    messages: List[str] = []
    assert np.array_equal(read_volume(folder, messages).array, VOLUMES[0])
    said = " ".join(messages)
    assert "1 of kind SR" in said and "localizer" in said and "another size or orientation" in said
    assert "Secret" not in said


def test_what_cannot_be_used_is_left_out_and_said_where_it_is_of_another_series(tmp_path):
    folder = series(tmp_path / "study", VOLUMES[0])
    screen = image(stored((20, 20), dtype="uint8", low=0, high=255), "1.2.840.10008.5.1.4.1.1.7", "1.2.826.8",
                   PixelSpacing=None, Modality="CT")
    save(screen, tmp_path / "study" / "dose")
    messages: List[str] = []
    assert np.array_equal(read_volume(folder, messages).array, VOLUMES[0])
    assert any("'dose' does not tell the size of its pixels" in words for words in messages)
    screen.SeriesInstanceUID = "1.2.826.7"
    save(screen, tmp_path / "study" / "dose")
    with pytest.raises(InputError, match="'dose' does not tell the size of its pixels"):
        read_volume(folder)


@pytest.mark.filterwarnings("ignore")
def test_an_invalid_element_that_nothing_needs_is_no_reason_to_refuse_an_image(tmp_path):
    folder = series(tmp_path / "odd", VOLUMES[0], PatientWeight="77.5", NumberOfAverages="31.5")
    for path in (tmp_path / "odd").iterdir():
        path.write_bytes(path.read_bytes().replace(b"77.5", b"much").replace(b"31.5", b"few "))
    source = read_volume(folder)
    assert np.array_equal(source.array, VOLUMES[0])
    write(tmp_path / "out.dcm", VOLUMES[:2], source.geometry, source.source)
    assert {one.PatientID for one in instances(tmp_path / "out.dcm")} == {"4711"}


def test_a_cine_with_a_series_for_each_slice_is_one_sequence(tmp_path):
    for k in range(4):
        for t in range(3):
            save(image(VOLUMES[t, k], series=f"1.2.826.9.{k}", ImagePositionPatient=place(k), TriggerTime=50 * t + k,
                       SeriesDescription=f"cine sax {k + 1}"), tmp_path / "sax" / f"{k}{t}")
    assert_phases(read_sequence(tmp_path / "sax"), 3, (1.5, 51.5, 101.5), "trigger time", "ms")


def test_doubled_slices_are_used_once_and_said(tmp_path):
    folder = series(tmp_path / "doubled", VOLUMES[0])
    for k in (1, 2):
        copy = image(VOLUMES[0][k], ImagePositionPatient=place(k), InstanceNumber=90 + k)
        save(copy, tmp_path / "doubled" / f"copy{k}")
    messages: List[str] = []
    assert np.array_equal(read_volume(folder, messages).array, VOLUMES[0])
    assert any("2 images" in words and "twice" in words for words in messages)
    save(image(VOLUMES[1][2], ImagePositionPatient=place(2)), tmp_path / "doubled" / "other")
    assert "several images at one place" in refusal(folder)


def test_empty_slices_that_phases_share_are_no_copies_but_those_of_a_whole_copy_are(tmp_path):
    phases = VOLUMES[:3].copy()
    phases[:, [0, -1]] = 0
    for t, phase in enumerate(phases):
        series(tmp_path / "masked" / f"phase{t}", phase)
    assert [phase.array.shape for phase in read_sequence(tmp_path / "masked").phases] == [phases.shape[1:]] * 3
    for name in ("export", "export again"):
        series(tmp_path / "copied" / name, phases[0])
    messages: List[str] = []
    assert np.array_equal(read_volume(tmp_path / "copied", messages).array, phases[0])
    assert any("4 images" in words and "twice" in words for words in messages)


@pytest.mark.parametrize("elements", [
    {"AcquisitionDate": "00000000", "AcquisitionTime": "000000"}, {"AcquisitionDateTime": "00000000000000"}])
def test_a_date_that_is_hidden_is_no_reason_to_refuse_a_volume(tmp_path, elements):
    assert np.array_equal(read_volume(series(tmp_path / "hidden", VOLUMES[0], **elements)).array, VOLUMES[0])


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_the_stored_ones_are_no_grey_values(tmp_path, signed, monkeypatch):
    values = stored(low=-300 if signed else 0, dtype="int16" if signed else "uint16")
    bits = (values.astype(np.uint16) & 0x0FFF) | (0 if signed else 0x1000)
    folder = series(tmp_path / "bits", bits, BitsStored=12, HighBit=11, PixelRepresentation=int(signed))

    def as_pydicom_2_reads(dataset):
        array = np.frombuffer(dataset.PixelData, np.int16 if signed else np.uint16)
        return array.reshape(dataset.Rows, dataset.Columns)

    assert np.array_equal(read_volume(folder).array, values)
    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(as_pydicom_2_reads))
    assert np.array_equal(read_volume(folder).array, values)


def test_files_without_preamble_and_of_any_name_are_read(tmp_path):
    for name in ("{}.dcm", "{}.IMA", "IM{:05d}", "1.2.826.{}"):
        folder = series(tmp_path / name[:4], VOLUMES[0], name)
        assert np.array_equal(read_volume(folder).array, VOLUMES[0])
    folder = series(tmp_path / "bare", VOLUMES[0], preamble=False)
    assert np.array_equal(read_volume(folder).array, VOLUMES[0])


def test_a_file_that_is_cut_short_is_named(tmp_path):
    folder = series(tmp_path / "cut", VOLUMES[0])
    content = (tmp_path / "cut" / "IM002").read_bytes()
    (tmp_path / "cut" / "IM002").write_bytes(content[:-30])
    with pytest.raises(InputError, match="'IM002' cannot be read"):
        read_volume(folder)


def test_a_label_map_and_an_image_in_colour_are_refused_as_such(tmp_path):
    plane = stored((6, 5))
    assert "label map" in refusal(save(image(plane, SEGMENTATION), tmp_path / "labels.dcm"))
    colour = image(plane, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    assert "in colour" in refusal(save(colour, tmp_path / "rgb.dcm"))


# -- what is installed -------------------------------------------------------------------------------------------------


def installed() -> List[str]:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    return [str(path) for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in ("", ".dcm")]


@pytest.mark.filterwarnings("ignore")
def test_the_files_that_pydicom_ships_are_read_as_pydicom_reads_them_or_refused(capfd):
    read = 0
    for path in installed():
        try:
            found = read_sequence(path)
        except UserError as error:
            assert "\n" not in str(error) and os.path.basename(path) in str(error)
            continue
        made = pydicom.dcmread(path, force=True)
        try:
            values = np.asarray(pydicom.pixels.apply_rescale(made.pixel_array, made))
        except (RuntimeError, NotImplementedError):  # no decoder for it is installed
            continue
        values = values.reshape(-1, made.Rows, made.Columns)
        assert np.array_equal(np.concatenate([phase.array for phase in found.phases]), values), path
        assert np.allclose(found.phases[0].geometry.spacing[1:], made.get("PixelSpacing") or made.ImagerPixelSpacing)
        if "ImagePositionPatient" in made:
            assert np.allclose(found.phases[0].geometry.origin, made.ImagePositionPatient)
        read += 1
    assert read > 30 and capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore")
def test_the_files_that_nibabel_ships_are_read_as_nibabel_reads_them_or_refused(tmp_path):
    wrappers = pytest.importorskip("nibabel.nicom.dicomwrappers")
    read = 0
    for path in sorted((Path(wrappers.__file__).parent / "tests" / "data").glob("*.dcm*")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as compressed:
            (tmp_path / path.stem).write_bytes(compressed.read())
        try:
            volume = read_volume(tmp_path / path.stem)
        except UserError as error:
            assert "mosaic" in str(error)
            continue
        judge = wrappers.wrapper_from_file(tmp_path / path.stem)
        values = np.asarray(judge.get_data()).reshape(*volume.array.shape[1:], -1)
        index = np.random.default_rng(0).integers(0, values.shape, (2000, 3))
        places = index @ judge.affine[:3, :3].T + judge.affine[:3, 3]
        k, j, i = np.rint(volume.geometry.world_to_index(places)).astype(int).T
        assert np.allclose(volume.geometry.index_to_world(np.stack([k, j, i], axis=1)), places, atol=1e-2)
        assert np.array_equal(volume.array[k, j, i], values[tuple(index.T)])
        read += 1
    assert read >= 3


@pytest.mark.filterwarnings("ignore")
def test_a_compression_that_pydicom_cannot_decode_is_decoded_by_simpleitk(monkeypatch):
    by_name = {os.path.basename(path): path for path in installed()}
    expected = read_volume(by_name["MR_small.dcm"]).array

    def no_decoder(self):
        raise NotImplementedError("no decoder")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(no_decoder))
    for name in ("MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"):
        assert np.array_equal(read_volume(by_name[name]).array, expected), name


# -- results as DICOM --------------------------------------------------------------------------------------------------


GRID = Geometry((4, 6, 5), (8.0, 1.5, 1.25), (-30.0, 20.0, 5.0), ((0.6, 0.0, 0.8), (-0.8, 0.0, 0.6), (0.0, -1.0, 0.0)))


def write(path, frames: Sequence[np.ndarray], geometry=GRID, source=None, times=None, acquired=None) -> List[str]:
    """Write a result whose first and last frames are acquired; returns the writer's messages."""
    acquired = acquired or [number in (0, len(frames) - 1) for number in range(len(frames))]
    index = np.linspace(0, 100, len(frames)).tolist()
    provenance = {"ttt4d.version": "1", "ttt4d.seed": "0"}
    with open_writer(path, geometry, frames[0].dtype, index, acquired, provenance, source, times) as writer:
        for number, frame in enumerate(frames):
            writer.write(number, frame)
    return writer.messages


def instances(folder) -> List:
    """The data sets of a result in the order in which a viewer shows them."""
    return sorted((pydicom.dcmread(file) for file in Path(folder).iterdir()), key=lambda made: made.InstanceNumber)


@pytest.mark.parametrize("times, keyword, values", [
    (None, "TemporalPositionIdentifier", (1, 2, 3)),
    (FrameTimes((0.0, 40.25, 80.0), "trigger time", "ms"), "TriggerTime", (0, 40.25, 80)),
    (FrameTimes((0.0, 12.5, 90.0), "cardiac phase", "%"), "NominalPercentageOfCardiacPhase", (0, 12.5, 90)),
    (FrameTimes((0.0, 1.5, 2.0), "time", "s"), "TemporalPositionTimeOffset", (0, 1.5, 2)),
])
def test_a_result_is_a_series_of_the_study_with_marks_and_times(tmp_path, times, keyword, values):
    source = read_volume(series(tmp_path / "in", VOLUMES[0], TriggerTime=7, Manufacturer="Scanners", EchoTime=1.5))
    assert write(tmp_path / "out.dcm", VOLUMES[:3], source.geometry, source.source, times) == []
    made = instances(tmp_path / "out.dcm")
    assert len(made) == 12 and len({one.SOPInstanceUID for one in made}) == 12
    for number, one in enumerate(made):
        frame, k = divmod(number, 4)
        assert (one.PatientName, one.PatientID, one.StudyInstanceUID) == (NAME, "4711", "1.2.826.1")
        assert one.SeriesInstanceUID == made[0].SeriesInstanceUID != "1.2.826.7"
        assert one.FrameOfReferenceUID == "1.2.826.2" and one.SOPClassUID == MR and one.EchoTime == 1.5
        assert one.ImageType[:2] == ["DERIVED", "SECONDARY"] and "not for clinical use" in one.SeriesDescription
        assert np.allclose(one.ImagePositionPatient, place(k)) and one.NumberOfTemporalPositions == 3
        assert np.array_equal(pydicom.pixels.apply_rescale(one.pixel_array, one), VOLUMES[frame][k])
        assert ("synthetic" in one.ImageComments) == (frame == 1) == ("acquired" not in one.ImageComments)
        assert one[keyword].value == values[frame]
    found = read_sequence(tmp_path / "out.dcm")
    assert all(np.array_equal(phase.array, volume) for phase, volume in zip(found.phases, VOLUMES[:3]))
    assert [phase.synthetic for phase in found.phases] == [False, True, False]
    assert np.allclose(found.index, values if times else (0, 50, 100))


def test_slices_of_a_result_are_as_thick_as_those_of_the_input_where_they_lie_as_closely(tmp_path):
    source = read_volume(series(tmp_path / "in", VOLUMES[0], SliceThickness=6))
    for name, spacing, thickness in (("same", 8.0, 6), ("closer", 4.0, 4)):
        write(tmp_path / f"{name}.dcm", VOLUMES[:2], dataclasses.replace(
            source.geometry, spacing=(spacing, *source.geometry.spacing[1:])), source.source)
        made = instances(tmp_path / f"{name}.dcm")[0]
        assert (made.SliceThickness, made.SpacingBetweenSlices) == (thickness, spacing)


@pytest.mark.parametrize("sop", [ENHANCED_MR, ENHANCED_CT])
def test_a_result_of_an_enhanced_input_is_enhanced(tmp_path, sop):
    groups = [{"k": k} for k in range(4)]
    modality = "MR" if sop == ENHANCED_MR else "CT"
    source = read_volume(enhanced(tmp_path / "in.dcm", VOLUMES[0], groups, sop, Modality=modality))
    times = FrameTimes((5.0, 10.0, 20.5), "trigger time", "ms")
    write(tmp_path / "out.dcm", VOLUMES[:3], source.geometry, source.source, times)
    made = instances(tmp_path / "out.dcm")
    assert [one.SOPClassUID for one in made] == [sop] * 3 and {one.PatientID for one in made} == {"4711"}
    for number, one in enumerate(made):
        assert np.array_equal(one.pixel_array, VOLUMES[number])
        group = one.PerFrameFunctionalGroupsSequence[2]
        assert np.allclose(group.PlanePositionSequence[0].ImagePositionPatient, place(2))
        assert group.FrameContentSequence[0].TemporalPositionIndex == number + 1
        assert group.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime == times.values[number]
        assert ("synthetic" in group.FrameContentSequence[0].FrameComments) == (number == 1)
    found = read_sequence(tmp_path / "out.dcm")
    assert all(np.array_equal(phase.array, volume) for phase, volume in zip(found.phases, VOLUMES[:3]))
    assert found.index == times.values and [phase.synthetic for phase in found.phases] == [False, True, False]


def test_each_temporal_position_of_a_result_is_a_volume_to_simpleitk(tmp_path):
    write(tmp_path / "out.dcm", VOLUMES[:3])
    for number in range(3):
        files = [str(path) for path in sorted((tmp_path / "out.dcm").iterdir())
                 if pydicom.dcmread(path).TemporalPositionIdentifier == number + 1]
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        volume = reader.Execute()
        assert np.array_equal(sitk.GetArrayFromImage(volume), VOLUMES[number])
        assert np.allclose(volume.GetOrigin(), GRID.origin) and np.allclose(volume.GetSpacing(), (1.25, 1.5, 8))
        assert np.allclose(np.reshape(volume.GetDirection(), (3, 3))[:, ::-1], GRID.direction)


@settings(max_examples=8)
@given(st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"]),
       st.integers(0, 2**31), st.sampled_from([1e-6, 1.0, 3.7e4]), st.booleans())
def test_values_of_every_type_come_back_to_half_a_level(dtype, seed, scale, handed):
    generator = np.random.default_rng(seed)
    if dtype.startswith("float"):
        frames = (generator.normal(size=(2, *GRID.shape)) * scale).astype(dtype)
    else:
        limits = np.iinfo("int32" if dtype == "int64" else dtype)
        frames = generator.integers(limits.min, limits.max, (2, *GRID.shape), endpoint=True).astype(dtype)
    direction = np.asarray(GRID.direction) * ([-1, 1, 1] if handed else [1, 1, 1])
    geometry = Geometry(GRID.shape, GRID.spacing, GRID.origin, tuple(map(tuple, direction.tolist())))
    with tempfile.TemporaryDirectory() as folder:
        messages = write(os.path.join(folder, "out.dcm"), list(frames), geometry)
        found = read_sequence(os.path.join(folder, "out.dcm"))
    exact = dtype in ("int8", "uint8", "int16", "uint16")
    assert any("half a level" in words for words in messages) == (not exact)
    for phase, frame in zip(found.phases, frames):
        index = np.rint(phase.geometry.world_to_index(geometry.index_to_world(np.argwhere(frame == frame)))).astype(int)
        back = phase.array[tuple(index.T)].reshape(frame.shape)
        level = 0 if exact else np.ptp(np.append(frame.astype(float), 0)) / 65535
        assert np.abs(back - frame.astype(float)).max() <= 0.51 * level


def test_an_input_of_another_format_gives_a_new_study_without_a_patient(tmp_path):
    messages = write(tmp_path / "out.dcm", VOLUMES[:2])
    (one, *_) = instances(tmp_path / "out.dcm")
    assert one.PatientName == "" and one.PatientID == "" and one.StudyInstanceUID and one.Modality == "OT"
    assert any("new study" in words for words in messages)


def test_names_in_other_letters_are_kept(tmp_path):
    letters = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Jörg"}
    source = read_volume(series(tmp_path / "in", VOLUMES[0], **letters))
    write(tmp_path / "out.dcm", VOLUMES[:2], source.geometry, source.source)
    assert {str(one.PatientName) for one in instances(tmp_path / "out.dcm")} == {"Müller^Jörg"}


@pytest.mark.parametrize("sop", [CT, MR, None, ENHANCED_CT, ENHANCED_MR])
def test_a_result_has_every_element_that_the_standard_demands_of_its_class(tmp_path, sop):
    standard = pytest.importorskip("highdicom._standard_utils")
    source = None
    if sop in (ENHANCED_CT, ENHANCED_MR):
        source = read_volume(enhanced(tmp_path / "in.dcm", VOLUMES[0], [{"k": k} for k in range(4)], sop)).source
    elif sop:
        source = read_volume(series(tmp_path / "in", VOLUMES[0], sop=sop)).source
    write(tmp_path / "out.dcm", VOLUMES[:2], source=source)
    for one in instances(tmp_path / "out.dcm"):
        modules = standard.get_iod_module_map()[standard.get_sop_class_iod_map()[one.SOPClassUID]]
        for module in modules:
            if module["usage"] == "M" and "functional-groups" not in module["key"]:  # groups are optional each
                standard.check_required_attributes(one, module["key"])


def test_a_result_beside_its_input_is_not_taken_for_phases(tmp_path):
    series(tmp_path / "study" / "in", VOLUMES[0])
    source = read_volume(tmp_path / "study" / "in")
    write(tmp_path / "study" / "out.dcm", VOLUMES[:3], source.geometry, source.source)
    messages: List[str] = []
    assert np.array_equal(read_volume(tmp_path / "study", messages).array, VOLUMES[0])
    assert any("results of this program" in words for words in messages)


def test_a_result_that_is_stopped_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "out.dcm", [])
    with pytest.raises(KeyboardInterrupt):
        with open_writer(tmp_path / "out.dcm", GRID, np.int16, [0, 100], [True, True], {}) as writer:
            writer.write(0, VOLUMES[0])
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_not_written_into(tmp_path):
    series(tmp_path / "out.dcm", VOLUMES[0])
    with pytest.raises(UserError, match="not empty"):
        check_output(tmp_path / "out.dcm", [])


def test_a_cine_goes_in_and_comes_out_as_dicom_on_the_command_line(tmp_path, small_weights):
    phases = beating_heart((0, 0.5, 1), Geometry((4, 24, 24), (8.0, 5.0, 5.0)))[0]
    given = [np.rint(phase.array).astype(np.int16) for phase in phases]
    for t, volume in enumerate(given):
        series(tmp_path / "cine", volume, f"{t}_{{}}", NominalPercentageOfCardiacPhase=30.0 * t)
    output = tmp_path / "out.dcm"
    assert cli.run(["interpolate", str(tmp_path / "cine"), "-o", f"{output}/", "--iterations", "1", "--frames-between",
                    "1", "--weights", small_weights]) == 0
    found = read_sequence(output)
    assert [phase.synthetic for phase in found.phases] == [False, True, False, True, False]
    assert all(np.array_equal(found.phases[2 * t].array, volume) for t, volume in enumerate(given))
    assert len(instances(output)) == 20 and {one.PatientID for one in instances(output)} == {"4711"}
