"""Every format of the registry keeps the same promises, judged by SimpleITK and pynrrd: place, values, damage told."""

from __future__ import annotations

import bz2
import gzip
import os
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ttt4d.commands import cli
from ttt4d.errors import InputError, OutputError, UserError
from ttt4d.images import formats
from ttt4d.images.checks import check_phases
from ttt4d.images.formats import FORMATS, WRITABLE, format_of, is_image_file, stem_of
from ttt4d.images.output_paths import check_writable
from ttt4d.images.phase_times import natural_key, times_in_names
from ttt4d.images.readers import check_inputs, read_sequence, read_volume
from ttt4d.images.resampling import to_sitk
from ttt4d.images.sequence import FrameTimes
from ttt4d.images.volume import Geometry, Volume
from ttt4d.images.writers import open_writer

SHAPE = (4, 6, 5)  # (k, j, i)
OBLIQUE = Geometry(SHAPE, (8.0, 1.5, 1.25), (10.5, -20.25, 3.0),
                   ((0.0, -0.28, -0.96), (0.0, 0.96, -0.28), (1.0, 0.0, 0.0)))  # left-handed
DIRECTIONS = "(1.5,0,0) (0,1.25,0) (0,0,8)"


def frames(count: int, dtype="int16") -> np.ndarray:
    """Frames (t, k, j, i) of which no two voxels are alike."""
    array = np.random.default_rng(3).permutation(count * int(np.prod(SHAPE)))
    return array.reshape(count, *SHAPE).astype(dtype)


def volume(dtype="int16") -> Volume:
    return Volume(frames(1, dtype)[0], OBLIQUE)


def save(image, path, compress=False) -> str:
    sitk.WriteImage(to_sitk(image) if isinstance(image, Volume) else image, str(path), compress)
    return str(path)


def nrrd(path, array: np.ndarray, *lines: str, encoding: str = "raw", first: bool = False) -> str:
    """Write frames (t, k, j, i) or a volume (k, j, i) as NRRD with the given header lines; first: phases' axis."""
    sizes = array.shape[::-1]
    stored = array
    if first:
        sizes, stored = (sizes[-1], *sizes[:-1]), np.moveaxis(array, 0, -1)
    data = np.ascontiguousarray(stored).tobytes()
    data = {"gzip": gzip.compress, "bzip2": bz2.compress}.get(encoding, bytes)(data)
    if encoding == "ascii":
        data = " ".join(map(str, stored.ravel())).encode()
    names = {"float32": "float", "float64": "double"}
    header = ["NRRD0005", f"type: {names.get(array.dtype.name, array.dtype.name)}", f"dimension: {array.ndim}",
              "sizes: " + " ".join(map(str, sizes)), f"encoding: {encoding}",
              f"endian: {'big' if array.dtype.byteorder == '>' else 'little'}", *lines]
    Path(path).write_bytes(("\n".join(header) + "\n\n").encode() + data)
    return str(path)


def metaimage(path, array: np.ndarray, data: bytes, *lines: str, where: str = "LOCAL") -> str:
    """Write a MetaImage header of one's own, and the voxels behind it as they are given."""
    types = {"int16": "MET_SHORT", "float32": "MET_FLOAT", "uint8": "MET_UCHAR"}
    header = ["ObjectType = Image", f"NDims = {array.ndim}", "DimSize = " + " ".join(map(str, array.shape[::-1])),
              "BinaryDataByteOrderMSB = False", *lines, f"ElementType = {types[array.dtype.name]}",
              f"ElementDataFile = {where}"]
    Path(path).write_bytes(("\n".join(header) + "\n").encode() + data)
    return str(path)


def assert_phases(path, expected: np.ndarray, messages=None) -> None:
    found = read_sequence(path, messages)
    assert len(found.phases) == len(expected)
    assert all(np.array_equal(phase.array, frame) for phase, frame in zip(found.phases, expected))


