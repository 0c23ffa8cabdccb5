"""Volumes and sequences come in and go out as they are, and what cannot be used is refused with one sentence."""

from __future__ import annotations

import gc
import gzip
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.errors import GeometryError, InputError, OutputError, UserError
from ttt4d.images.checks import check_phases
from ttt4d.images.readers import read_sequence, read_volume
from ttt4d.images.resampling import resample_to, to_sitk
from ttt4d.images.volume import Geometry, Volume
from ttt4d.images.writers import check_output, open_writer
from ttt4d.temporal.phantom import beating_heart

DATA = Path(os.environ.get("TTT4D_DATA", Path(__file__).parents[3] / "shared" / "data"))
SUFFIXES = [".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd"]
OUTPUTS = ["out.seq.nrrd", "out.nii.gz", "out.nii", "out"]
DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
OBLIQUE = Geometry((3, 4, 5), (8.0, 1.5, 1.25), (10.5, -20.25, 3.0),
                   ((0.0, -0.28, -0.96), (0.0, 0.96, -0.28), (1.0, 0.0, 0.0)))  # left-handed


def noise(dtype="int16", geometry=OBLIQUE, seed=0) -> Volume:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return Volume(generator.normal(0, 1000, geometry.shape).astype(dtype), geometry)
    limits = np.iinfo(dtype)
    return Volume(generator.integers(limits.min, limits.max, geometry.shape, dtype, endpoint=True), geometry)


def save(volume: Volume, path) -> str:
    sitk.WriteImage(to_sitk(volume), str(path))
    return str(path)


def equal(one: Volume, other: Volume) -> bool:
    return np.array_equal(one.array, other.array) and not one.geometry.differences(other.geometry)


@st.composite
def geometries(draw):
    """Any grid: sizes, spacings and places at random, turned at random, half of them left-handed."""
    seed = draw(st.integers(0, 2**31))
    direction, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    direction[:, 0] *= np.sign(np.linalg.det(direction)) * draw(st.sampled_from([1, -1]))
    size = draw(st.tuples(st.integers(1, 4), st.integers(2, 5), st.integers(2, 6)))
    spacing = draw(st.tuples(*[st.floats(0.2, 12)] * 3))
    origin = draw(st.tuples(*[st.floats(-400, 400)] * 3))
    return Geometry(size, spacing, origin, tuple(map(tuple, direction.tolist())))


# -- reading -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(geometries(), st.sampled_from(SUFFIXES))
def test_a_volume_of_any_grid_is_read_as_it_is_in_every_format(geometry, suffix):
    volume = noise(geometry=geometry)
    with tempfile.TemporaryDirectory() as folder:
        path = save(volume, os.path.join(folder, "phase" + suffix))
        assert equal(read_volume(path), volume)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_every_scalar_type_is_kept(tmp_path, suffix, dtype):
    volume = noise(dtype)
    read = read_volume(save(volume, tmp_path / ("phase" + suffix)))
    assert read.array.dtype == dtype and np.array_equal(read.array, volume.array)


def test_a_compressed_nifti_beside_an_uncompressed_one_of_the_same_name_is_not_mixed_with_it(tmp_path):
    one, other = noise(seed=1), noise(seed=2)
    save(one, tmp_path / "phase.nii")
    save(other, tmp_path / "phase.nii.gz")
    assert equal(read_volume(tmp_path / "phase.nii"), one)
    assert equal(read_volume(tmp_path / "phase.nii.gz"), other)


def write_dicom(folder, volume: Volume, uid="1.2.826.1", skip=(), name="slice", first=0):
    folder.mkdir(exist_ok=True)
    image = to_sitk(volume)
    direction = np.reshape(image.GetDirection(), (3, 3)).T
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        if k in skip:
            continue
        plane = image[:, :, k]
        for tag, words in {
            "0008|0018": [f"{uid}.{first + k + 1}"], "0008|0060": ["CT"], "0020|000d": ["1.2.826"], "0020|000e": [uid],
            "0020|0013": [first + k + 1], "0020|0032": image.TransformIndexToPhysicalPoint((0, 0, k)),
            "0020|0037": direction[:2].ravel(), "0018|0050": [volume.geometry.spacing[0]],
        }.items():
            plane.SetMetaData(tag, "\\".join(str(word) for word in words))
        writer.SetFileName(str(folder / f"{name}{k}.dcm"))
        writer.Execute(plane)
    return folder


