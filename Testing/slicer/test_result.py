"""The result in the scene: grid, type, window, marks, provenance, place; and what comes back from files."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import slicer
import vtk

import tools
from tools import matrix_of, oblique
from ttt4d.errors import InputError
from ttt4d.images.displacement import write_displacement
from ttt4d.temporal.phantom import BeatingHeart
from TTTInterpolationLib import browsing, review, sequences, volumes
from TTTInterpolationLib.conversation import JobError
from TTTInterpolationLib.logic import TTTInterpolationLogic
from TTTInterpolationLib.run import Callbacks


@pytest.fixture(params=[False, True], ids=["right-handed", "left-handed"])
def geometry(request):
    return oblique(left_handed=request.param)


def built(scene, geometry, dtype=np.int16, times=(0.0, 0.5, 1.0)):
    """A sequence in the scene with real frames, as a run builds it from files."""
    nodes = tools.heart(scene, geometry, times=times, dtype=dtype)
    sequence = sequences.newSequence("result")
    for n, time in enumerate(times):
        frame = BeatingHeart.within(geometry).frame(geometry, time, dtype=dtype)
        sequences.addItem(sequence, volumes.fromEngine(frame), 100 * time, acquired=n != 1)
    frames = browsing.place(scene, sequence)
    sequences.annotate(frames, REPORT, [nodes[0], nodes[-1]])
    return nodes, frames


REPORT = {
    "settings": {"seed": 3, "frames": 1}, "weights": {"name": "cardiac", "sha256": "ab12"}, "device": "cpu",
    "versions": {"ttt4d": "0.1.0"}, "date": "2026-01-01", "messages": ["Said by the engine; with \"quotes\""],
    "adaptation": [{"batch": 0, "losses": [0.5, 0.25], "held_out_loss": [0.4, 0.3], "kept": True}],
}


def same_grid(a, b) -> bool:
    """To the last digits: MRML keeps spacing and directions, so a matrix is computed anew each time it is asked for."""
    return np.allclose(matrix_of(a), matrix_of(b), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_what_is_written_for_the_engine_comes_back_on_the_same_grid_in_the_same_type(scene, geometry, dtype, tmp_path):
    node, = tools.heart(scene, geometry, times=(0.0,), dtype=dtype)
    path = str(tmp_path / "phase.nrrd")
    volumes.writePhase(node, path)
    frame = volumes.readFrame(path, like=node)
    assert same_grid(frame, node)
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
    assert np.allclose(matrix_of(read)[:, 3], matrix_of(second)[:, 3] + [10, 0, 0, 0])


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


def test_a_result_has_the_grid_type_window_place_and_marks_of_its_inputs(scene, geometry):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    (first, _middle, _last), frames = built(scene, geometry)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(first) or hierarchy.CreateItem(study, first), study)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    first.SetAndObserveTransformNodeID(transform.GetID())

    browser = browsing.browse(frames, like=first)
    proxy = browser.GetProxyNode(frames)
    for n in (1, 2, 0):
        browser.SetSelectedItemNumber(n)
        assert same_grid(proxy, first)
        assert slicer.util.arrayFromVolume(proxy).dtype == np.int16
        assert np.array_equal(slicer.util.arrayFromVolume(proxy), slicer.util.arrayFromVolume(frames.GetNthDataNode(n)))
        display = proxy.GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (800, 400, 0)
        assert proxy.GetTransformNodeID() == transform.GetID()
    for node in (proxy, frames):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    assert (frames.GetIndexName(), frames.GetIndexUnit(), frames.GetIndexTypeAsString()) == ("phase", "%", "numeric")
    assert browser.GetPlaybackLooped() and 5 <= browser.GetPlaybackRateFps() <= 20
    assert browsing.browse(frames, like=first) is browser, "a second run on this output gets no second browser"


def test_a_chosen_output_takes_the_new_frames_in_place_of_its_earlier_ones(scene):
    nodes, chosen = built(scene, tools.SMALL)
    name, identity = chosen.GetName(), chosen.GetID()
    new = sequences.newSequence("new")
    for index in (0, 100):
        sequences.addItem(new, volumes.fromEngine(BeatingHeart.within(tools.SMALL).frame(tools.SMALL, 0)), index, True)
    assert browsing.place(scene, new, chosen, [nodes[0], nodes[-1]]) is chosen
    assert (chosen.GetName(), chosen.GetID(), chosen.GetNumberOfDataNodes()) == (name, identity, 2)
    assert [chosen.GetNthIndexValue(n) for n in range(2)] == ["0", "100"]


def test_the_result_of_other_inputs_is_kept_though_it_is_the_chosen_output(scene):
    nodes, chosen = built(scene, tools.SMALL)
    new = sequences.newSequence("new")
    sequences.addItem(new, volumes.fromEngine(BeatingHeart.within(tools.SMALL).frame(tools.SMALL, 0)), 0, True)
    placed = browsing.place(scene, new, chosen, [nodes[1], nodes[-1]])
    assert placed is not chosen and placed.GetScene() is scene and chosen.GetNumberOfDataNodes() == 3


def test_acquired_images_are_kept_though_their_sequence_is_the_chosen_output(scene):
    """A loaded cine refers to the file it came from: written over, File > Save would write over that too."""
    phases = tools.heart(scene, tools.SMALL)
    cine, new = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine"), sequences.newSequence("new")
    cine.SetDataNodeAtValue(phases[0], "0")
    sequences.addItem(new, volumes.fromEngine(BeatingHeart.within(tools.SMALL).frame(tools.SMALL, 0)), 0, True)
    before = cine.GetNthDataNode(0)
    assert browsing.place(scene, new, cine, phases) is not cine
    assert cine.GetNumberOfDataNodes() == 1 and cine.GetNthDataNode(0) is before


def test_what_the_user_changed_on_a_result_stays_when_it_is_computed_again(scene):
    (first, *_others), frames = built(scene, tools.SMALL)
    browser = browsing.browse(frames, like=first)
    turned = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turned")
    proxy = browser.GetProxyNode(frames)
    proxy.GetDisplayNode().SetWindowLevel(123, 45)
    proxy.SetAndObserveTransformNodeID(turned.GetID())
    browser.SetPlaybackRateFps(2)
    browser.SetPlaybackLooped(False)
    browsing.browse(frames, like=first)
    assert (proxy.GetDisplayNode().GetWindow(), proxy.GetDisplayNode().GetLevel()) == (123, 45)
    assert proxy.GetParentTransformNode() is turned
    assert (browser.GetPlaybackRateFps(), browser.GetPlaybackLooped()) == (2, False)


def test_a_result_goes_on_lying_where_its_input_lies_until_the_user_puts_it_elsewhere(scene):
    (first, *_others), frames = built(scene, tools.SMALL)
    registered, turned = (scene.AddNewNodeByClass("vtkMRMLLinearTransformNode") for _n in range(2))
    proxy = browsing.browse(frames, like=first).GetProxyNode(frames)
    first.SetAndObserveTransformNodeID(registered.GetID())
    browsing.browse(frames, like=first)
    assert proxy.GetParentTransformNode() is registered
    proxy.SetAndObserveTransformNodeID(turned.GetID())
    browsing.browse(frames, like=first)
    assert proxy.GetParentTransformNode() is turned


def test_a_sequence_counts_by_its_index_only_where_that_rises_in_numbers(scene):
    for values, phase_times in ((("0", "10", "100"), (0, 10, 100)), (("0 ms", "500 ms"), ()), (("ED", "ES"), ())):
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
        sequence.SetIndexType(sequence.TextIndex)
        for value in values:
            sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), value)
        assert sequences.phaseTimesOf(sequence) == phase_times


def test_the_mark_is_of_the_frame_that_is_shown_also_in_step_with_another_sequence(scene):
    """Two phases at 0 and 100 % lead, and the three frames follow: the second item that is shown is the last frame."""
    (first, *_others), frames = built(scene, tools.SMALL)
    cine = sequences.newSequence("cine")
    for index in (0, 100):
        sequences.addItem(cine, volumes.fromEngine(BeatingHeart.within(tools.SMALL).frame(tools.SMALL, 0)), index, True)
    browser = browsing.browse(browsing.place(scene, cine), like=first)
    browser.AddSynchronizedSequenceNode(frames)
    for number in range(2):
        browser.SetSelectedItemNumber(number)
        assert browsing.shownMark(frames) == "acquired"
    assert browsing.browse(frames, like=first) is browser
    own = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "own")
    own.SetAndObserveMasterSequenceNodeID(frames.GetID())
    own.SetSelectedItemNumber(1)
    assert browsing.browserOf(frames) is own and browsing.shownMark(frames) == "synthetic"


def test_the_marks_outlive_a_file_of_a_slicer_that_keeps_no_attributes_of_items(scene):
    """Those before 5.10; it gives a file of the engine's the same attribute of the sequence."""
    (first, *_others), frames = built(scene, tools.SMALL)
    for n in range(3):
        frames.GetNthDataNode(n).RemoveAttribute(sequences.FRAME)
    browser = browsing.browse(frames, like=first)
    for number, mark in enumerate(("acquired", "synthetic", "acquired")):
        browser.SetSelectedItemNumber(number)
        assert browsing.shownMark(frames) == mark
    frames.RemoveDataNodeAtValue("50")
    assert sequences.marksOf(frames) == ["", ""], "a list that does not fit says nothing"