def refusal(path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(UserError) as error:
        read_sequence(path)
    sentence = str(error.value)
    assert sentence.endswith(".") and ". " not in sentence and "\n" not in sentence
    return sentence


# -- what every format promises ----------------------------------------------------------------------------------------


SUFFIXES = [suffix for f in FORMATS for suffix in f.suffixes if suffix != ".hdr.gz"]  # SimpleITK writes all but that


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestEveryFormat:
    def test_it_reads_what_simpleitk_writes_each_voxel_at_its_place(self, tmp_path, suffix):
        given = volume()
        found = read_volume(save(given, tmp_path / f"a{suffix}"))
        assert np.array_equal(found.array, given.array) and not found.geometry.differences(given.geometry)

    def test_an_ending_in_capitals_is_the_same_format(self, tmp_path, suffix):
        written = Path(save(volume(), tmp_path / f"a{suffix}"))
        if suffix in (".nhdr", ".mhd", ".hdr"):  # its other file has a name of its own
            assert format_of(f"A{suffix.upper()}") is format_of(suffix)
        else:
            os.rename(written, tmp_path / f"A{suffix.title()}")
            assert np.array_equal(read_volume(tmp_path / f"A{suffix.title()}").array, volume().array)

    def test_it_is_counted_as_an_image_and_loses_its_ending(self, tmp_path, suffix):
        assert is_image_file(f"ED{suffix}") and stem_of(f"folder/ED{suffix}") == "ED"

    @pytest.mark.parametrize("compress", [False, True])
    def test_a_cut_file_is_refused_by_its_name(self, tmp_path, suffix, compress):
        save(volume(), tmp_path / f"a{suffix}", compress)
        largest = max((path for path in tmp_path.iterdir()), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-20])
        sentence = refusal(tmp_path / f"a{suffix}")
        assert "damaged" in sentence and f"'{largest.name}'" in sentence

    def test_an_empty_file_and_one_of_text_are_refused(self, tmp_path, suffix):
        for content in (b"", b"Dear colleague,\nhere are the images.\n"):
            (tmp_path / f"a{suffix}").write_bytes(content)
            assert f"'a{suffix}'" in refusal(tmp_path / f"a{suffix}")

    def test_a_sheared_grid_is_refused_and_a_rounded_one_is_told(self, tmp_path, suffix):
        messages = []
        assert "right angle" in refusal(sheared(tmp_path / f"sheared{suffix}", 0.3))
        turned = np.asarray(read_volume(sheared(tmp_path / f"rounded{suffix}", 0.001), messages).geometry.direction)
        assert np.allclose(turned.T @ turned, np.eye(3), atol=1e-6) and "right angle" in " ".join(messages)


def sheared(path, shear: float) -> str:
    """Write a volume whose second axis leans towards the first."""
    affine = np.diag([1.5, 1.25, 8, 1])
    affine[0, 1] = shear
    if format_of(path.name) is formats.NIFTI:  # SimpleITK would straighten it
        nibabel = pytest.importorskip("nibabel")
        nibabel.save(nibabel.Nifti1Pair(volume().array.T, affine) if path.name.endswith(".hdr") else
                     nibabel.Nifti1Image(volume().array.T, affine), path)
        return str(path)
    image = to_sitk(volume())
    image.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    image.SetDirection((affine[:3, :3] / image.GetSpacing()).ravel().tolist())
    return save(image, path)


@pytest.mark.parametrize("name", ["out" + suffix for f in FORMATS for suffix in f.outputs])
def test_a_result_is_read_back_and_its_format_is_named_among_the_outputs(tmp_path, name):
    given = frames(3)
    with open_writer(tmp_path / name, OBLIQUE, np.int16, [0, 50, 100], [True, False, True], {}) as writer:
        for number, frame in enumerate(given):
            writer.write(number, frame)
    found = read_sequence(tmp_path / name)
    assert [phase.synthetic for phase in found.phases] == [False, True, False]
    assert all(np.array_equal(phase.array, frame) for phase, frame in zip(found.phases, given))
    assert not found.phases[0].geometry.differences(OBLIQUE) and name[3:] in WRITABLE


NPZ = '''"""A format of one file: NumPy's .npz with a voxel array and its spacing."""

import numpy as np

from ..files import reading
from ..sequence import PhaseSequence
from ..volume import Geometry, Volume


def read(path):
    with reading(path):
        held = np.load(path)
        return PhaseSequence.counted([Volume(held["voxels"], Geometry(held["voxels"].shape, tuple(held["spacing"])))])
'''


def test_a_new_format_is_one_file_and_one_entry(tmp_path, monkeypatch, capsys, small_weights):
    (tmp_path / "npz.py").write_text(NPZ)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, formats.ImageFormat("NumPy", (".npz",), "npz")))
    rng = np.random.default_rng(0)
    for name in ("ed", "es"):
        np.savez(tmp_path / f"{name}.npz", voxels=rng.normal(size=(4, 16, 16)).astype(np.float32), spacing=(8, 2, 2))
    assert is_image_file("ed.npz")
    status = cli.run(["interpolate", str(tmp_path / "ed.npz"), str(tmp_path / "es.npz"), "-o",
                      str(tmp_path / "out.seq.nrrd"), "--frames", "1", "--auxiliary", "none", "--canvas", "16",
                      "--weights", small_weights])
    assert status == 0, capsys.readouterr().err
    assert np.allclose(read_sequence(tmp_path / "out.seq.nrrd").phases[0].geometry.spacing, (8, 2, 2))


