"""The axis between slices in the panel and from scripts, on real volume, sequence and segmentation nodes."""

from __future__ import annotations

import os

import numpy as np
import pytest
import slicer
import vtk

import tools
from ttt4d.errors import InputError
from ttt4d.settings import InterpolationSettings
from ttt4d.through_plane.auxiliary import task_class
from ttt4d.through_plane.settings import SliceAdaptationSettings, SliceRunSettings
from TTTInterpolationLib import browsing, segmentations, sequences, transfer, view_marks, volumes
from TTTInterpolationLib.inputs import Inputs
from TTTInterpolationLib.logic import TTTInterpolationLogic
from TTTInterpolationLib.parameters import AuxiliaryTask, FillBetween, SliceKind, SliceTask, sliceSettingsOf

QUICK = SliceRunSettings(factor=2.0, slices="gap", device="cpu",
                         adaptation=SliceAdaptationSettings(auxiliary="none"))


@pytest.fixture
def thick(scene):
    """An oblique, left-handed volume with slices twice as far apart as its pixels are wide."""
    node, = tools.heart(scene, tools.oblique(left_handed=True), times=(0.0,))
    return node


@pytest.fixture
def slices_panel(panels, thick):
    """A panel that fills between the slices of a volume, quickly."""
    panel = panels()
    panel.choices.fillBetween = FillBetween.slices
    panel.choices.thick = thick
    panel.choices.betweenSlices.factor = 2.0
    panel.choices.betweenSlices.slices = SliceKind.gap
    panel.choices.sliceAdaptation.auxiliary = SliceTask.none
    panel.choices.advanced.device = "cpu"
    return panel


def drawn(scene, volume, boxes=((slice(1, 3), "heart"), (slice(3, 5), "apex"))):
    """A segmentation of boxes drawn on a volume."""
    segments = {name: np.zeros(slicer.util.arrayFromVolume(volume).shape, bool) for _, name in boxes}
    for part, name in boxes:
        segments[name][part, 5:15, 6:18] = True
    return tools.add_segmentation(scene, volume, segments, (0.1, 0.5, 0.9))


def voxels_of(segmentation, name, volume) -> np.ndarray:
    identity = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identity, volume)


def in_lps(node) -> np.ndarray:
    return np.diag([-1, -1, 1, 1]) @ tools.matrix_of(node)


def test_a_volume_node_has_the_geometry_that_the_engine_reads_from_its_file(scene, geometry, tmp_path):
    from ttt4d.images.readers import read_volume

    thick, = tools.heart(scene, geometry, times=(0.0,))
    path = str(tmp_path / "thick.nrrd")
    volumes.writePhase(thick, path)
    assert not volumes.geometryOf(thick).differences(read_volume(path).geometry)