STACK = Geometry((4, 5, 6), (8.0, 1.5, 1.25), (10.5, -20.25, 3.0),
                 ((0.0, -0.28, 0.96), (0.0, 0.96, 0.28), (1.0, 0.0, 0.0)))


def test_a_dicom_series_folder_is_read_with_its_oblique_grid_and_negative_values(tmp_path):
    volume = Volume(np.random.default_rng(0).integers(-1000, 1000, STACK.shape).astype(np.int16), STACK)
    folder = write_dicom(tmp_path / "series", volume)
    assert equal(read_volume(folder), volume)


def test_a_dicom_series_of_one_slice_keeps_its_thickness(tmp_path):
    single = noise(geometry=Geometry((1, 5, 6), (8.0, 1.5, 1.25)))
    assert equal(read_volume(write_dicom(tmp_path / "series", single)), single)


def test_subfolders_are_phases_whatever_else_lies_beside_them(tmp_path):
    for number in range(2):
        write_dicom(tmp_path / f"phase{number}", noise(geometry=STACK, seed=number), f"1.2.826.{number}")
    (tmp_path / "notes.txt").write_text("acquired on a Monday")
    assert len(read_sequence(tmp_path).phases) == 2


def test_several_dicom_series_in_one_folder_are_counted_and_refused(tmp_path):
    for number in (1, 2, 3):
        write_dicom(tmp_path / "series", noise(geometry=STACK), f"1.2.826.{number}", name=f"s{number}_")
    with pytest.raises(InputError, match="holds 3 DICOM series"):
        read_volume(tmp_path / "series")


def test_a_dicom_series_with_a_missing_slice_is_refused(tmp_path):
    with pytest.raises(InputError, match="not evenly spaced"):
        read_volume(write_dicom(tmp_path / "series", noise(geometry=STACK), skip=[2]))


def test_a_dicom_series_of_a_tilted_gantry_is_refused(tmp_path):
    for k in range(4):  # each slice 20 degrees off the normal of the one before
        origin = np.add(STACK.origin, STACK.matrix @ (k, 0, 0)) + np.asarray(STACK.direction)[:, 1] * 8.0 * k * 0.36
        slab = Geometry((1, *STACK.shape[1:]), STACK.spacing, tuple(origin.tolist()), STACK.direction)
        write_dicom(tmp_path / "series", noise(geometry=slab), name=f"slice{k}_", first=k)
    with pytest.raises(GeometryError, match="tilted gantry"):
        read_volume(tmp_path / "series")


def test_a_dicom_series_over_time_is_not_taken_for_one_volume(tmp_path):
    for phase in range(2):
        write_dicom(tmp_path / "series", noise(geometry=STACK, seed=phase), name=f"phase{phase}_")
    with pytest.raises(InputError, match="several images at one place"):
        read_volume(tmp_path / "series")


def test_a_four_dimensional_nifti_is_a_sequence(tmp_path):
    phases = [noise(seed=seed) for seed in range(3)]
    sitk.WriteImage(sitk.JoinSeries([to_sitk(phase) for phase in phases]), str(tmp_path / "beat.nii.gz"))
    sequence = read_sequence(tmp_path / "beat.nii.gz")
    assert all(equal(*pair) for pair in zip(sequence.phases, phases)) and len(sequence.phases) == 3
    assert (sequence.index, sequence.index_name, sequence.index_unit) == ((0, 1, 2), "time", "s")  # as ITK writes it
    with pytest.raises(InputError, match="is a sequence of 3 phases"):
        read_volume(tmp_path / "beat.nii.gz")


