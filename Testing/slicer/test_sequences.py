"""Sequences of frames: their index and marks, and what comes back from files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import vtk

import tools
from ttt4d.images.displacement import write_displacement
from ttt4d.temporal.phantom import BeatingHeart
from TTTInterpolationLib import browsing, sequences, volumes


def test_a_sequence_counts_by_its_index_only_where_that_rises_in_numbers(scene):
    for values, phase_times in ((("0", "10", "100"), (0, 10, 100)), (("0 ms", "500 ms"), ()), (("ED", "ES"), ())):
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
        sequence.SetIndexType(sequence.TextIndex)
        for value in values:
            sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), value)
        assert sequences.phaseTimesOf(sequence) == phase_times


def test_the_marks_outlive_a_file_of_a_slicer_that_keeps_no_attributes_of_items(scene):
    """Those before 5.10; it gives a file of the engine's the same attribute of the sequence."""
    (first, *_others), frames = tools.built(scene, tools.SMALL)
    for n in range(3):
        frames.GetNthDataNode(n).RemoveAttribute(sequences.FRAME)
    browser = browsing.browse(frames, like=first)
    for number, mark in enumerate(("acquired", "synthetic", "acquired")):
        browser.SetSelectedItemNumber(number)
        assert browsing.shownMark(frames) == mark
    frames.RemoveDataNodeAtValue("50")
    assert sequences.marksOf(frames) == ["", ""], "a list that does not fit says nothing"


def assert_same(read, frames, flipped: bool) -> None:
    assert read.GetNumberOfDataNodes() == frames.GetNumberOfDataNodes()
    assert (read.GetIndexName(), read.GetIndexUnit()) == ("phase", "%")
    for name in ("Settings", "Seed", "Weights", "Versions", "Inputs", "Date", "Losses", "HeldOutLosses", "Notice",
                 "Messages"):
        assert read.GetAttribute(sequences.PREFIX + name) == frames.GetAttribute(sequences.PREFIX + name)
    assert json.loads(read.GetAttribute(sequences.PREFIX + "Weights"))["sha256"] == "ab12"
    # In .seq.nrrd files, Slicer before 5.10 keeps no attributes of items: there the marks come from the list.
    assert sequences.marksOf(read) == sequences.marksOf(frames) == ["acquired", "synthetic", "acquired"]
    for n in range(frames.GetNumberOfDataNodes()):
        a, b = read.GetNthDataNode(n), frames.GetNthDataNode(n)
        assert read.GetNthIndexValue(n) == frames.GetNthIndexValue(n)
        array_a, array_b = map(slicer.util.arrayFromVolume, (a, b))
        grid_a, grid_b = map(tools.matrix_of, (a, b))
        if flipped:  # Slicer's reader of .seq.nrrd counts the slices of left-handed grids back: the same image
            array_a, grid_a = array_a[::-1], grid_a @ flip(len(array_a))
        assert array_a.dtype == array_b.dtype and np.array_equal(array_a, array_b)
        assert np.allclose(grid_a, grid_b, atol=1e-9)


def flip(slices: int) -> np.ndarray:
    matrix = np.diag([1.0, 1.0, -1.0, 1.0])
    matrix[2, 3] = slices - 1
    return matrix


def test_a_seq_nrrd_file_gives_back_the_same_sequence(scene, geometry, tmp_path):
    _nodes, frames = tools.built(scene, geometry)
    path = str(tmp_path / "result.seq.nrrd")
    frames.AddDefaultStorageNode()
    frames.GetStorageNode().SetFileName(path)
    assert frames.GetStorageNode().WriteData(frames)
    read = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(path)
    assert storage.ReadData(read)
    assert_same(read, frames, flipped=np.linalg.det(tools.matrix_of(frames.GetNthDataNode(0))[:3, :3]) < 0)


@pytest.mark.skipif(tools.IN_SLICER, reason="a second scene beside the application's is for the host")
def test_an_mrb_file_gives_back_the_same_sequence_browser_and_proxy(scene, geometry, tmp_path):
    from host.application import newScene

    (first, *_others), frames = tools.built(scene, geometry)
    left_handed = np.linalg.det(tools.matrix_of(first)[:3, :3]) < 0
    browsing.browse(frames, like=first)
    path = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(path)
    again = newScene()
    assert again.ReadFromMRB(path)
    read = again.GetFirstNodeByName(frames.GetName())
    read = read if read.IsA("vtkMRMLSequenceNode") else again.GetFirstNodeByClass("vtkMRMLSequenceNode")
    assert_same(read, frames, flipped=left_handed)
    browser = browsing.browserOf(read)
    assert browser.GetPlaybackLooped() and browser.GetIndexDisplayFormat() == "%.0f"
    display = browser.GetProxyNode(read).GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (800, 400)


def saved_and_loaded(sequence, folder):
    """The sequence as it comes back from a file of Slicer's own choice.

    For displacements it is a .seq.nrrd file, before Slicer 5.10 a .seq.mrb file.
    """
    scene = sequence.GetScene()
    sequence.AddDefaultStorageNode()
    writer = sequence.GetStorageNode()
    writer.SetFileName(str(folder / f"motion.{writer.GetDefaultWriteFileExtension()}"))
    assert writer.WriteData(sequence)
    read = scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{sequence.GetName()} read")
    reader = scene.AddNewNodeByClass(writer.GetClassName())
    reader.SetFileName(writer.GetFileName())
    assert reader.ReadData(read)
    return read


def test_a_markup_at_phase_0_lands_where_the_phantoms_motion_puts_it(scene, geometry, tmp_path):
    """Through the engine's own displacement files, grid transforms, a file of Slicer's, and the browser."""
    heart = BeatingHeart.within(geometry)
    (first, *_others), frames = tools.built(scene, geometry)
    displacements = sequences.newSequence("motion")
    for time in (0.0, 0.5, 1.0):
        path = str(tmp_path / f"displacement_{100 * time:03.0f}.nrrd")
        write_displacement(path, geometry, heart.displacement(geometry, 0.0, time).astype(np.float32))
        sequences.addItem(displacements, volumes.readDisplacement(path), 100 * time, acquired=time != 0.5)
    read = saved_and_loaded(browsing.place(scene, displacements), tmp_path)

    browser = browsing.browse(frames, like=first, displacements=read)
    size = np.array(geometry.shape)
    index = np.array([[0.5, 0.5, 0.5], [0.5, 0.4, 0.45], [0.3, 0.5, 0.6], [0.6, 0.55, 0.4]]) * (size - 1)
    points = geometry.index_to_world(index)
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    for point in points:
        markups.AddControlPoint(vtk.vtkVector3d(*(point * [-1, -1, 1])))
    markups.SetAndObserveTransformNodeID(browser.GetProxyNode(read).GetID())
    moved_most = 0.0
    for n, time in enumerate((0.0, 0.5, 1.0)):
        browser.SetSelectedItemNumber(n)
        for number, expected in enumerate(heart.move(points, 0.0, time) * [-1, -1, 1]):
            found = [0.0, 0.0, 0.0]
            markups.GetNthControlPointPositionWorld(number, found)
            # Between grid points the field is interpolated: a tenth of a voxel is its limit on this coarse grid.
            assert np.linalg.norm(np.array(found) - expected) < 0.1 * min(geometry.spacing)
            moved_most = max(moved_most, np.linalg.norm(expected - points[number] * [-1, -1, 1]))
    assert moved_most > 3, "the test would pass without any motion otherwise"