def test_a_script_gets_thin_slices_with_the_acquired_ones_bit_for_bit_and_the_segmentation_on_them(
        scene, thick, tmp_path):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1.0, 1.0, 1.0])))
    segmentation = drawn(scene, thick)
    for node in (thick, segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    result = TTTInterpolationLogic().processSlices(thick, settings=QUICK, segmentation=segmentation,
                                                   temporaryFolder=str(tmp_path))
    assert os.listdir(tmp_path) == []
    given, found = slicer.util.arrayFromVolume(thick), slicer.util.arrayFromVolume(result)
    assert found.shape == (2 * len(given) - 1, *given.shape[1:]) and found.dtype == given.dtype
    assert np.array_equal(found[::2], given)
    halved = tools.matrix_of(thick) @ np.diag([1, 1, 0.5, 1])
    assert np.allclose(tools.matrix_of(result), halved, atol=1e-9)
    assert result.GetTransformNodeID() == transform.GetID()
    assert sequences.acquiredSlicesOf(result) == (2, tuple(range(0, len(found), 2)))
    assert "Not for clinical use" in result.GetAttribute(sequences.PREFIX + "Notice")
    display = result.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (800, 400)

    carried = scene.GetFirstNodeByName("drawn on thin slices")
    assert carried.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
    for name in ("heart", "apex"):
        assert np.array_equal(voxels_of(carried, name, result)[::2], voxels_of(segmentation, name, thick))
        segment = carried.GetSegmentation().GetSegment(carried.GetSegmentation().GetSegmentIdBySegmentName(name))
        assert np.allclose(segment.GetColor(), [0.1, 0.5, 0.9])
    with pytest.raises(InputError, match="was computed, not measured"):
        TTTInterpolationLogic().processSlices(result, settings=QUICK)


def test_apply_fills_between_slices_shows_the_result_and_replaces_it_the_next_time(
        slices_panel, thick, scene, shown, tmp_path):
    panel = slices_panel
    panel.choices.advanced.temporaryFolder = str(tmp_path)
    scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "of something else")
    segmentation = drawn(scene, thick)
    panel.choices.thick = None
    panel.ui.thickSelector.setCurrentNode(thick)
    assert panel.choices.thickSegmentation is segmentation, "what was drawn on the volume is offered"
    panel.choices.sliceAdaptation.auxiliary = SliceTask.in_plane
    panel.choices.sliceAdaptation.iterations = 1
    assert panel.ui.slicesHintLabel.text.startswith("5 to 9 slices")
    hint = panel.ui.slicesHintLabel.toolTip
    assert "5 slices, 8 mm apart" in hint and "9 slices, 4 mm" in hint
    results, nodes = [], []
    for _time in range(2):
        assert panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip
        panel.ui.applyButton.click()
        assert panel.ui.applyButton.text == "Cancel"
        tools.turn_until(lambda: not panel.running)
        results.append(panel.choices.outputVolume)
        nodes.append(len(tools.contents(scene)))
    assert nodes[0] == nodes[1], "nothing is left of the earlier result"
    assert not shown and os.listdir(tmp_path) == []
    assert results[0] is results[1] and results[0].GetName() == "ED with thin slices"
    assert slicer.util.arrayFromVolume(results[0]).shape[0] == 9
    assert panel.ui.frameLabel.text == "5 of 9 slices are acquired; the others are synthetic."
    assert panel.ui.playWidget.isHidden(), "there is nothing to play"
    assert panel.ui.sideBySideButton.enabled and browsing.acquiredPhaseOf(results[0]) is thick
    carried = [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if node is not segmentation]
    assert len(carried) == 1, "the segmentation of the earlier result is replaced"
    (before, after, kept), = sequences.heldOutLossesOf(results[0])
    needed = task_class("in-plane").least_gain  # of slices with gaps between them
    assert kept is (after <= (1 - needed) * before) and panel.ui.lossButton.enabled


def test_cancel_between_slices_leaves_no_node_and_no_file(slices_panel, shown, tmp_path):
    panel = slices_panel
    panel.choices.advanced.temporaryFolder = str(tmp_path)
    panel.choices.sliceAdaptation.auxiliary = SliceTask.in_plane
    panel.choices.sliceAdaptation.iterations = 10000
    before = tools.contents(slicer.mrmlScene)
    panel.ui.applyButton.click()
    tools.turn_until(lambda: "Adaptation" in panel.ui.statusLabel.text)
    panel.ui.applyButton.click()
    tools.turn_until(lambda: not panel.running)
    assert panel.ui.statusLabel.text == "Cancelled." and not shown
    assert tools.contents(slicer.mrmlScene) == before and os.listdir(tmp_path) == []


def test_each_volume_of_a_sequence_gets_thin_slices_under_its_own_index_and_earlier_frames_stay(scene, tmp_path):
    source = sequences.newSequence("cine")
    source.SetIndexName("time")
    source.SetIndexUnit("ms")
    for node, time in zip(tools.heart(scene, tools.SMALL), ("10", "45.5")):
        sequences.addItemAs(source, node, time, acquired=True)
    cine = browsing.place(scene, source)
    interpolated = sequences.newSequence("interpolated")
    sequences.addItem(interpolated, cine.GetNthDataNode(0), 0, acquired=True)
    interpolated = browsing.place(scene, interpolated)
    sequences.annotate(interpolated, tools.REPORT, [cine])
    logic = TTTInterpolationLogic()
    result = logic.processSlices(cine, interpolated, settings=QUICK, temporaryFolder=str(tmp_path))
    assert result is not interpolated and interpolated.GetNumberOfDataNodes() == 1, "a result of another kind is kept"
    assert logic.processSlices(cine, result, settings=QUICK, temporaryFolder=str(tmp_path)) is result
    assert [result.GetNthIndexValue(n) for n in range(2)] == ["10", "45.5"]
    assert (result.GetIndexName(), result.GetIndexUnit()) == ("time", "ms")
    for n in range(2):
        given, found = (slicer.util.arrayFromVolume(node.GetNthDataNode(n)) for node in (cine, result))
        assert found.shape[0] == 9 and np.array_equal(found[::2], given)
    browsing.browserOf(result).SetSelectedItemNumber(1)
    assert browsing.shownSlicesOf(browsing.proxyOf(result)) == (2, (0, 2, 4, 6, 8))