@pytest.mark.parametrize("first", [True, False])
def test_a_slicer_sequence_is_read_with_its_phases_along_the_first_or_the_last_axis(tmp_path, first):
    phases = np.random.default_rng(0).integers(-500, 500, (2, 3, 4, 5)).astype("<i2")

    def words(spatial, listed):
        return f"{listed} {spatial}" if first else f"{spatial} {listed}"

    header = "\n".join([
        "NRRD0005", "type: short", "dimension: 4", "space: right-anterior-superior", f"sizes: {words('5 4 3', '2')}",
        f"space directions: {words('(0,2,0) (-1.5,0,0) (0,0,8)', 'none')}",
        "kinds: " + words("domain domain domain", "list"), "labels: " + words('"" "" ""', '"time"'),
        "endian: little", "encoding: gzip", "space origin: (-7,3,1)", "DataNodeClassName:=vtkMRMLScalarVolumeNode",
        f"axis {0 if first else 3} index type:=numeric", f"axis {0 if first else 3} index values:=12.5 40", "", ""])
    stored = np.moveaxis(phases, 0, -1) if first else phases
    (tmp_path / "beat.seq.nrrd").write_bytes(header.encode() + gzip.compress(stored.tobytes()))
    sequence = read_sequence(tmp_path / "beat.seq.nrrd")
    assert (sequence.index, sequence.index_name) == ((12.5, 40.0), "time")
    assert all(np.array_equal(read.array, phase) for read, phase in zip(sequence.phases, phases))
    assert np.allclose(sequence.phases[0].geometry.index_to_world((1, 1, 1)), [7 + 1.5, -3 - 2, 1 + 8])  # LPS


@pytest.mark.parametrize("index", [(0, 10, 10), (0, 10, np.nan), (0, 10, np.inf)])
def test_an_index_with_doubles_or_without_numbers_is_left_alone(tmp_path, index):
    frames = [noise(seed=seed).array for seed in range(3)]
    with open_writer(tmp_path / "beat.seq.nrrd", OBLIQUE, np.int16, index, [True] * 3, {}) as writer:
        for number, frame in enumerate(frames):
            writer.write(number, frame)
    assert read_sequence(tmp_path / "beat.seq.nrrd").index == (0, 1, 2)


def test_a_folder_of_phases_is_read_in_natural_order_and_other_files_are_left_alone(tmp_path):
    phases = [noise(seed=seed) for seed in range(3)]
    for name, phase in zip(["phase2.nii.gz", "phase9.nii.gz", "phase10.nii.gz"], phases):
        save(phase, tmp_path / name)
    (tmp_path / "notes.txt").write_text("acquired on a Monday")
    assert all(equal(*pair) for pair in zip(read_sequence(tmp_path).phases, phases))


def test_a_folder_of_dicom_series_folders_is_a_sequence(tmp_path):
    phases = [noise(geometry=STACK, seed=seed) for seed in range(2)]
    for number, phase in enumerate(phases):
        write_dicom(tmp_path / f"phase{number}", phase, f"1.2.826.{number}")
    assert all(equal(*pair) for pair in zip(read_sequence(tmp_path).phases, phases))


# -- what is refused ---------------------------------------------------------------------------------------------------


def patched_nifti(path, offset, fmt, *values):
    save(noise(), path)
    content = bytearray(path.read_bytes())
    struct.pack_into(fmt, content, offset, *values)
    path.write_bytes(content)


def nrrd(path, *lines):
    path.write_text("\n".join(["NRRD0004", "type: uint8", "encoding: raw", *lines, "", "0" * 200]))


def cut(path, volume, keep):
    save(volume, path)
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * keep)])


