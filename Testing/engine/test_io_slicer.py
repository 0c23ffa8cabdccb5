"""The files the engine writes are what 3D Slicer's own code (slicer-core) understands."""

from __future__ import annotations

import numpy as np
import pytest

from ttt4d.images.displacement import write_displacement
from ttt4d.images.readers import read_sequence
from ttt4d.images.volume import Geometry
from ttt4d.images.writers import open_writer
from ttt4d.temporal.phantom import BeatingHeart

slicer = pytest.importorskip("slicer")
vtk = pytest.importorskip("vtk")
from vtk.util.numpy_support import vtk_to_numpy  # noqa: E402

LEFT_HANDED = Geometry((3, 4, 5), (8.0, 1.5, 1.25), (10.5, -20.25, 3.0),
                       ((0.0, -0.28, -0.96), (0.0, 0.96, -0.28), (1.0, 0.0, 0.0)))
RIGHT_HANDED = Geometry((3, 4, 5), (8.0, 1.5, 1.25), (10.5, -20.25, 3.0),
                        ((0.0, -0.28, 0.96), (0.0, 0.96, 0.28), (1.0, 0.0, 0.0)))
INDEX = [0, 100 / 3, 100]
MARKS = ["acquired", "synthetic", "acquired"]


@pytest.fixture
def scene():
    scene = slicer.vtkMRMLScene()
    yield scene
    scene.Clear(True)


def write(path, dtype="int16", geometry=LEFT_HANDED, provenance=None):
    limits = (-1000, 1000) if np.dtype(dtype).kind != "u" else (0, 250)
    limits = (-100, 100) if dtype == "int8" else limits
    frames = np.random.default_rng(0).integers(*limits, (3, *geometry.shape)).astype(dtype)
    with open_writer(path, geometry, dtype, INDEX, [mark == "acquired" for mark in MARKS], provenance or {}) as writer:
        for number, frame in enumerate(frames):
            writer.write(number, frame)
    return frames


def load(scene, path):
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(path))
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "result")
    assert storage.ReadData(sequence) == 1
    return sequence


def items(sequence):
    return [sequence.GetNthDataNode(number) for number in range(sequence.GetNumberOfDataNodes())]


def voxels(node):
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def voxels_at(node, geometry):
    """What a node shows at the voxels of a grid, by their place in space.

    On reading, Slicer mirrors the slices of a left-handed volume in memory, and its matrix with them.
    """
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    found = np.array([matrix.MultiplyPoint((*ras, 1))[2::-1] for ras in geometry.index_to_world(index) * [-1, -1, 1]])
    assert np.allclose(found, np.rint(found), atol=1e-4)
    return voxels(node)[tuple(np.rint(found).astype(int).T)].reshape(geometry.shape)


@pytest.mark.parametrize("dtype, stored", [
    ("int8", "int8"), ("uint8", "uint8"), ("int16", "int16"), ("uint16", "uint16"), ("int32", "int32"),
    ("uint32", "uint32"), ("float32", "float32"), ("float64", "float64"), ("int64", "float64"), ("uint64", "float64")])
def test_slicer_opens_every_scalar_type_as_a_sequence_with_each_voxel_where_it_was(scene, tmp_path, dtype, stored):
    frames = write(tmp_path / "out.seq.nrrd", dtype)
    nodes = items(load(scene, tmp_path / "out.seq.nrrd"))
    assert [node.GetClassName() for node in nodes] == ["vtkMRMLScalarVolumeNode"] * 3
    assert all(voxels(node).dtype == stored for node in nodes)
    assert all(np.array_equal(voxels_at(node, LEFT_HANDED), frame) for node, frame in zip(nodes, frames))


def test_slicer_finds_the_index_with_its_name_unit_and_values(scene, tmp_path):
    write(tmp_path / "out.seq.nrrd")
    sequence = load(scene, tmp_path / "out.seq.nrrd")
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("phase", "%")
    assert sequence.GetIndexTypeAsString() == "numeric"
    values = [float(sequence.GetNthIndexValue(number)) for number in range(3)]
    assert values == pytest.approx(INDEX)


def test_slicer_tells_acquired_from_synthetic_and_keeps_the_provenance_through_a_save(scene, tmp_path):
    provenance = {"ttt4d.settings": '{"seed": 0}\nsecond line', "ttt4d.note": "not for clinical use"}
    write(tmp_path / "out.seq.nrrd", provenance=provenance)
    sequence = load(scene, tmp_path / "out.seq.nrrd")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "again.seq.nrrd"))
    assert storage.WriteData(sequence) == 1
    for found in (sequence, load(scene, tmp_path / "again.seq.nrrd")):
        assert [node.GetAttribute("ttt4d.frame") for node in items(found)] == MARKS
        assert {key: found.GetAttribute(key) for key in provenance} == provenance


def test_the_engine_tells_synthetic_from_acquired_in_what_slicer_saves_of_a_part(scene, tmp_path):
    write(tmp_path / "out.seq.nrrd")
    sequence = load(scene, tmp_path / "out.seq.nrrd")
    sequence.RemoveDataNodeAtValue(sequence.GetNthIndexValue(0))
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "part.seq.nrrd"))
    assert storage.WriteData(sequence) == 1
    assert [phase.synthetic for phase in read_sequence(tmp_path / "part.seq.nrrd").phases] == [True, False]


def test_what_slicer_saves_is_read_back_by_the_engine(scene, tmp_path):
    frames = write(tmp_path / "out.seq.nrrd", geometry=RIGHT_HANDED)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "again.seq.nrrd"))
    assert storage.WriteData(load(scene, tmp_path / "out.seq.nrrd")) == 1
    sequence = read_sequence(tmp_path / "again.seq.nrrd")
    assert sequence.index == pytest.approx(INDEX) and (sequence.index_name, sequence.index_unit) == ("phase", "%")
    assert all(np.array_equal(phase.array, frame) for phase, frame in zip(sequence.phases, frames))
    assert not sequence.phases[0].geometry.differences(RIGHT_HANDED)


def test_a_frame_of_a_single_slice_stays_a_volume(scene, tmp_path):
    frames = write(tmp_path / "out.seq.nrrd", geometry=Geometry((1, 4, 5), (8.0, 1.5, 1.25)))
    assert voxels(items(load(scene, tmp_path / "out.seq.nrrd"))[0]).shape == frames[0].shape


def test_a_displacement_is_a_transform_in_slicer_that_takes_a_point_to_its_place_at_the_other_time(scene, tmp_path):
    grid = Geometry((12, 40, 40), (4.0, 2.0, 2.0), (10.5, -20.25, 3.0), LEFT_HANDED.direction)
    heart = BeatingHeart.within(grid)
    write_displacement(tmp_path / "displacement_000.nrrd", grid, heart.displacement(grid, 0, 1))
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(tmp_path / "displacement_000.nrrd"))
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    assert storage.ReadData(transform) == 1
    lps = heart.center + heart.radius * np.array([[0.3, 0.2, 0.1], [-0.4, 0.1, 0.0], [0.1, -0.5, 0.2]])
    moved = [transform.GetTransformFromParent().TransformPoint(point) for point in lps * [-1, -1, 1]]
    truth = heart.move(lps, 1, 0)
    assert np.linalg.norm(truth - lps, axis=1).min() > 2  # mm
    assert np.allclose(np.array(moved) * [-1, -1, 1], truth, atol=0.3)