def test_both_axes_in_one_run_give_frames_with_thin_slices_whose_marks_say_which_are_acquired(
        panels, pair, weights, shown, tmp_path):
    panel = panels()
    choices = panel.choices
    choices.fillBetween, choices.output.frames = FillBetween.both, 1
    choices.adaptation.auxiliary, choices.adaptation.weights = AuxiliaryTask.none, weights
    choices.sliceAdaptation.auxiliary, choices.betweenSlices.slices = SliceTask.none, SliceKind.gap
    choices.betweenSlices.factor, choices.advanced.device = 2.0, "cpu"
    choices.advanced.temporaryFolder = str(tmp_path)
    assert panel.ui.applyButton.enabled and "5 to 9 slices" in panel.ui.slicesHintLabel.text
    panel.ui.applyButton.click()
    tools.turn_until(lambda: not panel.running)
    assert not shown
    frames = choices.outputSequence
    for n, phase in ((0, pair[0]), (2, pair[1])):
        found = slicer.util.arrayFromVolume(frames.GetNthDataNode(n))
        assert found.shape[0] == 9 and np.array_equal(found[::2], slicer.util.arrayFromVolume(phase))
    browser, proxy = browsing.browserOf(frames), browsing.proxyOf(frames)
    for n, acquired in ((0, (0, 2, 4, 6, 8)), (1, ()), (2, (0, 2, 4, 6, 8))):
        browser.SetSelectedItemNumber(n)
        assert browsing.shownSlicesOf(proxy) == (2, acquired)
        assert panel.ui.frameLabel.text.startswith(f"{len(acquired)} of 9 slices are acquired")

    # Frames alone into the same output: nothing is left of what was said of the slices.
    choices.fillBetween = FillBetween.phases
    panel.ui.applyButton.click()
    tools.turn_until(lambda: not panel.running)
    assert not shown and choices.outputSequence is frames
    assert slicer.util.arrayFromVolume(frames.GetNthDataNode(0)).shape[0] == 5
    assert browsing.shownSlicesOf(proxy) is None and sequences.acquiredSlicesOf(frames) is None


def test_the_views_say_of_each_slice_whether_it_is_acquired(scene, thick):
    turned = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turned.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(
        np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])))
    thick.SetAndObserveTransformNodeID(turned.GetID())
    assert view_marks.markText(thick) == "", "nothing says so of images that are given"
    for name, value in (("ttt4d.slices", "0 2 4"), ("ttt4d.slices.axis", "k")):
        thick.SetAttribute(name, value)
    view = slicer.vtkMRMLSliceNode()
    toWorld = slicer.util.arrayFromTransformMatrix(turned) @ tools.matrix_of(thick)
    directions = toWorld[:3, :3] / np.linalg.norm(toWorld[:3, :3], axis=0)
    for number, words in ((1, "Slice 2 of 5 is synthetic"), (2, "Slice 3 of 5 is acquired"), (9, "")):
        matrix = np.eye(4)
        matrix[:3, :3] = directions
        matrix[:3, 3] = (toWorld @ [3, 4, number + 0.2, 1])[:3]
        view.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
        text = view_marks.markText(thick, view)
        assert text.startswith(words) and bool(text) == bool(words)
    matrix[:3, :3] = directions[:, [2, 0, 1]]
    view.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    assert view_marks.markText(thick, view).startswith("3 of 5 slices are acquired")


