"""NIfTI files are read as nibabel reads them, or refused with one sentence, and results lie where their input did."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

import ttt4d
from ttt4d.commands import cli
from ttt4d.errors import GeometryError, InputError, UserError
from ttt4d.images.checks import check_phases
from ttt4d.images.phase_times import strictly_increasing
from ttt4d.images.readers import read_sequence, read_volume
from ttt4d.images.sequence import FrameTimes, PhaseSequence
from ttt4d.images.volume import Geometry, Volume
from ttt4d.images.writers import open_writer

KINDS = {"single": nibabel.Nifti1Image, "pair": nibabel.Nifti1Pair, "single-2": nibabel.Nifti2Image,
         "pair-2": nibabel.Nifti2Pair}
DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
STRAIGHT = np.array([[-1.5, 0, 0, 30], [0, 1.5, 0, -20], [0, 0, 8, 5], [0, 0, 0, 1.0]])
TURNED = np.array([[1.2, -0.9, 0, 7], [0.9, 1.2, 0, 8], [0, 0, 8, 9], [0, 0, 0, 1.0]])
SHEARED = TURNED + np.array([[0, 0, 0.8, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
SHAPE = (6, 5, 4)  # i, j, k


def voxels(shape=SHAPE, dtype="int16", seed=0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.normal(0, 1000, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, np.dtype(dtype).newbyteorder("="), endpoint=True)


def image(array, affine=STRAIGHT, qform=1, sform=1, kind="single", **header):
    """An image with the same affine in both forms, and fields of its header set."""
    made = KINDS[kind](array, affine, dtype=array.dtype)
    made.set_qform(affine, qform)
    made.set_sform(affine, sform)
    for field, value in header.items():
        made.header[field] = value
    return made


def save(made, path) -> str:
    nibabel.save(made, path)
    return str(path)


def patch(path, offset, fmt, *values) -> str:
    """Overwrite bytes of an uncompressed file: what nibabel would not write."""
    content = bytearray(Path(path).read_bytes())
    struct.pack_into(fmt, content, offset, *values)
    Path(path).write_bytes(content)
    return str(path)


def places(geometry: Geometry) -> np.ndarray:
    """The RAS mm of every voxel, (i, j, k, 3)."""
    index = np.stack(np.meshgrid(*map(range, geometry.shape), indexing="ij"), axis=-1)
    return geometry.index_to_world(index).transpose(2, 1, 0, 3) * [-1, -1, 1]


def nibabel_places(made) -> np.ndarray:
    return apply_affine(made.affine, np.stack(np.meshgrid(*map(range, made.shape[:3]), indexing="ij"), axis=-1))


def frames_of(sequence: PhaseSequence) -> np.ndarray:
    """The frames as one array (i, j, k, t)."""
    return np.stack([phase.array.T for phase in sequence.phases], axis=-1)


def nibabel_frames(made) -> np.ndarray:
    return np.asanyarray(made.dataobj).reshape(*made.shape[:3], -1)


def write(path, sequence: PhaseSequence, times=None) -> str:
    """The phases as a result of this program."""
    first, count = sequence.phases[0], len(sequence.phases)
    with open_writer(path, first.geometry, first.array.dtype, np.linspace(0, 100, count), [True] * count, {},
                     first.source, times) as writer:
        for number, phase in enumerate(sequence.phases):
            writer.write(number, phase.array)
    return str(path)


def same_orientation(one, other) -> bool:
    one, other = one.header, other.header
    return all(np.array_equal(one.get_sform(coded=True)[n], other.get_sform(coded=True)[n])
               and np.array_equal(one.get_qform(coded=True)[n], other.get_qform(coded=True)[n]) for n in (0, 1))


# -- every voxel at its place with its value ---------------------------------------------------------------------------


@st.composite
def affines(draw) -> np.ndarray:
    """Any rectangular grid in RAS mm: permuted, mirrored or oblique."""
    q, r = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r)) * draw(st.tuples(*[st.sampled_from([1, -1])] * 3))
    if draw(st.booleans()):
        q = np.eye(3)[:, draw(st.permutations([0, 1, 2]))] * draw(st.tuples(*[st.sampled_from([1, -1])] * 3))
    affine = np.eye(4)
    affine[:3, :3] = q * draw(st.tuples(*[st.floats(0.2, 12)] * 3))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-400, 400)] * 3))
    return affine


SCALES = st.one_of(st.sampled_from([(1, 0), (1, -1024), (1, 32768), (2, 3), (0, 5), (-1, 0), (float("nan"), 1)]),
                   st.tuples(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3)))


@settings(max_examples=60)
@given(affines(), st.sampled_from(DTYPES), st.sampled_from("<>"), SCALES, st.sampled_from(list(KINDS)),
       st.booleans(), st.sampled_from([(1, 1), (0, 1), (1, 0), (0, 0), (2, 4)]), st.sampled_from([None, 1, 3]))
def test_every_voxel_has_the_place_and_value_that_nibabel_gives_it_here_and_in_a_result(
        affine, dtype, order, scale, kind, compressed, codes, count):
    array = voxels(SHAPE if count is None else (*SHAPE, count), dtype)
    header = KINDS[kind].header_class(endianness=order)
    header.set_data_dtype(dtype)
    made = KINDS[kind](array, affine, header)
    made.set_qform(affine, codes[0])
    made.set_sform(affine, codes[1])
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "phase" + (".hdr" if "pair" in kind else ".nii"))
        save(made, name)
        offset, fmt = (176, "2d") if kind.endswith("2") else (112, "2f")
        patch(name, offset, order + fmt, *scale)
        if compressed:
            for path in Path(folder).iterdir():
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
                path.unlink()
            name += ".gz"
        expected, sequence = nibabel.load(name), read_sequence(name)
        geometry = sequence.phases[0].geometry
        assert np.allclose(places(geometry), nibabel_places(expected), atol=1e-3)
        values = frames_of(sequence)
        assert values.dtype.isnative and values.flags.writeable
        reference = nibabel_frames(expected)
        if values.dtype.name in ("int64", "uint64"):  # nibabel rounds them where it scales them
            assert np.allclose(values.astype(np.float64), reference.astype(np.float64), rtol=1e-15, atol=2048)
        else:
            assert np.array_equal(values, reference.astype(values.dtype))

        result = nibabel.load(write(os.path.join(folder, "result.nii.gz" if compressed else "result.nii"), sequence))
        assert same_orientation(result, expected) and np.array_equal(result.affine, expected.affine)
        assert np.array_equal(nibabel_frames(result), values)
        again = read_sequence(result.get_filename())
        assert not again.phases[0].geometry.differences(geometry)
        assert np.array_equal(frames_of(again), values)
        if codes != (0, 0) and not kind.endswith("2"):  # ITK reads no NIfTI-2, and places such files elsewhere
            itk = sitk.ReadImage(result.get_filename())
            corner = itk.TransformContinuousIndexToPhysicalPoint([5, 4, 3, 0][:itk.GetDimension()])[:3]
            assert np.allclose(corner, nibabel_places(expected)[-1, -1, -1] * [-1, -1, 1], atol=1e-3)


def installed_images() -> list:
    root = Path(nibabel.__file__).parent
    return sorted(path for path in root.rglob("tests/data/*")
                  if path.name.endswith((".nii", ".nii.gz", ".hdr", ".img")))


@pytest.mark.skipif(not installed_images(), reason="nibabel was installed without its test data")
@pytest.mark.parametrize("path", installed_images(), ids=lambda path: path.name)
def test_the_images_that_nibabel_brings_are_read_as_it_reads_them_or_refused_with_one_sentence(path):
    try:
        sequence = read_sequence(path)
    except UserError as refusal:
        assert path.name in str(refusal) and str(refusal).count(". ") == 0 and "\n" not in str(refusal)
        assert "damaged" not in str(refusal)
        return
    expected = nibabel.load(path)
    values = frames_of(sequence)
    assert np.array_equal(values, nibabel_frames(expected).astype(values.dtype), equal_nan=True)
    assert np.allclose(places(sequence.phases[0].geometry), nibabel_places(expected), atol=1e-3)


@pytest.mark.skipif(not installed_images(), reason="nibabel was installed without its test data")
@pytest.mark.parametrize("name, phases", [("example4d.nii.gz", 2), ("example_nifti2.nii.gz", 2), ("functional.nii", 20),
                                          ("anatomical.nii", 1)])
def test_those_of_them_that_are_images_are_read(name, phases):
    assert len(read_sequence(next(path for path in installed_images() if path.name == name)).phases) == phases


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored, slope, inter, dtype", [
    ("int16", 1, 0, "int16"), ("int16", 0, 5, "int16"), ("float32", 0, 5, "float32"), ("float64", 1, 0, "float64"),
    ("int16", 1, 32768, "uint16"), ("uint16", 1, -32768, "int16"), ("uint8", 1, -1024, "int16"),
    ("uint8", 2, 0, "int16"), ("int16", 1, -1024, "int32"), ("int32", 2, 0, "int64"), ("uint64", -1, 0, "float64"),
    ("int16", 0.5, 0, "float32"), ("uint16", 0.1, 7, "float32"), ("int16", 0.001, 1e6, "float64"),
    ("int32", 0.5, 0, "float64"), ("float32", 0.1, 3, "float32"), ("float32", 1, -1024, "float32"),
    ("float64", 2, 0, "float64"), ("int16", 1e-42, 0, "float32"), ("int16", 1e36, 0, "float64"),
])
def test_scaled_voxels_get_the_smallest_type_that_holds_them(tmp_path, stored, slope, inter, dtype):
    path = save(image(voxels(dtype=stored)), tmp_path / "phase.nii")
    patch(path, 112, "<2f", slope, inter)
    read = read_volume(path).array
    assert read.dtype == dtype
    reference = np.asanyarray(nibabel.load(path).dataobj).T
    assert np.allclose(read.astype(np.float64), reference.astype(np.float64), rtol=1e-7, atol=0)


def test_a_ct_in_hounsfield_units_stays_in_16_bits(tmp_path):
    array = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.uint16)
    path = patch(save(image(array), tmp_path / "ct.nii"), 112, "<2f", 1, -1024)
    read = read_volume(path).array
    assert read.dtype == np.int16 and np.array_equal(read, array.T.astype(int) - 1024)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_not_turned_into_zero_but_refused(tmp_path, value):
    phases = []
    for seed in range(2):
        array = voxels(dtype="float32", seed=seed)
        array[2, 1, 1] = value
        phases.append(read_volume(save(image(array), tmp_path / f"phase{seed}.nii.gz")))
        assert np.array_equal(phases[-1].array, array.T, equal_nan=True)
    with pytest.raises(InputError, match="NaN or infinite"):
        check_phases(phases)


# -- orientation -------------------------------------------------------------------------------------------------------


def read_with_messages(path):
    messages = []
    return read_volume(path, messages), messages


def two_forms(path, qform, sform, codes=(1, 2)) -> str:
    made = nibabel.Nifti1Image(voxels(), None)
    made.set_qform(qform, codes[0])
    made.set_sform(sform, codes[1])
    return save(made, path)


def test_nothing_is_said_of_a_file_whose_forms_agree(tmp_path):
    for codes in [(1, 1), (2, 1), (0, 1), (1, 0)]:
        assert read_with_messages(two_forms(tmp_path / "phase.nii", TURNED, TURNED, codes))[1] == []


def test_of_two_forms_that_disagree_the_sform_is_used_and_said_and_a_result_keeps_both(tmp_path):
    path = two_forms(tmp_path / "phase.nii", STRAIGHT, TURNED)
    volume, messages = read_with_messages(path)
    assert np.allclose(places(volume.geometry), nibabel_places(nibabel.load(path)), atol=1e-4)
    assert len(messages) == 1 and "The sform and the qform of 'phase.nii' disagree" in messages[0]
    assert "the sform is used" in messages[0]
    result = nibabel.load(write(tmp_path / "result.nii.gz", PhaseSequence.counted([volume])))
    assert same_orientation(result, nibabel.load(path))


def test_a_sheared_sform_beside_a_valid_qform_is_not_used_and_said_and_a_result_keeps_both(tmp_path):
    path = two_forms(tmp_path / "phase.nii", TURNED, SHEARED)
    volume, messages = read_with_messages(path)
    assert np.allclose(places(volume.geometry), apply_affine(TURNED, np.moveaxis(np.indices(SHAPE), 0, -1)), atol=1e-4)
    assert messages == ["The sform of 'phase.nii' is not a valid rectangular grid: its qform is used."]
    result = nibabel.load(write(tmp_path / "result.nii.gz", PhaseSequence.counted([volume])))
    assert same_orientation(result, nibabel.load(path)) and np.allclose(result.affine, SHEARED, atol=1e-6)


def test_a_qform_that_is_no_rotation_beside_a_valid_sform_is_not_used_and_said(tmp_path):
    path = patch(two_forms(tmp_path / "phase.nii", TURNED, TURNED), 256, "<3f", 0.9, 0.9, 0.9)
    volume, messages = read_with_messages(path)
    assert np.allclose(places(volume.geometry), nibabel_places(nibabel.load(path)), atol=1e-4)
    assert messages == ["The qform of 'phase.nii' is not a valid rectangular grid: its sform is used."]


def test_a_spacing_that_the_sform_contradicts_is_said(tmp_path):
    path = two_forms(tmp_path / "phase.nii", TURNED, TURNED, (0, 1))
    _, messages = read_with_messages(patch(path, 80, "<3f", 1, 1, 1))
    assert len(messages) == 1 and "The sform and the spacing in pixdim of 'phase.nii' disagree" in messages[0]


@pytest.mark.parametrize("qform, sform", [(0, 1), (1, 0)])
@pytest.mark.parametrize("kind", ["single", "single-2"])
def test_one_form_that_is_missing_is_missing_in_a_result_too(tmp_path, kind, qform, sform):
    path = save(image(voxels(), TURNED, qform, sform, kind), tmp_path / "phase.nii")
    volume, messages = read_with_messages(path)
    result = nibabel.load(write(tmp_path / "result.nii", PhaseSequence.counted([volume])))
    assert messages == [] and same_orientation(result, nibabel.load(path))
    assert (int(result.header["qform_code"]), int(result.header["sform_code"])) == (qform, sform)


def test_a_file_without_an_orientation_stays_without_one_and_it_is_said(tmp_path):
    path = save(image(voxels(), np.diag([1.5, 1.5, 8, 1]), 0, 0), tmp_path / "phase.nii")
    volume, messages = read_with_messages(path)
    assert len(messages) == 1 and "'phase.nii' does not tell its orientation" in messages[0]
    result = nibabel.load(write(tmp_path / "result.nii", PhaseSequence.counted([volume])))
    assert (int(result.header["qform_code"]), int(result.header["sform_code"])) == (0, 0)
    assert np.array_equal(result.affine, nibabel.load(path).affine)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 3)])
def test_a_result_on_another_grid_claims_no_more_than_its_input_knew(tmp_path, codes):
    volume = read_volume(save(image(voxels(), TURNED, *codes), tmp_path / "phase.nii"))
    finer = Geometry((8, *volume.geometry.shape[1:]), (4.0, 1.5, 1.5), volume.geometry.origin,
                     volume.geometry.direction)
    other = Volume(np.repeat(volume.array, 2, axis=0), finer, source=volume.source)
    result = nibabel.load(write(tmp_path / "result.nii", PhaseSequence.counted([other])))
    assert (int(result.header["qform_code"]), int(result.header["sform_code"])) == codes
    if codes != (0, 0):
        assert np.allclose(nibabel_places(result), places(finer), atol=1e-4)
    assert np.allclose(result.header.get_zooms()[:3], finer.spacing[::-1])


def test_a_result_of_phases_from_another_format_has_its_place_in_the_sform(tmp_path):
    geometry = Geometry(SHAPE[::-1], (8.0, 1.5, 1.25), (10.5, -20.25, 3.0),
                        ((0.0, -0.28, -0.96), (0.0, 0.96, -0.28), (1.0, 0.0, 0.0)))
    result = nibabel.load(write(tmp_path / "result.nii", PhaseSequence.counted([Volume(voxels().T, geometry)])))
    assert np.allclose(nibabel_places(result), places(geometry), atol=1e-4) and int(result.header["sform_code"]) == 1


def rounded(decimals: int) -> np.ndarray:
    a, b = 0.3, 0.2
    turn = (np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
            @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.round(turn * (1.5, 1.5, 8), decimals), (-30, 20, 5)
    return affine


@pytest.mark.parametrize("kind", ["single", "single-2"])
def test_a_rounded_sform_is_read_on_the_nearest_grid_and_said_and_a_result_keeps_it(tmp_path, kind):
    path = save(image(voxels(), rounded(3), 0, 1, kind), tmp_path / "phase.nii")
    volume, messages = read_with_messages(path)
    assert len(messages) == 1 and "off a right angle: it is read on the nearest rectangular grid" in messages[0]
    assert np.allclose(places(volume.geometry), nibabel_places(nibabel.load(path)), atol=0.01)
    result = nibabel.load(write(tmp_path / "result.nii", PhaseSequence.counted([volume])))
    assert same_orientation(result, nibabel.load(path)) and np.array_equal(result.affine, nibabel.load(path).affine)


def test_a_sheared_sform_alone_is_refused(tmp_path):
    path = save(image(voxels(), SHEARED, 0, 1), tmp_path / "phase.nii")
    with pytest.raises(GeometryError, match="'phase.nii' are .* degrees off a right angle"):
        read_volume(path)


@pytest.mark.parametrize("offset, form", [(284, "sform"), (268, "qform")])
def test_a_form_alone_that_holds_nan_is_refused(tmp_path, offset, form):
    codes = (1, 0) if form == "qform" else (0, 1)
    path = patch(save(image(voxels(), TURNED, *codes), tmp_path / "phase.nii"), offset, "<f", float("nan"))
    with pytest.raises(GeometryError, match=f"The {form} of 'phase.nii' holds values that are not valid"):
        read_volume(path)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_spacing_that_is_no_length_is_refused(tmp_path, value):
    path = patch(save(image(voxels()), tmp_path / "phase.nii"), 84, "<f", value)
    with pytest.raises(GeometryError, match=f"spacing of 'phase.nii' holds {value:g}"):
        read_volume(path)


@pytest.mark.parametrize("codes", [(1, 0), (1, 1), (0, 1), (0, 0)])
def test_a_negative_spacing_counts_by_its_size_and_is_said(tmp_path, codes):
    path = save(image(voxels(), TURNED, *codes), tmp_path / "phase.nii")
    expected = nibabel_places(nibabel.load(path))
    volume, messages = read_with_messages(patch(path, 80, "<2f", -1.5, -1.5))
    assert np.allclose(places(volume.geometry), expected, atol=1e-4)
    assert "'phase.nii' is negative along an axis: its absolute value is used" in messages[0]


def test_a_qfac_of_zero_stands_for_one(tmp_path):
    path = save(image(voxels(), TURNED, 1, 0), tmp_path / "phase.nii")
    expected = nibabel_places(nibabel.load(path))
    volume, messages = read_with_messages(patch(path, 76, "<f", 0))
    assert np.allclose(places(volume.geometry), expected, atol=1e-4) and messages == []


@pytest.mark.parametrize("unit, millimetres, words", [("meter", 1000, "in metres"),
                                                      ("micron", 0.001, "in micrometres")])
def test_lengths_in_another_unit_are_converted_and_said_and_a_result_has_the_unit_of_its_input(
        tmp_path, unit, millimetres, words):
    made = image(voxels(), TURNED)
    made.header.set_xyzt_units(unit)
    path = save(made, tmp_path / "phase.nii")
    volume, messages = read_with_messages(path)
    assert np.allclose(places(volume.geometry), millimetres * nibabel_places(made), rtol=1e-5, atol=1e-3 * millimetres)
    assert np.allclose(volume.geometry.spacing, sitk.ReadImage(path).GetSpacing()[::-1], rtol=1e-5)
    assert len(messages) == 1 and words in messages[0]
    result = nibabel.load(write(tmp_path / "result.nii", PhaseSequence.counted([volume])))
    assert same_orientation(result, made) and result.header.get_xyzt_units()[0] == unit


# -- times -------------------------------------------------------------------------------------------------------------


def cine(path, step=40.0, unit="msec", start=0.0, kind="single", frames=3) -> str:
    made = image(voxels((*SHAPE, frames)), kind=kind)
    made.header["pixdim"][4], made.header["toffset"] = step, start
    made.header.set_xyzt_units("mm", unit)
    return save(made, path)


@pytest.mark.parametrize("unit, name", [("sec", "s"), ("msec", "ms"), ("usec", "us")])
@pytest.mark.parametrize("kind", ["single", "single-2"])
def test_the_time_step_and_its_unit_tell_when_the_phases_are(tmp_path, kind, unit, name):
    sequence = read_sequence(cine(tmp_path / "cine.nii", 0.04, unit, 0.5, kind))
    assert sequence.index == pytest.approx((0.5, 0.54, 0.58), rel=1e-12)
    assert (sequence.index_name, sequence.index_unit) == ("time", name)


@pytest.mark.parametrize("step, unit", [(0, "msec"), (float("nan"), "msec"), (-40, "msec"), (40, "unknown"),
                                        (40, "hz")])
def test_phases_whose_time_nobody_tells_are_counted(tmp_path, step, unit):
    sequence = read_sequence(cine(tmp_path / "cine.nii", step, unit))
    assert (sequence.index, sequence.index_name, sequence.index_unit) == ((0, 1, 2), "frame", "")


@pytest.mark.parametrize("unit, name", [("sec", "s"), ("msec", "ms"), ("usec", "us")])
def test_a_result_has_the_new_step_in_the_unit_of_its_input_and_begins_when_it_does(tmp_path, unit, name):
    sequence = read_sequence(cine(tmp_path / "cine.nii", 40, unit, 12))
    times = FrameTimes(tuple(12.0 + 20 * number for number in range(3)), sequence.index_name, sequence.index_unit)
    result = nibabel.load(write(tmp_path / "result.nii.gz", sequence, times))
    assert result.header["pixdim"][4] == 20 and result.header["toffset"] == 12
    assert result.header.get_xyzt_units() == ("mm", unit)
    again = read_sequence(tmp_path / "result.nii.gz")
    assert (again.index, again.index_name, again.index_unit) == (times.values, "time", name)


@pytest.mark.parametrize("values, name, unit", [((0.0, 10.0, 40.0), "time", "ms"), ((0.0, 50.0, 100.0), "phase", "%")])
def test_times_that_nifti_has_no_field_for_are_kept_in_the_comment(tmp_path, values, name, unit):
    sequence = read_sequence(cine(tmp_path / "cine.nii"))
    result = nibabel.load(write(tmp_path / "result.nii", sequence, FrameTimes(values, name, unit)))
    assert result.header["pixdim"][4] == 1 and result.header.get_xyzt_units() == ("mm", "unknown")
    again = read_sequence(tmp_path / "result.nii")
    assert (again.index, again.index_name, again.index_unit) == (values, name, unit)


@settings(max_examples=30)
@given(st.floats(0, 1e6), st.floats(1e-3, 1e4), st.integers(2, 4))
def test_times_always_rise(start, step, frames):
    with tempfile.TemporaryDirectory() as folder:
        sequence = read_sequence(cine(os.path.join(folder, "cine.nii"), step, "msec", start, frames=frames))
    assert len(sequence.index) == frames and strictly_increasing(sequence.index)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header, data", [("Phase.Hdr", "Phase.IMG"), ("phase.hdr", "phase.img"),
                                          ("PHASE.HDR", "PHASE.img"), ("phase.hdr.gz", "phase.img.gz"),
                                          ("phase.hdr", "phase.img.gz"), ("phase.hdr.GZ", "phase.img")])
@pytest.mark.parametrize("given", [0, 1])
def test_either_file_of_a_pair_can_be_given_whatever_the_case_of_its_ending(tmp_path, header, data, given):
    nibabel.save(image(voxels(), kind="pair"), tmp_path / "source.img")
    (tmp_path / "phase").mkdir()
    for ending, name in ((".hdr", header), (".img", data)):
        content = (tmp_path / ("source" + ending)).read_bytes()
        (tmp_path / "phase" / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    volume = read_volume(tmp_path / "phase" / (header, data)[given])
    assert np.array_equal(volume.array, voxels().T)
    assert np.allclose(places(volume.geometry), nibabel_places(image(voxels())), atol=1e-4)


def test_a_pair_counts_as_one_phase_of_a_folder(tmp_path):
    for number in range(3):
        nibabel.save(image(voxels(seed=number), kind="pair"), tmp_path / f"phase{number}.img")
    phases = read_sequence(tmp_path).phases
    assert [np.array_equal(phase.array, voxels(seed=number).T) for number, phase in enumerate(phases)] == [True] * 3


@pytest.mark.parametrize("left", ["phase.hdr", "phase.img"])
def test_half_a_pair_is_refused_with_the_name_of_the_other_half(tmp_path, left):
    nibabel.save(image(voxels(), kind="pair"), tmp_path / "phase.img")
    other = "phase.img" if left == "phase.hdr" else "phase.hdr"
    (tmp_path / other).unlink()
    with pytest.raises(InputError, match=f"'{left}' is one file of a pair, and '{other}' is not beside it"):
        read_volume(tmp_path / left)


@pytest.mark.parametrize("name", ["PHASE.NII.GZ", "Phase.Nii", "phase.NII.gz"])
def test_the_case_of_an_ending_does_not_matter(tmp_path, name):
    made = save(image(voxels()), tmp_path / ("source.nii.gz" if name.lower().endswith("gz") else "source.nii"))
    os.rename(made, tmp_path / name)
    assert np.array_equal(read_volume(tmp_path / name).array, voxels().T)


@pytest.mark.parametrize("made, named", [("phase.nii", "renamed.nii.gz"), ("phase.nii.gz", "renamed.nii")])
def test_a_name_that_is_wrong_about_compression_does_not_matter(tmp_path, made, named):
    os.rename(save(image(voxels()), tmp_path / made), tmp_path / named)
    assert np.array_equal(read_volume(tmp_path / named).array, voxels().T)


def test_a_compressed_file_is_not_mixed_with_the_one_beside_it(tmp_path):
    for name, seed in (("phase.nii", 1), ("phase.nii.gz", 2)):
        save(image(voxels(seed=seed)), tmp_path / name)
    for name, seed in (("phase.nii", 1), ("phase.nii.gz", 2)):
        assert np.array_equal(read_volume(tmp_path / name).array, voxels(seed=seed).T)


@pytest.mark.parametrize("shape", [(*SHAPE, 1, 3), (*SHAPE, 3, 1), (*SHAPE, 3, 1, 1), (*SHAPE, 1, 1, 3)])
def test_axes_of_one_element_do_not_matter(tmp_path, shape):
    array = voxels(shape)
    messages = []
    sequence = read_sequence(save(image(array), tmp_path / "cine.nii"), messages)
    assert np.array_equal(frames_of(sequence), array.reshape(*SHAPE, 3))
    assert len(messages) == (shape[3] == 1)  # that another axis than the fourth is taken for the phases


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize("made, words", [
    (lambda: image(voxels(dtype="float32").astype("complex64")), "has complex voxels: give its magnitude"),
    (lambda: image(np.zeros(SHAPE, RGB)), "has colours .* as voxels"),
    (lambda: image(voxels((*SHAPE, 1, 3)), intent_code=1007), "has 3 values a voxel"),
    (lambda: image(voxels((*SHAPE, 3)), intent_code=2006), "has 3 values a voxel"),
    (lambda: image(voxels((*SHAPE, 3)), intent_code=1002), "is a label map"),
    (lambda: image(voxels(dtype="uint8"), intent_code=1002), "is a label map"),
    (lambda: image(voxels((*SHAPE, 2, 3))), "has 5 dimensions"),
    (lambda: image(voxels(SHAPE[:2])), "is an empty or two-dimensional"),
], ids=["complex", "rgb", "vector", "warp", "labels-4d", "labels", "five", "flat"])
@pytest.mark.parametrize("kind", ["single", "single-2"])
def test_what_is_not_an_image_of_grey_values_is_refused_for_the_true_reason(tmp_path, made, words, kind):
    made = made()
    path = save(KINDS[kind].from_image(made), tmp_path / "phase.nii")
    with pytest.raises(InputError, match=f"'phase.nii' {words}") as refusal:
        read_volume(path)
    assert "damaged" not in str(refusal.value)


def test_an_analyze_image_is_refused_for_the_true_reason(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(voxels(), np.eye(4)), tmp_path / "phase.img")
    with pytest.raises(InputError, match="'phase.img' is an Analyze 7.5 image, which does not tell its orientation"):
        read_volume(tmp_path / "phase.img")


def broken(path, change) -> str:
    content = bytearray(Path(path).read_bytes())
    Path(path).write_bytes(bytes(change(content)))
    return str(path)


def flipped_bit(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 1
    return content


@pytest.mark.parametrize("name, change", [
    ("phase.nii.gz", lambda content: content[:-8] + bytes(4) + content[-4:]),  # the checksum
    ("phase.nii.gz", lambda content: content[:-4] + bytes(4)),  # the length
    ("phase.nii.gz", lambda content: content[:-1]),
    ("phase.nii.gz", lambda content: content[:len(content) // 2]),
    ("phase.nii.gz", flipped_bit),
    ("phase.nii", lambda content: content[:-1]),
    ("phase.nii", lambda content: content[:200]),
    ("phase.nii", lambda content: content[:108] + struct.pack("<f", 0) + content[112:]),  # where the voxels begin
    ("phase.nii", lambda content: b"dear colleague" * 100),
    ("phase.hdr", lambda content: content[:100]),
    ("phase.img", lambda content: content[:-1]),
], ids=["checksum", "length", "last byte", "half", "bit", "short", "header only", "offset", "letter", "short header",
        "short voxels"])
def test_a_damaged_file_is_called_damaged(tmp_path, capfd, name, change):
    save(image(voxels(), kind="pair" if name.endswith(("hdr", "img")) else "single"), tmp_path / name)
    broken(tmp_path / name, change)
    with pytest.raises(InputError, match=f"'{name}' cannot be read as an image: it is damaged"):
        read_volume(tmp_path / name)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("offset, fmt, values, words", [
    (70, "<h", [7777], "'phase.nii' has voxels of a type that cannot be read \\(NIfTI code 7777\\)"),
    (70, "<h", [1], "'phase.nii' has voxels of a type that cannot be read \\(NIfTI code 1\\)"),
    (112, "<2f", [2, float("nan")], "The header of 'phase.nii' is not valid \\(.*intercept nan\\)"),
])
def test_a_header_that_makes_no_sense_is_refused_with_what_is_wrong_in_it(tmp_path, capfd, offset, fmt, values, words):
    path = patch(save(image(voxels()), tmp_path / "phase.nii"), offset, fmt, *values)
    with pytest.raises(InputError, match=words):
        read_volume(path)
    assert capfd.readouterr().err == ""


def test_an_extension_of_another_program_is_left_alone_even_where_it_is_broken(tmp_path):
    made = image(voxels())
    made.header.extensions.append(nibabel.nifti1.Nifti1Extension(4, b"<AFNI_attributes/>"))
    path = save(made, tmp_path / "phase.nii")
    assert np.array_equal(read_volume(path).array, voxels().T)
    assert np.array_equal(read_volume(patch(path, 352, "<i", -5)).array, voxels().T)


# -- results -----------------------------------------------------------------------------------------------------------


def result_of(path, source=None, dtype="int16", shape=SHAPE, messages=None) -> str:
    geometry = Geometry(shape[::-1], (1.0, 1.0, 1.0))
    with open_writer(path, geometry, dtype, [0, 25, 100], [True, False, True], {"ttt4d.seed": "0"}, source) as writer:
        for number in range(3):
            writer.write(number, np.full(geometry.shape, number, dtype))
        if messages is not None:
            messages.extend(writer.messages)
    return str(path)


@pytest.mark.parametrize("name", ["result.nii", "result.nii.gz"])
@pytest.mark.parametrize("kind", ["single", "single-2"])
def test_a_result_tells_its_computed_frames_whichever_version_it_is_of(tmp_path, name, kind):
    source = image(voxels(), np.eye(4), kind=kind).header
    path = result_of(tmp_path / name, source)
    assert isinstance(nibabel.load(path), KINDS[kind])
    assert [phase.synthetic for phase in read_sequence(path).phases] == [False, True, False]


def test_a_copy_of_a_result_without_some_of_its_frames_is_not_marked_by_the_wrong_ones(tmp_path):
    made = nibabel.load(result_of(tmp_path / "result.nii"))
    path = save(nibabel.Nifti1Image(np.asarray(made.dataobj)[..., 1:], made.affine, made.header), tmp_path / "copy.nii")
    assert [phase.synthetic for phase in read_sequence(path).phases] == [False, False]


def test_an_image_too_long_for_nifti_1_is_written_as_nifti_2(tmp_path):
    said = []
    path = result_of(tmp_path / "long.nii", shape=(32768, 2, 2), messages=said)
    assert isinstance(nibabel.load(path), nibabel.Nifti2Image)
    assert [phase.array.max() for phase in read_sequence(path).phases] == [0, 1, 2]
    assert len(said) == 1 and "'long.nii' is written as NIfTI-2" in said[0]


def test_the_result_of_a_command_lies_where_its_input_does_and_has_its_time_step(tmp_path, phases, small_weights):
    made = nibabel.Nifti1Image(np.stack([phase.array.T for phase in phases(3)], axis=-1), None)
    made.set_qform(TURNED, 1)
    made.set_sform(SHEARED, 2)
    made.header["pixdim"][4] = 40
    made.header.set_xyzt_units("mm", "msec")
    path = save(made, tmp_path / "cine.nii.gz")
    output = str(tmp_path / "result.nii.gz")
    assert cli.run(["interpolate", path, "-o", output, "--weights", small_weights, "--auxiliary", "none", "--canvas",
                    "16", "--frames", "1"]) == 0
    result = nibabel.load(output)
    assert same_orientation(result, nibabel.load(path)) and np.array_equal(result.affine, nibabel.load(path).affine)
    assert result.shape[3] == 5 and result.header["pixdim"][4] == 20
    assert result.header.get_xyzt_units() == ("mm", "msec")


def test_nibabel_is_loaded_only_where_a_nifti_file_is_read(tmp_path):
    program = ("import sys, ttt4d.images.readers, ttt4d.images.writers, ttt4d.images.formats.nifti\n"
               "assert 'nibabel' not in sys.modules\n"
               "ttt4d.images.readers.read_volume(sys.argv[1])\n"
               "assert 'nibabel' in sys.modules")
    path = save(image(voxels()), tmp_path / "phase.nii")
    environment = {**os.environ, "PYTHONPATH": str(Path(ttt4d.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program, path], check=True, env=environment)