def test_computed_frames_are_not_taken_for_phases(scene):
    (first, *_others), frames = built(scene, tools.SMALL)
    proxy = browsing.browse(frames, like=first).GetProxyNode(frames)
    logic = TTTInterpolationLogic()
    with pytest.raises(InputError, match="result was computed"):
        logic.processSequence(frames)
    browsing.browserOf(frames).SetSelectedItemNumber(1)
    with pytest.raises(InputError, match="was computed, not measured"):
        logic.process(first, proxy)
    frames.GetNthDataNode(1).RemoveAttribute(sequences.FRAME)  # as from a file of Slicer before 5.10
    proxy.RemoveAttribute(sequences.FRAME)
    with pytest.raises(InputError, match="was computed, not measured"):
        logic.process(first, proxy)


def test_a_browser_that_records_or_holds_its_proxy_still_shows_the_new_frames(scene):
    (first, *_others), frames = built(scene, tools.SMALL)
    browser = browsing.browse(frames, like=first)
    scene.RemoveNode(browser.GetProxyNode(frames))
    browser.SetPlayback(frames, False)
    browser.SetRecordingActive(True)
    browsing.browse(frames, like=first)
    assert browser.GetProxyNode(frames).GetImageData() is not None


def test_a_result_knows_the_phase_it_was_made_from(scene):
    nodes, frames = built(scene, tools.SMALL)
    assert browsing.acquiredPhaseOf(frames) is nodes[0]
    of_sequence = browsing.place(scene, sequences.newSequence("of a sequence"))
    browser = browsing.browse(frames, like=nodes[0])
    sequences.annotate(of_sequence, REPORT, [frames])
    assert browsing.acquiredPhaseOf(of_sequence) is browser.GetProxyNode(frames)


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
        array_a, array_b, grid_a, grid_b = (*map(slicer.util.arrayFromVolume, (a, b)), matrix_of(a), matrix_of(b))
        if flipped:  # Slicer's reader of .seq.nrrd counts the slices of left-handed grids back: the same image
            array_a, grid_a = array_a[::-1], grid_a @ flip(len(array_a))
        assert array_a.dtype == array_b.dtype and np.array_equal(array_a, array_b)
        assert np.allclose(grid_a, grid_b, atol=1e-9)