@pytest.mark.skipif(tools.IN_SLICER, reason="the application has views of its own")
def test_the_text_in_a_view_follows_the_volume_and_the_slice_and_goes_with_the_panel(scene, thick, monkeypatch):
    class View:
        def __init__(self) -> None:
            self.window, self.node = vtk.vtkRenderWindow(), scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
            self.composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
            self.window.AddRenderer(vtk.vtkRenderer())
            self.drawn = 0

        def text(self) -> str:
            props = self.window.GetRenderers().GetFirstRenderer().GetViewProps()
            return props.GetLastProp().GetInput() if props.GetNumberOfItems() else "gone"

        def scheduleRender(self) -> None:
            self.drawn += 1

        renderWindow, mrmlSliceNode = (lambda self: self.window), (lambda self: self.node)
        sliceView, mrmlSliceCompositeNode = (lambda self: self), (lambda self: self.composite)

    class Manager:
        def __init__(self) -> None:
            self.views, self.connected = {"Red": View()}, []
            self.sliceViewNames, self.sliceWidget = (lambda: list(self.views)), self.views.get

        def connect(self, signal: str, slot) -> None:
            self.connected.append((signal, slot))

        def disconnect(self, signal: str, slot) -> None:
            self.connected.remove((signal, slot))

    manager = Manager()
    view = manager.views["Red"]
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    marks = view_marks.ViewMarks()
    marks.refresh()
    assert view.text() == ""
    for name, value in (("ttt4d.slices", "0 2 4"), ("ttt4d.slices.axis", "k")):
        thick.SetAttribute(name, value)
    view.composite.SetBackgroundVolumeID(thick.GetID())
    matrix = tools.matrix_of(thick)
    matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)
    for number, kind in ((2, "acquired."), (3, "synthetic: computed, not measured.")):
        matrix[:3, 3] = (tools.matrix_of(thick) @ [0, 0, number, 1])[:3]
        view.node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
        view.node.Modified()
        assert view.text() == f"Slice {number + 1} of 5 is {kind}" and view.drawn
    (first, *_others), frames = tools.built(scene, tools.SMALL)
    browser = browsing.browse(frames, like=first)
    view.composite.SetBackgroundVolumeID(browsing.proxyOf(frames).GetID())
    for number, kind in ((1, "synthetic"), (2, "acquired")):
        browser.SetSelectedItemNumber(number)
        assert f"This frame is {kind}" in view.text()
    # A layout with more views: they get their text at once.
    other = manager.views["Compare"] = View()
    other.composite.SetBackgroundVolumeID(browsing.proxyOf(frames).GetID())
    (signal, slot), = manager.connected
    slot(7)
    assert signal == "layoutChanged(int)" and "This frame is acquired" in other.text()
    marks.remove()
    assert view.text() == other.text() == "gone" and not manager.connected


def test_a_disabled_apply_says_what_is_wrong_with_the_slices(slices_panel, thick, scene):
    panel, apply = slices_panel, slices_panel.ui.applyButton
    assert apply.enabled
    panel.choices.betweenSlices.factor = 1.0
    assert not apply.enabled and "above 1" in apply.toolTip
    panel.choices.betweenSlices.spacing = 9.0
    assert not apply.enabled and "not between 0 and the 8 mm" in apply.toolTip
    panel.choices.betweenSlices.spacing = 2.0
    assert apply.enabled and not panel.ui.factorSpinBox.enabled
    assert "17 slices, 2 mm" in panel.ui.slicesHintLabel.toolTip
    panel.choices.outputVolume = thick
    assert not apply.enabled and "overwrite the input" in apply.toolTip
    panel.choices.outputVolume = None
    panel.choices.thickSegmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    assert not apply.enabled and "empty has no segments" in apply.toolTip
    panel.choices.thickSegmentation = None
    thick.SetSpacing(4, 4, 4)
    panel.choices.thick = None
    assert not apply.enabled and "Choose a volume" in apply.toolTip
    panel.choices.thick = thick
    assert not apply.enabled and "already thin" in apply.toolTip
    panel.choices.betweenSlices.force = True
    assert apply.enabled


def test_the_thickness_of_a_dicom_header_is_told_and_used_on_both_axes(
        slices_panel, thick, scene, monkeypatch, tmp_path):
    class Database:
        def instanceValue(self, instance, tag):
            return {("1.2.3", "0018,0050"): "5.0"}.get((instance, tag), "")

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    assert volumes.sliceThicknessOf(thick) is None
    thick.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    slices_panel.choices.betweenSlices.spacing = 2.0
    assert "5 mm thick, as the header says" in slices_panel.ui.slicesHintLabel.toolTip
    sent = {axis: transfer.withToldThickness(SliceRunSettings(factor=2.0, axis=axis), thick).thickness
            for axis in (None, "k", "j")}
    assert sent == {None: 5.0, "k": 5.0, "j": None}, "the header tells of the acquired slices alone"
    assert transfer.withToldThickness(SliceRunSettings(factor=2.0, thickness=3.0), thick).thickness == 3.0
    both = transfer.PhasesTransfer(scene, Inputs.pair(thick, tools.heart(scene, tools.SMALL)[1]), transfer.Outputs(),
                                   InterpolationSettings(), SliceRunSettings(factor=2.0))
    both.makeFolder(str(tmp_path))
    assert both.request()["slices"]["thickness"] == 5.0
    both.removeFolder()
    thick.SetAttribute("DICOM.instanceUIDs", "1.2.4")
    assert volumes.sliceThicknessOf(thick) is None


