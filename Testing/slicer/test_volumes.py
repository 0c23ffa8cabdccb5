"""Volumes on their way to the engine and back: grid, type, transforms, and what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
import slicer
import vtk

import tools
from ttt4d.errors import InputError
from ttt4d.images.displacement import write_displacement
from ttt4d.temporal.phantom import BeatingHeart
from TTTInterpolationLib import volumes
from TTTInterpolationLib.logic import TTTInterpolationLogic


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_what_is_written_for_the_engine_comes_back_on_the_same_grid_in_the_same_type(scene, geometry, dtype, tmp_path):
    node, = tools.heart(scene, geometry, times=(0.0,), dtype=dtype)
    path = str(tmp_path / "phase.nrrd")
    volumes.writePhase(node, path)
    frame = volumes.readFrame(path, like=node)
    assert tools.same_grid(frame, node)
    assert slicer.util.arrayFromVolume(frame).dtype == dtype
    assert np.array_equal(slicer.util.arrayFromVolume(frame), slicer.util.arrayFromVolume(node))


def test_the_engine_reads_the_written_phase_where_slicer_has_it(scene, geometry, tmp_path):
    from ttt4d.images.readers import read_volume

    node, = tools.heart(scene, geometry, times=(0.0,))
    path = str(tmp_path / "phase.nrrd")
    volumes.writePhase(node, path)
    read = read_volume(path)
    assert geometry.differences(read.geometry, 1e-6) == ""
    assert np.array_equal(read.array, slicer.util.arrayFromVolume(node))


def test_a_frame_on_another_grid_is_refused(scene, geometry, tmp_path):
    node, = tools.heart(scene, geometry, times=(0.0,))
    path = str(tmp_path / "phase.nrrd")
    volumes.writePhase(node, path)
    moved, = tools.heart(scene, geometry, times=(0.0,))
    matrix = vtk.vtkMatrix4x4()
    moved.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 3, matrix.GetElement(0, 3) + 1)
    moved.SetIJKToRASMatrix(matrix)
    with pytest.raises(RuntimeError, match="not on the grid"):
        volumes.readFrame(path, like=moved)


def test_a_phase_under_another_linear_transform_is_written_where_it_is_seen(scene, tmp_path):
    first, second = tools.heart(scene, tools.SMALL)
    shift = vtk.vtkMatrix4x4()
    shift.SetElement(0, 3, 10)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(shift)
    second.SetAndObserveTransformNodeID(transform.GetID())
    path = str(tmp_path / "phase.nrrd")
    volumes.writePhase(second, path, frameOf=first)
    read = slicer.vtkMRMLScalarVolumeNode()
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(path)
    assert storage.ReadData(read)
    assert np.allclose(tools.matrix_of(read)[:, 3], tools.matrix_of(second)[:, 3] + [10, 0, 0, 0])


def test_phases_under_different_transforms_that_are_not_linear_are_refused(scene, tmp_path):
    first, second = tools.heart(scene, tools.SMALL)
    path = str(tmp_path / "displacement.nrrd")
    write_displacement(path, tools.SMALL, BeatingHeart.within(tools.SMALL).displacement(tools.SMALL, 0.0, 1.0))
    bent = scene.AddNode(volumes.readDisplacement(path))
    second.SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(InputError, match="ED and ES are under different transforms.*harden"):
        volumes.writePhase(second, str(tmp_path / "phase.nrrd"), frameOf=first)
    first.SetAndObserveTransformNodeID(bent.GetID())
    volumes.writePhase(second, str(tmp_path / "phase.nrrd"), frameOf=first)
    assert os.path.exists(tmp_path / "phase.nrrd"), "under one transform they agree, whatever it is"


def test_what_cannot_be_a_phase_is_refused_in_one_sentence(scene):
    logic = TTTInterpolationLogic()
    image, = tools.heart(scene, tools.SMALL, times=(0.0,))
    label = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    label.SetAndObserveImageData(image.GetImageData())
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colour")
    colour.SetAndObserveImageData(image.GetImageData())
    wide = volumes.fromEngine(BeatingHeart.within(tools.SMALL).frame(tools.SMALL, 0.0, dtype=np.int64))
    wide.SetName("wide")
    for node, words in ((label, "label map"), (empty, "no image"), (wide, "Cast Scalar Volume")):
        with pytest.raises(InputError, match=words) as refused:
            logic.process(image, node)
        assert node.GetName() in str(refused.value)