def flip(slices: int) -> np.ndarray:
    matrix = np.diag([1.0, 1.0, -1.0, 1.0])
    matrix[2, 3] = slices - 1
    return matrix


def test_a_seq_nrrd_file_gives_back_the_same_sequence(scene, geometry, tmp_path):
    _nodes, frames = built(scene, geometry)
    path = str(tmp_path / "result.seq.nrrd")
    frames.AddDefaultStorageNode()
    frames.GetStorageNode().SetFileName(path)
    assert frames.GetStorageNode().WriteData(frames)
    read = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(path)
    assert storage.ReadData(read)
    assert_same(read, frames, flipped=np.linalg.det(matrix_of(frames.GetNthDataNode(0))[:3, :3]) < 0)


@pytest.mark.skipif(tools.IN_SLICER, reason="a second scene beside the application's is for the host")
def test_an_mrb_file_gives_back_the_same_sequence_browser_and_proxy(scene, geometry, tmp_path):
    from host.application import newScene

    (first, *_others), frames = built(scene, geometry)
    left_handed = np.linalg.det(matrix_of(first)[:3, :3]) < 0
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
    (first, *_others), frames = built(scene, geometry)
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


def test_the_loss_plot_shows_each_pair_before_and_after_and_is_replaced_when_asked_for_again(scene):
    nodes, frames = built(scene, tools.SMALL)
    adaptation = [{"losses": [0.5, 0.25], "held_out_loss": [0.5, 0.125], "kept": True},
                  {"losses": [0.4], "held_out_loss": [0.25, 0.75], "kept": False}]
    sequences.annotate(frames, {**REPORT, "adaptation": adaptation}, nodes[:1])
    nodes_before = len(tools.contents(scene))
    for _time in range(2):
        chart = review.lossChart(frames)
        before, after = (chart.GetNthPlotSeriesNode(n) for n in range(2))
        table = before.GetTableNode().GetTable()
        assert after.GetTableNode() is before.GetTableNode()
        columns = {table.GetColumnName(n): [table.GetValue(row, n).ToString() for row in range(2)] for n in range(3)}
        assert columns[before.GetYColumnName()] == ["0.5", "0.25"] and columns[after.GetYColumnName()] == [
            "0.125", "0.75"]
        assert columns[before.GetLabelColumnName()] == ["1", "2 (not used)"], "the steps of pair 2 were undone"
        assert len(tools.contents(scene)) == nodes_before + 4, "one chart, two series, one table"