def test_segments_that_overlap_or_lie_elsewhere_are_refused_in_one_sentence(scene, thick, tmp_path):
    overlapping = drawn(scene, thick, ((slice(1, 3), "heart"), (slice(2, 4), "apex")))
    with pytest.raises(InputError, match="heart and apex of drawn overlap"):
        segmentations.writeLabels(overlapping, thick, thick, str(tmp_path / "labels.nrrd"))
    outside = drawn(scene, thick)
    far = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    far.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, 1, 1, 1]) + 1e4 * np.eye(4, k=3)))
    outside.SetAndObserveTransformNodeID(far.GetID())
    with pytest.raises(InputError, match="lies outside ED"):
        segmentations.writeLabels(outside, thick, thick, str(tmp_path / "labels.nrrd"))


def test_every_setting_between_slices_has_its_parameter(slices_panel):
    import dataclasses

    choices = slices_panel.choices
    choices.betweenSlices.thickness, choices.betweenSlices.slices = 5.0, SliceKind.thick
    settings = sliceSettingsOf(choices)
    assert (settings.factor, settings.spacing, settings.slices, settings.thickness) == (2.0, None, "thick", 5.0)
    choices.betweenSlices.spacing = 1.5
    assert (sliceSettingsOf(choices).factor, sliceSettingsOf(choices).spacing) == (None, 1.5)
    from TTTInterpolationLib.parameters import parameterOf

    names = [field.name for cls in (SliceRunSettings, SliceAdaptationSettings) for field in dataclasses.fields(cls)
             if field.name != "adaptation"]
    assert all(parameterOf(name, FillBetween.slices) for name in names)


def test_the_controls_shown_are_those_of_the_axis(slices_panel):
    panel, ui = slices_panel, slices_panel.ui
    of_phases, of_slices = (ui.phase0Selector, ui.framesSpinBox, ui.canvasSpinBox), (ui.factorSpinBox, ui.axisComboBox)
    for axis, phases, slices, one in ((FillBetween.phases, True, False, False), (FillBetween.slices, False, True, True),
                                      (FillBetween.both, True, True, False)):
        panel.choices.fillBetween = axis
        assert [not widget.isHidden() for widget in of_phases] == [phases] * 3
        assert [not widget.isHidden() for widget in of_slices] == [slices] * 2
        assert ui.thickSelector.isHidden() is not one and ui.outputVolumeSelector.isHidden() is not one


def test_undo_leaves_a_panel_that_works(slices_panel, thick, scene, shown):
    panel = slices_panel
    scene.SetUndoOn()
    for _time in range(2):
        scene.SaveStateForUndo()
        panel.ui.applyButton.click()
        tools.turn_until(lambda: not panel.running)
        scene.Undo()
        assert not shown and panel.ui.applyButton.enabled and panel.choices.thick is thick
        result = panel.choices.outputVolume
        assert result is None or slicer.util.arrayFromVolume(result).shape[0] == 9
    scene.SetUndoOff()


@pytest.mark.skipif(tools.IN_SLICER, reason="a second scene beside the application's is for the host")
def test_a_saved_scene_brings_back_thin_slices_their_marks_and_every_choice(slices_panel, thick, scene, tmp_path):
    result = TTTInterpolationLogic().processSlices(thick, settings=QUICK, segmentation=drawn(scene, thick))
    choices = slices_panel.choices
    choices.outputVolume, choices.betweenSlices.thickness = result, 3.5
    choices.sliceAdaptation.weights = "/somewhere/else.safetensors"
    settings = sliceSettingsOf(choices)
    path = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(path)
    scene.Clear(0)
    assert scene.ReadFromMRB(path)
    restored = slices_panel.choices
    assert restored.fillBetween is FillBetween.slices and sliceSettingsOf(restored) == settings
    assert restored.thick.GetName() == "ED" and restored.outputVolume.GetName() == "ED with thin slices"
    assert sequences.acquiredSlicesOf(restored.outputVolume) == (2, (0, 2, 4, 6, 8))
    assert "5 of 9 slices" in slices_panel.ui.frameLabel.text
    assert scene.GetFirstNodeByName("drawn on thin slices") is not None


@pytest.mark.skipif(tools.IN_SLICER, reason="the heights are those of the stand-ins")
def test_inputs_apply_and_review_are_seen_at_once_in_a_window_of_1280_by_800(slices_panel, pair):
    """Title, menu, tool bars and module selector of the application take 250 of its 800 pixels, Data Probe folded."""
    slices_panel.parent.resize(350, 550)
    slices_panel.choices.phase0, slices_panel.choices.phase1 = pair
    slices_panel.ui.progressBar.visible = True
    for axis in FillBetween:
        slices_panel.choices.fillBetween = axis
        slicer.app.processEvents()
        for name in ("inputs", "review"):
            group = getattr(slices_panel.ui, f"{name}CollapsibleButton")
            assert group.geometry.bottom() < 470, axis