BIG = Geometry((20, 30, 40), (1.0, 1.0, 1.0))
UNREADABLE = {
    "missing.nrrd": (lambda path: None, "There is no file"),
    "text.nrrd": (lambda path: path.write_text("dear colleague"), "cannot be read as an image"),
    "text.nii": (lambda path: path.write_text("dear colleague"), "cannot be read as an image"),
    "nothing.nii.gz": (lambda path: path.write_bytes(b""), "cannot be read as an image"),
    "cut.nii.gz": (lambda path: cut(path, noise(geometry=BIG), 0.5), "cut short"),
    "tail.nii.gz": (lambda path: cut(path, noise(geometry=BIG), 0.999), "cut short"),
    "cut.nii": (lambda path: cut(path, noise(geometry=BIG), 0.9), "cut short"),
    "cut.mha": (lambda path: cut(path, noise(geometry=BIG), 0.5), "cut short"),
    "cut.nrrd": (lambda path: cut(path, noise(geometry=BIG), 0.5), "cut short"),
    "picture.png": (lambda path: path.write_bytes(b"\x89PNG"), "not in a format that can be read"),
    "folder": (lambda path: path.mkdir(), "holds no DICOM series"),
    "flat.nrrd": (lambda path: nrrd(path, "dimension: 2", "sizes: 5 4"), "two-dimensional"),
    "rgb.nrrd": (lambda path: nrrd(path, "dimension: 4", "sizes: 3 4 3 2", "kinds: RGB-color domain domain domain"),
                 "is a colour image"),
    "rgb.nii.gz": (lambda path: sitk.WriteImage(sitk.Compose([to_sitk(noise())] * 3), str(path)), "has 3 values"),
    "five.nrrd": (lambda path: nrrd(path, "dimension: 5", "sizes: 5 4 3 2 1"), "has 5 dimensions"),
    "labels.nii": (lambda path: patched_nifti(path, 68, "<h", 1002), "is a label map"),
    "zero.nii": (lambda path: patched_nifti(path, 84, "<f", 0), "holds 0, which is not above zero"),
    "nan.nii": (lambda path: patched_nifti(path, 84, "<f", float("nan")), "holds nan, which is not above zero"),
    "negative.nrrd": (lambda path: nrrd(path, "dimension: 3", "sizes: 4 3 2", "spacings: 1 -1 2"), "holds -1"),
    "zero.nrrd": (lambda path: nrrd(path, "dimension: 3", "sizes: 4 3 2", "space: LPS",
                                    "space directions: (1,0,0) (0,0,0) (0,0,1)"), "holds 0"),
    "negative.mha": (lambda path: path.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementSpacing = 1 -1 2\n"
        b"ElementDataFile = LOCAL\n" + bytes(24)), "holds -1"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_a_volume_is_refused_with_one_sentence(tmp_path, capfd, name):
    make, words = UNREADABLE[name]
    make(tmp_path / name)
    with pytest.raises(UserError, match=words) as refusal:
        read_volume(tmp_path / name)
    assert name in str(refusal.value) and "\n" not in str(refusal.value) and str(refusal.value).count(". ") == 0
    assert capfd.readouterr().err == ""  # the libraries' own warnings would confuse


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="everything may be opened by this user")
def test_a_file_that_may_not_be_opened_is_told_apart_from_a_damaged_one(tmp_path):
    os.chmod(save(noise(), tmp_path / "phase.nrrd"), 0)
    with pytest.raises(InputError, match="may not be opened"):
        read_volume(tmp_path / "phase.nrrd")


IMAGE = np.random.default_rng(0).integers(-100, 1000, (4, 16, 16)).astype(np.int16)


def phase(array) -> Volume:
    return Volume(array, Geometry(array.shape, (1.0, 1.0, 1.0)))