def test_a_run_from_a_script_gives_marked_frames_displacements_and_where_they_come_from(scene, quick, tmp_path):
    geometry = oblique(left_handed=True)
    phase0, phase1 = tools.heart(scene, geometry)
    displacements = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "motion")
    told = []
    frames = TTTInterpolationLogic().process(phase0, phase1, settings=quick, displacementSequence=displacements,
                                             temporaryFolder=str(tmp_path), callbacks=Callbacks(progress=told.append))
    assert os.listdir(tmp_path) == []
    assert {message["stage"] for message in told} >= {"reading", "adaptation", "interpolation", "writing"}
    marks = [frames.GetNthDataNode(n).GetAttribute(sequences.FRAME) for n in range(4)]
    assert marks == ["acquired", "synthetic", "synthetic", "acquired"]
    for node, n in ((phase0, 0), (phase1, 3)):
        assert np.array_equal(slicer.util.arrayFromVolume(frames.GetNthDataNode(n)), slicer.util.arrayFromVolume(node))
    for n in range(4):
        assert same_grid(frames.GetNthDataNode(n), phase0)
        assert slicer.util.arrayFromVolume(frames.GetNthDataNode(n)).dtype == np.int16
    assert displacements.GetNumberOfDataNodes() == 4
    assert browsing.browserOf(displacements) is browsing.browserOf(frames)
    attribute = {name: frames.GetAttribute(sequences.PREFIX + name) for name in ("Weights", "Inputs", "Seed", "Notice")}
    assert len(json.loads(attribute["Weights"])["sha256"]) == 64
    assert (json.loads(attribute["Inputs"]), attribute["Seed"]) == (["ED", "ES"], "0")
    assert "Not for clinical use" in attribute["Notice"]