# -- any grid, type, byte order and encoding ---------------------------------------------------------------------------


TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
SPACES = {"left-posterior-superior": (1, 1, 1), "RAS": (-1, -1, 1), "left-anterior-superior": (1, -1, 1)}


@st.composite
def grids(draw):
    """A rotation, mirrored or not, spacings and an origin."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return rotation, draw(st.tuples(*[st.floats(0.1, 20)] * 3)), draw(st.tuples(*[st.floats(-500, 500)] * 3))


def matrix_of(found: Geometry) -> np.ndarray:
    """The step of each file axis (i, j, k) in LPS mm, as columns."""
    return found.matrix[:, ::-1]


@settings(max_examples=60)
@given(grids(), st.sampled_from(TYPES), st.booleans(), st.sampled_from(["raw", "gzip", "bzip2", "ascii"]),
       st.sampled_from(sorted(SPACES)), st.sampled_from(["volume", "list last", "list first", "time last"]))
def test_an_nrrd_file_of_any_kind_is_read_as_its_header_says(grid, dtype, big, encoding, space, kind):
    rotation, spacing, origin = grid
    given = frames(3, dtype)
    given = given.astype(given.dtype.newbyteorder(">" if big else "<"))
    steps = [tuple(float(x) for x in rotation[:, axis] * spacing[axis]) for axis in range(3)]
    directions = [str(step).replace(" ", "") for step in steps]
    kinds = ["domain"] * 3
    if kind != "volume":
        at = 0 if kind.endswith("first") else 3
        directions.insert(at, "none")
        kinds.insert(at, kind.split()[0])
    lines = [f"space: {space}", "space directions: " + " ".join(directions), "kinds: " + " ".join(kinds),
             "space origin: " + str(tuple(map(float, origin))).replace(" ", "")]
    with tempfile.TemporaryDirectory() as folder:
        path = nrrd(os.path.join(folder, "a.nrrd"), given[0] if kind == "volume" else given, *lines, encoding=encoding,
                    first=kind.endswith("first"))
        found = read_sequence(path)
    flips = np.array(SPACES[space])
    expected = [given[0]] if kind == "volume" else given
    assert all(np.array_equal(phase.array, frame) for phase, frame in zip(found.phases, expected))
    assert len(found.phases) == len(expected) and found.phases[0].array.dtype == np.dtype(dtype)
    assert np.allclose(matrix_of(found.phases[0].geometry), flips[:, None] * np.transpose(steps), atol=1e-6)
    assert np.allclose(found.phases[0].geometry.origin, flips * origin, atol=1e-6)


@settings(max_examples=40)
@given(grids(), st.sampled_from(TYPES), st.booleans(), st.booleans(), st.sampled_from([".nrrd", ".nhdr"]))
def test_pynrrd_and_the_engine_agree_on_every_voxel_and_its_place(grid, dtype, big, compressed, suffix):
    pynrrd = pytest.importorskip("nrrd")
    rotation, spacing, origin = grid
    steps = rotation * spacing
    array = frames(1, dtype)[0].T
    header = {"space": "left-posterior-superior", "space directions": steps.T, "space origin": np.array(origin),
              "encoding": "gzip" if compressed else "raw", "kinds": ["domain"] * 3,
              "endian": "big" if big else "little"}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a" + suffix)
        pynrrd.write(path, array.astype(array.dtype.newbyteorder(">" if big else "<")), header)
        judged, told = pynrrd.read(path)
        found = read_volume(path)
    assert np.array_equal(found.array, judged.T)
    assert np.allclose(matrix_of(found.geometry), np.transpose(told["space directions"]), atol=1e-6)
    assert np.allclose(found.geometry.origin, told["space origin"], atol=1e-6)


@settings(max_examples=40)
@given(grids(), st.sampled_from(TYPES), st.booleans(), st.sampled_from([".mha", ".mhd", ".nrrd", ".nhdr"]),
       st.integers(1, 3))
def test_simpleitk_and_the_engine_agree_on_volumes_and_sequences(grid, dtype, compressed, suffix, count):
    rotation, spacing, origin = grid
    images = [sitk.GetImageFromArray(frame) for frame in frames(count, dtype)]
    for image in images:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(rotation.ravel().tolist())
    with tempfile.TemporaryDirectory() as folder:
        image = images[0] if count == 1 else sitk.JoinSeries(images)
        path = save(image, os.path.join(folder, "a" + suffix), compressed)
        judged = sitk.ReadImage(path)
        found = read_sequence(path)
    assert np.array_equal([phase.array for phase in found.phases], sitk.GetArrayFromImage(judged).reshape(-1, *SHAPE))
    last = tuple(size - 1 for size in images[0].GetSize())
    place = judged.TransformIndexToPhysicalPoint((*last, *[0] * (judged.GetDimension() - 3)))[:3]
    assert np.allclose(found.phases[0].geometry.index_to_world(last[::-1]), place, atol=1e-3)


# -- the fourth axis of NRRD -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", ["domain domain domain list", "list domain domain domain", "space space space list",
                                   "domain domain domain time", "time domain domain domain",
                                   "domain domain domain vector", "vector domain domain domain", ""])
def test_the_phases_are_read_in_order_whatever_the_fourth_axis_is_called(tmp_path, kinds):
    first = kinds.startswith(("list", "time", "vector"))
    directions = f"none {DIRECTIONS}" if first else f"{DIRECTIONS} none"
    lines = ["space: LPS", f"space directions: {directions}"] + ([f"kinds: {kinds}"] if kinds else [])
    messages = []
    assert_phases(nrrd(tmp_path / "a.nrrd", frames(5), *lines, first=first), frames(5), messages)
    assert bool(messages) == ("vector" in kinds or not kinds)  # what had to be guessed is said


@pytest.mark.parametrize("space", ["right-anterior-superior-time", "RAST", "left-posterior-superior-time"])
def test_a_space_of_four_dimensions_keeps_its_orientation(tmp_path, space):
    lines = [f"space: {space}", "space directions: (1.5,0,0,0) (0,1.25,0,0) (0,0,8,0) (0,0,0,40)",
             "space origin: (1,2,3,0)"]
    found = read_sequence(nrrd(tmp_path / "a.nrrd", frames(2), *lines))
    sign = 1 if space.startswith("left") else -1
    assert np.allclose(found.phases[1].geometry.index_to_world((1, 1, 1)), (sign * 2.5, sign * 3.25, 11))
    assert np.array_equal(found.phases[1].array, frames(2)[1])


@pytest.mark.parametrize("kind, size, words", [
    ("RGB-color", 3, "colour image"), ("RGBA-color", 4, "colour image"), ("3-color", 3, "colour image"),
    ("HSV-color", 3, "colour image"), ("vector", 3, "3 values per voxel"), ("3-vector", 3, "3 values per voxel"),
    ("3D-matrix", 9, "9 values per voxel"), ("complex", 2, "complex voxels")])
def test_values_that_are_no_phases_are_refused_for_what_they_are(tmp_path, kind, size, words):
    path = nrrd(tmp_path / "a.nrrd", frames(size), "space: LPS", f"space directions: none {DIRECTIONS}",
                f"kinds: {kind} domain domain domain", first=True)
    sentence = refusal(path)
    assert words in sentence and "'a.nrrd'" in sentence and "damaged" not in sentence


def test_a_single_phase_along_a_fourth_axis_of_any_kind_is_a_volume(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", frames(1), "space: LPS", f"space directions: {DIRECTIONS} none",
                "kinds: domain domain domain stub")
    assert np.array_equal(read_volume(path).array, frames(1)[0])


def test_a_diffusion_series_is_no_sequence_over_time(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", frames(6), "space: LPS", f"space directions: {DIRECTIONS} none",
                "kinds: domain domain domain list", "modality:=DWMRI")
    assert "'a.nrrd' is a diffusion series" in refusal(path)


def test_two_or_three_phases_as_a_vector_are_read_where_the_name_says_sequence(tmp_path):
    path = nrrd(tmp_path / "a.seq.nrrd", frames(3), "space: LPS", f"space directions: none {DIRECTIONS}",
                "kinds: vector domain domain domain", first=True)
    assert_phases(path, frames(3))


# -- times -------------------------------------------------------------------------------------------------------------


def sequence(path, *lines, count=3) -> str:
    return nrrd(path, frames(count), "space: LPS", f"space directions: {DIRECTIONS} none",
                "kinds: domain domain domain list", *lines)


def test_an_unsorted_index_is_sorted_with_its_frames_as_slicer_does(tmp_path):
    path = sequence(tmp_path / "a.seq.nrrd", 'labels: "" "" "" "time"', 'units: "" "" "" "s"',
                    "DataNodeClassName:=vtkMRMLScalarVolumeNode",
                    "axis 0 index type:=numeric", "axis 0 index values:=0.8 0.1 0.25")
    messages = []
    found = read_sequence(path, messages)
    assert (found.index, found.index_name, found.index_unit) == ((0.1, 0.25, 0.8), "time", "s")
    assert all(np.array_equal(phase.array, frames(3)[n]) for phase, n in zip(found.phases, (1, 2, 0)))
    assert "'a.seq.nrrd'" in messages[0] and "sorted" in messages[0]
    slicer = pytest.importorskip("slicer")
    from vtk.util.numpy_support import vtk_to_numpy

    scene = slicer.vtkMRMLScene()
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(path)
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    assert storage.ReadData(node) == 1
    for number, phase in enumerate(found.phases):
        image = node.GetNthDataNode(number).GetImageData()
        assert np.array_equal(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(SHAPE), phase.array)
        assert float(node.GetNthIndexValue(number)) == found.index[number]
    scene.Clear(True)


@pytest.mark.parametrize("lines", [("axis 0 index type:=text", "axis 0 index values:=30 10 20"),
                                   ("axis 0 index values:=ES ED mid",), ("axis 0 index values:=3 3 1",)])
def test_an_index_of_text_or_with_doubles_keeps_the_order_of_the_file(tmp_path, lines):
    assert_phases(sequence(tmp_path / "a.seq.nrrd", *lines), frames(3))
    assert read_sequence(tmp_path / "a.seq.nrrd").index == (0, 1, 2)


def test_the_frame_labels_of_a_multivolume_are_times(tmp_path):
    found = read_sequence(sequence(tmp_path / "a.nrrd", "MultiVolume.FrameLabels:=0,77.5,300",
                                   "MultiVolume.FrameIdentifyingDICOMTagName:=TriggerTime",
                                   "MultiVolume.FrameIdentifyingDICOMTagUnits:=ms"))
    assert (found.index, found.index_name, found.index_unit) == ((0, 77.5, 300), "TriggerTime", "ms")


def test_frame_labels_that_are_no_times_are_said(tmp_path):
    messages = []
    read_sequence(sequence(tmp_path / "a.nrrd", "MultiVolume.FrameLabels:=2,5,10",
                           "MultiVolume.FrameIdentifyingDICOMTagName:=FlipAngle"), messages)
    assert "told apart by FlipAngle" in messages[0]


def test_the_step_of_an_axis_of_time_with_a_unit_is_kept(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", frames(3), "spacings: 1.5 1.25 8 40", "axis mins: nan nan nan 20",
                'units: "mm" "mm" "mm" "ms"', "kinds: domain domain domain time")
    found = read_sequence(path)
    assert (found.index, found.index_name, found.index_unit) == ((20, 60, 100), "time", "ms")
    assert np.allclose(found.phases[0].geometry.spacing, (8, 1.25, 1.5))


@pytest.mark.parametrize("name", ["out.seq.nrrd", "out"])
def test_a_result_carries_the_times_of_the_input(tmp_path, name):
    times = FrameTimes((0.0, 38.75, 77.5), "TriggerTime", "ms")
    with open_writer(tmp_path / name, OBLIQUE, np.int16, [0, 50, 100], [True, False, True], {}, times=times) as writer:
        for number, frame in enumerate(frames(3)):
            writer.write(number, frame)
    path = tmp_path / name if name.endswith(".nrrd") else tmp_path / name / "frame_001.nrrd"
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    assert reader.GetMetaData("ttt4d.times") == ("0 38.75 77.5" if name.endswith(".nrrd") else "38.75")
    assert (reader.GetMetaData("ttt4d.times.name"), reader.GetMetaData("ttt4d.times.unit")) == ("TriggerTime", "ms")


NAMES = {
    "shares": [0, 0.125, 0.25, 0.5, 0.75], "before": [-10, -5, 0, 5, 10], "count": [1, 2, 9, 10, 11]}


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("pattern, unit", [("t_{}", ""), ("p7_{}pct", "%"), ("gate {}%", "%"), ("{}s", "s"),
                                           ("{}ms", "ms"), ("0{}_x", "")])
@pytest.mark.parametrize("values", NAMES.values(), ids=NAMES)
def test_a_folder_is_read_in_the_order_of_the_numbers_in_its_names(tmp_path, suffix, pattern, unit, values):
    if pattern.startswith("0") and values[0] < 0:
        pytest.skip("a zero before a minus sign is no number")
    for value, frame in zip(values, frames(5)):
        save(Volume(frame, OBLIQUE), tmp_path / (pattern.format(f"{value:g}") + suffix))
    messages = []
    assert_phases(tmp_path, frames(5), messages)
    found = read_sequence(tmp_path)
    assert found.index == tuple(values) and found.index_unit == unit and "names" in messages[-1]


def test_names_that_differ_in_more_than_a_number_are_counted():
    assert times_in_names(["ED", "ES"]) is None and times_in_names(["s1_t0", "s2_t5"]) is None
    assert times_in_names(["20240105", "a"]) is None


@settings(max_examples=100)
@given(st.lists(st.integers(-10**6, 10**6).map(lambda n: n / 1000), min_size=2, max_size=8, unique=True),
       st.sampled_from(["t_{}", "gate {}%", "{}s"]))
def test_any_numbers_in_names_are_put_in_order(values, pattern):
    names = sorted((pattern.format(f"{value:.3f}") for value in values), key=natural_key)
    assert [float(name.strip("t_gae %s")) for name in names] == sorted(values)
    assert times_in_names(names)[0] == tuple(sorted(values))


# -- damaged, missing, or only unusual ---------------------------------------------------------------------------------


def voxels() -> bytes:
    return frames(1)[0].tobytes()


def flipped(content: bytes) -> bytes:
    damaged = bytearray(content)
    damaged[-40] ^= 0x10
    return bytes(damaged)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_flipped_bit_in_compressed_voxels_is_found(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save(volume(), path, True)
    path.write_bytes(flipped(path.read_bytes()))
    assert refusal(path).startswith(f"'a{suffix}' is damaged")


@pytest.mark.parametrize("encoding, compress", [("gzip", gzip.compress), ("bzip2", bz2.compress)])
def test_compressed_nrrd_voxels_that_are_too_few_are_found_though_their_stream_is_whole(tmp_path, encoding, compress):
    path = Path(nrrd(tmp_path / "a.nrrd", frames(1)[0], "spacings: 1 1 1", encoding=encoding))
    path.write_bytes(path.read_bytes().split(b"\n\n")[0] + b"\n\n" + compress(voxels()[:-2]))
    assert refusal(path) == "'a.nrrd' is damaged: it is cut short; get the file again."


def test_two_compressed_streams_one_after_the_other_are_one_file(tmp_path):
    path = Path(nrrd(tmp_path / "a.nrrd", frames(1)[0], "spacings: 1 1 1", encoding="bzip2"))
    streams = bz2.compress(voxels()[:60]) + bz2.compress(voxels()[60:])
    path.write_bytes(path.read_bytes().split(b"\n\n")[0] + b"\n\n" + streams)
    assert_phases(path, frames(1))


@pytest.mark.parametrize("data", [voxels()[:-1], zlib.compress(voxels())[:-3], flipped(zlib.compress(voxels())),
                                  zlib.compress(voxels()[:-2])], ids=["raw", "cut", "flipped", "few"])
def test_a_damaged_data_file_is_named_beside_its_header(tmp_path, data):
    (tmp_path / "a.zraw").write_bytes(data)
    compressed = data[:1] == b"\x78"
    metaimage(tmp_path / "a.mhd", frames(1)[0], b"", f"CompressedData = {compressed}", "ElementSpacing = 1 1 1",
              where="a.zraw")
    assert refusal(tmp_path / "a.mhd").startswith("'a.zraw', a data file of 'a.mhd', is damaged")


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_missing_data_file_is_named(tmp_path, suffix):
    save(volume(), tmp_path / f"a{suffix}")
    os.remove(tmp_path / "a.raw")
    assert refusal(tmp_path / f"a{suffix}").startswith("'a.raw', a data file of")
    assert "is missing" in refusal(tmp_path / f"a{suffix}")


def slices(folder) -> list:
    names = [f"slice{k}.raw" for k in range(SHAPE[0])]
    for name, plane in zip(names, frames(1)[0]):
        (folder / name).write_bytes(plane.tobytes())
    return names


def listed(folder, suffix, names, end="\n") -> str:
    if suffix == ".mhd":
        path = metaimage(folder / "a.mhd", frames(1)[0], b"", "ElementSpacing = 1 1 1", where="LIST")
    else:
        path = nrrd(folder / "a.nhdr", frames(1)[0], "spacings: 1 1 1")
        content = Path(path).read_bytes().split(b"\n\n")[0] + b"\ndata file: LIST\n"
        Path(path).write_bytes(content)
    with open(path, "a") as file:
        file.write("\n".join(names) + end)
    return path


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_list_of_slices_is_read_with_or_without_a_last_line_end(tmp_path, suffix, end):
    assert_phases(listed(tmp_path, suffix, slices(tmp_path), end), frames(1))


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_short_list_and_a_slice_that_is_cut_or_missing_are_refused(tmp_path, suffix):
    names = slices(tmp_path)
    path = listed(tmp_path, suffix, names[:-1])
    assert "damaged: it lists 3 data files, but 4" in refusal(path)
    path = listed(tmp_path, suffix, names)
    (tmp_path / names[1]).write_bytes(b"1234")
    assert refusal(path).startswith("'slice1.raw', a data file of") and "cut short" in refusal(path)
    os.remove(tmp_path / names[1])
    assert "'slice1.raw'" in refusal(path) and "is missing" in refusal(path)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_pattern_of_names_and_a_detached_header_without_line_end_are_read(tmp_path, suffix):
    slices(tmp_path)
    where = f"slice%d.raw 0 {SHAPE[0] - 1} 1"
    if suffix == ".mhd":
        path = metaimage(tmp_path / "a.mhd", frames(1)[0], b"", "ElementSpacing = 1 1 1", where=where)
    else:
        path = nrrd(tmp_path / "a.nhdr", frames(1)[0], "spacings: 1 1 1")
        Path(path).write_bytes(Path(path).read_bytes().split(b"\n\n")[0] + f"\ndata file: {where}".encode())
    assert_phases(path, frames(1))


def test_metaimage_voxels_without_a_compressed_size_and_as_text_are_read(tmp_path):
    lines = ("CompressedData = True", "ElementSpacing = 1 1 1")
    assert_phases(metaimage(tmp_path / "a.mha", frames(1)[0], zlib.compress(voxels()), *lines), frames(1))
    text = " ".join(map(str, frames(1).ravel())).encode()
    assert_phases(metaimage(tmp_path / "b.mha", frames(1)[0], text, "BinaryData = False", "ElementSpacing = 1 1 1"),
                  frames(1))
    path = metaimage(tmp_path / "c.mha", frames(1)[0], text[:-8], "BinaryData = False", "ElementSpacing = 1 1 1")
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("skip", [17, -1])
def test_bytes_before_the_voxels_are_skipped(tmp_path, skip):
    (tmp_path / "a.raw").write_bytes(b"x" * 17 + voxels())
    assert_phases(metaimage(tmp_path / "a.mhd", frames(1)[0], b"", f"HeaderSize = {skip}", "ElementSpacing = 1 1 1",
                            where="a.raw"), frames(1))
    path = Path(nrrd(tmp_path / "a.nhdr", frames(1)[0], "spacings: 1 1 1"))
    path.write_bytes(path.read_bytes().split(b"\n\n")[0] + f"\nbyte skip: {skip}\ndata file: a.raw\n".encode())
    assert_phases(path, frames(1))


def test_an_encoding_that_is_not_known_is_the_reason(tmp_path):
    path = Path(nrrd(tmp_path / "a.nrrd", frames(1)[0], "spacings: 1 1 1"))
    path.write_bytes(path.read_bytes().replace(b"encoding: raw", b"encoding: zrl"))
    assert 'encoding "zrl"' in refusal(path) and "damaged" not in refusal(path)


# -- spacing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [("spacings: 1.5 1.5 nan", "thicknesses: nan nan 8"),
                                   ("space: LPS", "space directions: (1,0,0) (0,1,0) none"),
                                   ("space: LPS", "space directions: (1,0,0) (0,1,0) (nan,nan,nan)")])
def test_a_missing_spacing_of_the_slices_is_refused_as_missing(tmp_path, lines):
    sentence = refusal(nrrd(tmp_path / "a.nrrd", frames(1)[0], *lines))
    assert "spacing of the slices in 'a.nrrd' is missing" in sentence


def test_a_missing_spacing_in_metaimage_is_refused_and_none_at_all_is_said(tmp_path):
    path = metaimage(tmp_path / "a.mha", frames(1)[0], voxels(), "ElementSpacing = 1 nan 2")
    assert "spacing of the rows in 'a.mha' is missing" in refusal(path)
    for path in (metaimage(tmp_path / "b.mha", frames(1)[0], voxels()), nrrd(tmp_path / "b.nrrd", frames(1)[0])):
        messages = []
        assert read_volume(path, messages).geometry.spacing == (1, 1, 1)
        assert "1 mm is assumed" in messages[0]


@pytest.mark.parametrize("step", ["0", "nan", "-5", "40"])
def test_the_time_step_of_a_metaimage_is_not_taken_for_a_spacing(tmp_path, step):
    path = metaimage(tmp_path / "a.mha", frames(3), frames(3).tobytes(), f"ElementSpacing = 1.5 1.25 8 {step}")
    assert_phases(path, frames(3))
    assert np.allclose(read_sequence(path).phases[0].geometry.spacing, (8, 1.25, 1.5))


@pytest.mark.parametrize("space", ["3D-right-handed", "scanner-xyz"])
def test_a_space_that_is_not_the_patients_is_said(tmp_path, space):
    messages = []
    read_volume(nrrd(tmp_path / "a.nrrd", frames(1)[0], f"space: {space}", f"space directions: {DIRECTIONS}"), messages)
    assert f'space "{space}"' in messages[0]


@pytest.mark.parametrize("unit, factor", [("cm", 10), ("m", 1000), ("um", 0.001), ("mm", 1), ("", 1)])
def test_a_grid_in_another_unit_of_length_is_converted_and_said(tmp_path, unit, factor):
    messages = []
    found = read_volume(nrrd(tmp_path / "a.nrrd", frames(1)[0], "space: LPS", f"space directions: {DIRECTIONS}",
                             "space origin: (1,2,3)", f'space units: "{unit}" "{unit}" "{unit}"'), messages)
    assert np.allclose(found.geometry.spacing, np.multiply((8, 1.25, 1.5), factor))
    assert np.allclose(found.geometry.origin, np.multiply((1, 2, 3), factor)) and bool(messages) == (factor != 1)


# -- sentences ---------------------------------------------------------------------------------------------------------


def phantom(largest: int) -> np.ndarray:
    """Tissues of one value each, without noise."""
    k, j, i = np.indices((6, 40, 40)).astype(float)
    array = np.zeros(k.shape)
    for number, radius in enumerate((18, 14, 9, 5, 2), start=1):
        array[np.hypot(i - 20, j - 20 - k / 3) < radius] = number
    return array * largest / 5


@pytest.mark.parametrize("array", [
    (phantom(1000) - 1000).astype(np.int16),  # Hounsfield units
    (phantom(2000) + 24).astype(np.uint16),  # the same, stored without a sign
    (phantom(1) * 0.02).astype(np.float32),  # attenuation
], ids=["HU", "unsigned HU", "attenuation"])
def test_a_phantom_without_noise_is_an_image(array):
    grid = Geometry(array.shape, (2.0, 1.0, 1.0))
    check_phases([Volume(array, grid), Volume(np.roll(array, 2, axis=2), grid)])


@pytest.mark.parametrize("array", [
    phantom(5).astype(np.uint8), phantom(5).astype(np.float32), (phantom(5) > 0) * np.uint8(255),
    (phantom(5) * 51).astype(np.uint8), (phantom(5) * 170).astype(np.int16),  # as in MM-WHS: 205 to 850
    np.where(phantom(5) > 0, phantom(5) + 1000, 0).astype(np.int16),  # as in FreeSurfer: 1001, 1002, ...
], ids=["numbered", "float", "mask", "stretched", "hundreds", "thousand and one"])
def test_labels_are_refused_by_the_name_of_their_file(array):
    grid = Geometry(array.shape, (2.0, 1.0, 1.0))
    image = Volume(np.random.default_rng(0).normal(size=array.shape), grid, name="ed.nrrd")
    with pytest.raises(InputError, match=r"Phase 1 \('ed_gt.nrrd'\) is a label map"):
        check_phases([image, Volume(array, grid, name="ed_gt.nrrd")])


def test_a_phase_knows_the_name_of_its_file(tmp_path):
    assert read_volume(save(volume(), tmp_path / "ed.nrrd")).name == "ed.nrrd"
    save(volume(), tmp_path / "es.nrrd")
    assert [phase.name for phase in read_sequence(tmp_path).phases] == ["ed.nrrd", "es.nrrd"]


def test_every_input_is_looked_for_before_the_first_is_read(tmp_path):
    path = save(volume(), tmp_path / "ed.nrrd")
    check_inputs([path, tmp_path])
    with pytest.raises(InputError, match="no file or folder 'es.nrrd'"):
        check_inputs([path, tmp_path / "es.nrrd"])
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="'notes.txt' is not in a format"):
        check_inputs([path, tmp_path / "notes.txt"])


def test_standard_output_is_no_output():
    with pytest.raises(OutputError, match="standard output"):
        check_writable("-", [], folder=True)


@pytest.mark.parametrize("kind, words", [("block", "type block"), ("half", "type half"), ("i", "unknown type"),
                                         ("foat", "unknown type")])
def test_an_nrrd_type_that_cannot_be_read_is_one_sentence(tmp_path, kind, words):
    path = tmp_path / "odd.nrrd"
    path.write_bytes(f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n".encode() + bytes(512))
    with pytest.raises(InputError, match=words):
        read_volume(path)