def labels(count=4):
    _, rows, columns = np.mgrid[:4, :32, :32]
    return np.minimum(np.hypot(rows - 16, columns - 16) // 4, count - 1).astype(np.uint8)


@pytest.mark.parametrize("array, words", [
    (labels(), "Phase 1 is a label map"),
    (labels().astype(np.float32), "Phase 1 is a label map"),
    ((IMAGE > 300).astype(np.uint8), "Phase 1 is a label map"),
    (np.where(IMAGE > 900, np.nan, IMAGE), "not numbers"),
    (np.where(IMAGE > 900, np.inf, IMAGE), "not numbers"),
    (np.full_like(IMAGE, 7), "the same value in every voxel"),
    (np.zeros((4, 0, 16), np.int16), "empty or a single line"),
    (np.arange(16, dtype=np.int16).reshape(1, 16, 1), "empty or a single line"),
    (IMAGE > 300, "voxels of type bool"),
])
def test_a_phase_that_is_no_image_is_refused(array, words):
    with pytest.raises(InputError, match=words):
        check_phases([phase(IMAGE), phase(array)])


def test_one_volume_given_for_two_is_refused():
    with pytest.raises(InputError, match="Phases 0 and 1 are the same image"):
        check_phases([phase(IMAGE), phase(IMAGE.copy())])


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_phases_are_refused(count):
    with pytest.raises(InputError, match="At least two phases"):
        check_phases([phase(IMAGE)] * count)


@pytest.mark.parametrize("levels", [6, 16, 64])
def test_a_real_image_of_few_grey_levels_is_not_taken_for_a_label_map(levels):
    frames, _ = beating_heart([0, 1], noise=0.02)
    check_phases([phase((frame.array.astype(float) * levels / 1000).astype(np.uint8)) for frame in frames])


@pytest.mark.skipif(not (DATA / "acdc" / "patient001").is_dir(), reason="needs the real images of TTT4D_DATA")
def test_real_cine_mr_is_accepted_and_the_experts_labels_are_refused():
    patient = DATA / "acdc" / "patient001"
    check_phases(read_sequence(patient / "patient001_4d.nii.gz").phases)
    with pytest.raises(InputError, match="label map"):
        check_phases([read_volume(path) for path in sorted(patient.glob("*_gt.nii.gz"))])


@pytest.mark.skipif(not (DATA / "echo").is_dir(), reason="needs the real images of TTT4D_DATA")
def test_real_echo_is_accepted():
    check_phases(read_sequence(DATA / "echo" / "echo_11f.nii.gz").phases)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_single_slice_phases_are_images_along_whichever_axis_they_are_stored(axis):
    check_phases([phase(np.moveaxis(IMAGE[n:n + 1], 0, axis)) for n in (0, 1)])


# -- one grid for all --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(geometries(), geometries())
def test_a_phase_is_resampled_by_where_its_voxels_are(source, target):
    """A grey value linear in space must come out by the place of each voxel, wherever both grids hold it."""
    source = Geometry((8, 9, 10), source.spacing, source.origin, source.direction)
    middle = source.index_to_world((3.5, 4, 4.5))
    target = Geometry(target.shape, tuple(0.2 * min(source.spacing) for _ in range(3)), tuple(middle), target.direction)
    index = np.stack(np.meshgrid(*map(np.arange, source.shape), indexing="ij"), axis=-1)
    weights = np.array([3.0, 5.0, 7.0])
    moved = resample_to(Volume(source.index_to_world(index) @ weights, source), target)
    index = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), axis=-1)
    assert np.allclose(moved.array, target.index_to_world(index) @ weights, atol=1e-3)
    assert moved.geometry == target


def test_resampled_integers_are_rounded_and_keep_their_type():
    grid = Geometry((2, 2, 4), (1.0, 1.0, 1.0))
    volume = Volume(np.broadcast_to(np.array([0, 1, -1, 10], np.int16), grid.shape).copy(), grid)
    between = Geometry((2, 2, 3), (1.0, 1.0, 1.0), (0.75, 0.0, 0.0))
    moved = resample_to(volume, between)
    assert moved.array.dtype == np.int16 and moved.array[0, 0].tolist() == [1, 0, 7]  # of 0.75, -0.5 and 7.25


def test_a_phase_whose_grid_agrees_keeps_its_voxels():
    volume = noise()
    assert resample_to(volume, OBLIQUE).array is volume.array


def test_phases_that_do_not_overlap_in_space_are_refused():
    away = Geometry(OBLIQUE.shape, OBLIQUE.spacing, (500.0, 0.0, 0.0), OBLIQUE.direction)
    with pytest.raises(GeometryError, match="do not overlap in space"):
        resample_to(noise(), away)


# -- writing -----------------------------------------------------------------------------------------------------------

INDEX, ACQUIRED = [0, 100 / 3, 100], [True, False, True]
PROVENANCE = {"ttt4d.settings": '{"seed": 0}\nsecond line \\ é', "ttt4d.note": "not for clinical use"}