def test_displacements_of_a_run_before_stay_in_the_scene_but_no_longer_move_anything(scene, quick, pair, tmp_path):
    logic = TTTInterpolationLogic()
    earlier, own = (scene.AddNewNodeByClass("vtkMRMLSequenceNode", name) for name in ("motion", "the user's"))
    compared = built(scene, tools.SMALL)[1]
    others = sequences.newSequence("motion of other inputs")
    others.SetDataNodeAtValue(slicer.vtkMRMLGridTransformNode(), "0")
    others = browsing.place(scene, others)
    sequences.annotate(others, REPORT, [compared])
    frames = logic.process(*pair, settings=quick, displacementSequence=earlier, temporaryFolder=str(tmp_path))
    browser = browsing.browserOf(frames)
    for sequence in (own, compared, others):
        browser.AddSynchronizedSequenceNode(sequence)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetAndObserveTransformNodeID(browser.GetProxyNode(earlier).GetID())
    assert logic.process(*pair, frames, settings=quick, temporaryFolder=str(tmp_path)) is frames
    assert browsing.browserOf(frames) is browser
    assert all(browser.IsSynchronizedSequenceNode(sequence, True) for sequence in (own, compared, others))
    assert browsing.browserOf(earlier) is None and earlier.GetNumberOfDataNodes() == 4
    assert segmentation.GetParentTransformNode() is None


def test_the_motion_of_frames_that_stay_is_kept_when_others_are_made_with_the_same_choice(
        scene, quick, pair, tmp_path):
    logic, options = TTTInterpolationLogic(), {"settings": quick, "temporaryFolder": str(tmp_path)}
    motion = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "motion")
    frames = logic.process(*pair, displacementSequence=motion, **options)
    others = logic.process(*pair, displacementSequence=motion, **options)
    browser, other = browsing.browserOf(frames), browsing.browserOf(others)
    assert browser is browsing.browserOf(motion) is not other
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == other.GetNumberOfSynchronizedSequenceNodes(True) == 2


def test_a_failed_run_from_a_script_raises_the_engines_sentence_and_leaves_nothing(scene, quick, pair, tmp_path):
    slicer.util.arrayFromVolume(pair[1])[:] = 7
    before = tools.contents(scene)
    with pytest.raises(JobError, match="same value in every voxel"):
        TTTInterpolationLogic().process(*pair, settings=quick, temporaryFolder=str(tmp_path))
    assert tools.contents(scene) == before
    assert os.listdir(tmp_path) == []


def test_a_script_too_is_refused_what_would_overwrite_its_input_or_has_no_input(scene, pair):
    logic = TTTInterpolationLogic()
    cine, empty, other = (scene.AddNewNodeByClass("vtkMRMLSequenceNode", name) for name in ("cine", "empty", "other"))
    for n, phase in enumerate(pair):
        cine.SetDataNodeAtValue(phase, str(n))
    before = tools.contents(scene)
    for words, call in [
        ("overwrite the input", lambda: logic.processSequence(cine, outputSequence=cine)),
        ("overwrite the input", lambda: logic.processSequence(cine, displacementSequence=cine)),
        ("into one sequence", lambda: logic.processSequence(cine, outputSequence=other, displacementSequence=other)),
        ("into one sequence", lambda: logic.process(*pair, outputSequence=other, displacementSequence=other)),
        ("empty has fewer than two phases", lambda: logic.processSequence(empty)),
        ("Choose a sequence", lambda: logic.processSequence(None)),
        ("Choose the volumes", lambda: logic.process(pair[0], None)),
        ("same volume", lambda: logic.process(pair[0], pair[0])),
    ]:
        with pytest.raises(InputError, match=words):
            call()
    assert cine.GetNumberOfDataNodes() == 2 and tools.contents(scene) == before