def write(path, frames, geometry=OBLIQUE):
    count = len(frames)
    with open_writer(path, geometry, frames[0].dtype, INDEX[:count], ACQUIRED[:count], PROVENANCE) as writer:
        for number, frame in enumerate(frames):
            writer.write(number, frame)


@settings(max_examples=40, deadline=None)
@given(geometries(), st.sampled_from(OUTPUTS))
def test_frames_of_any_grid_come_back_as_they_were_written(geometry, name):
    frames = [noise(geometry=geometry, seed=seed).array for seed in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        write(os.path.join(folder, name), frames, geometry)
        phases = read_sequence(os.path.join(folder, name)).phases
        assert os.listdir(folder) == [name]
    assert all(equal(read, Volume(frame, geometry)) for read, frame in zip(phases, frames)) and len(phases) == 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OUTPUTS)
def test_every_scalar_type_is_written(tmp_path, name, dtype):
    frames = [noise(dtype, seed=seed).array for seed in range(2)]
    if dtype.endswith("int64"):
        frames = [frame // 2**12 for frame in frames]  # what float64 holds exactly, which .seq.nrrd takes for int64
    write(tmp_path / name, frames)
    phases = read_sequence(tmp_path / name).phases
    assert all(np.array_equal(read.array, frame) for read, frame in zip(phases, frames))
    slicer_cannot = name.endswith(".seq.nrrd") and dtype.endswith("int64")
    assert phases[0].array.dtype == ("float64" if slicer_cannot else dtype)


def test_a_sequence_file_keeps_its_index_marks_and_provenance(tmp_path):
    write(tmp_path / "out.seq.nrrd", [noise(seed=seed).array for seed in range(3)])
    sequence = read_sequence(tmp_path / "out.seq.nrrd")
    assert sequence.index == pytest.approx(INDEX) and (sequence.index_name, sequence.index_unit) == ("phase", "%")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(tmp_path / "out.seq.nrrd"))
    reader.ReadImageInformation()
    assert [reader.GetMetaData(f"axis 3 item {n:04d} ttt4d.frame") for n in range(3)] == [
        "acquired", "synthetic", "acquired"]
    assert {key: reader.GetMetaData(key) for key in PROVENANCE} == PROVENANCE


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_nibabel_reads_the_nifti_with_its_place_and_provenance(tmp_path, name):
    nibabel = pytest.importorskip("nibabel")
    frames = [noise(seed=seed).array for seed in range(3)]
    write(tmp_path / name, frames)
    image = nibabel.load(tmp_path / name)
    assert np.array_equal(np.asarray(image.dataobj), np.stack(frames).T)
    ras = image.affine @ [4, 2, 1, 1]
    assert np.allclose(ras[:3], OBLIQUE.index_to_world((1, 2, 4)) * [-1, -1, 1], atol=1e-4)
    assert "not for clinical use" in str(image.header.extensions[0].get_content())


def test_a_folder_holds_each_frame_as_soon_as_it_is_written(tmp_path):
    frames = [noise(seed=seed).array for seed in range(3)]
    with open_writer(tmp_path / "out", OBLIQUE, np.int16, INDEX, ACQUIRED, PROVENANCE) as writer:
        for number, frame in enumerate(frames):
            path = writer.write(number, frame)
            assert path == str(tmp_path / "out" / f"frame_{number:03d}.nrrd")
            assert np.array_equal(read_volume(path).array, frame)


@pytest.mark.parametrize("name", OUTPUTS)
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, name):
    geometry = Geometry((8, 64, 64), (1.0, 1.0, 1.0))
    frame = noise(geometry=geometry).array

    def peak(count):
        tracemalloc.start()
        with open_writer(tmp_path / f"{count}{name}", geometry, np.int16, range(count), [True] * count, {}) as writer:
            for number in range(count):
                writer.write(number, frame)
                gc.collect()  # from Python 3.12 on, a closed gzip stream waits for the collector
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(2)
    assert peak(12) < peak(3) + frame.nbytes


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_error_or_a_cancel_leaves_nothing_behind(tmp_path, name, error):
    with pytest.raises(type(error)):
        with open_writer(tmp_path / name, OBLIQUE, np.int16, INDEX, ACQUIRED, {}) as writer:
            writer.write(0, noise().array)
            raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", OUTPUTS[:3])
def test_a_file_that_was_there_survives_a_run_that_fails(tmp_path, name):
    (tmp_path / name).write_text("the result of yesterday")
    with pytest.raises(ValueError, match="1 frames were written of 3"):
        with open_writer(tmp_path / name, OBLIQUE, np.int16, INDEX, ACQUIRED, {}) as writer:
            writer.write(0, noise().array)
    assert (tmp_path / name).read_text() == "the result of yesterday" and os.listdir(tmp_path) == [name]


def test_a_temporary_file_does_not_tell_the_name_of_the_output(tmp_path):
    with open_writer(tmp_path / "doe_jane.nii.gz", OBLIQUE, np.int16, INDEX[:1], ACQUIRED[:1], {}) as writer:
        assert not any("doe" in name for name in os.listdir(tmp_path))
        writer.write(0, noise().array)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_disk_that_fills_up_is_told_and_leaves_nothing_behind(tmp_path, name):
    resource = pytest.importorskip("resource")
    geometry = Geometry((8, 128, 128), (1.0, 1.0, 1.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # no file may grow beyond: as on a full disk
        with pytest.raises(OutputError, match="The disk is full"):
            with open_writer(tmp_path / name, geometry, np.int16, INDEX, ACQUIRED, {}) as writer:
                for number in range(3):
                    writer.write(number, noise(geometry=geometry).array)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_an_output_that_can_be_written_is_allowed_and_not_touched(tmp_path):
    phase0 = save(noise(), tmp_path / "phase0.nrrd")
    for name in OUTPUTS:
        check_output(tmp_path / name, [phase0])
    assert os.listdir(tmp_path) == ["phase0.nrrd"]


def test_an_output_equal_to_an_input_is_refused_however_it_is_spelled(tmp_path):
    phase0 = save(noise(), tmp_path / "phase0.nii.gz")
    (tmp_path / "folder").mkdir()
    os.symlink(phase0, tmp_path / "link.nii.gz")
    os.link(phase0, tmp_path / "hard.nii.gz")
    for output in [phase0, tmp_path / "folder" / ".." / "phase0.nii.gz", tmp_path / "link.nii.gz",
                   tmp_path / "hard.nii.gz"]:
        with pytest.raises(OutputError, match="is one of the inputs"):
            check_output(output, [phase0])
    with pytest.raises(OutputError, match="is one of the inputs"):
        check_output(phase0, [tmp_path])  # a phase in the folder that is the input
    with pytest.raises(OutputError, match="is one of the inputs"):
        check_output(tmp_path, [tmp_path])


@pytest.mark.parametrize("name, words", [
    ("out.nrrd", "format cannot be determined"),
    ("out.mha", "format cannot be determined"),
    ("nowhere/out.nii.gz", "does not exist"),
    ("used", "is not empty"),
    ("file", "is a file"),
    ("folder.nii", "is a folder"),
])
def test_an_output_that_cannot_be_is_refused(tmp_path, name, words):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(OutputError, match=words):
        check_output(tmp_path / name, [])


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody may write to")
def test_an_unwritable_folder_is_told_before_any_work():
    with pytest.raises(OutputError, match="cannot be written"):
        check_output("/proc/self/out.nii.gz", [])


def test_too_little_room_is_told_before_any_work(tmp_path):
    with pytest.raises(OutputError, match="MiB free"):
        check_output(tmp_path / "out.nii.gz", [], bytes_needed=2**60)


def test_voxels_of_an_odd_type_are_refused_before_any_file_is_made(tmp_path):
    with pytest.raises(OutputError, match="float16"):
        open_writer(tmp_path / "out.nii.gz", OBLIQUE, np.float16, INDEX, ACQUIRED, {})
    assert os.listdir(tmp_path) == []
