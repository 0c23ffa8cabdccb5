"""A result in the scene: where it is placed, how it is played, and what is shown of it."""

from __future__ import annotations

import numpy as np
import slicer

import tools
from ttt4d.temporal.phantom import BeatingHeart
from TTTInterpolationLib import browsing, review, sequences, volumes


def test_a_result_has_the_grid_type_window_place_and_marks_of_its_inputs(scene, geometry):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    (first, _middle, _last), frames = tools.built(scene, geometry)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(first) or hierarchy.CreateItem(study, first), study)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    first.SetAndObserveTransformNodeID(transform.GetID())

    browser = browsing.browse(frames, like=first)
    proxy = browser.GetProxyNode(frames)
    for n in (1, 2, 0):
        browser.SetSelectedItemNumber(n)
        assert tools.same_grid(proxy, first)
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
    nodes, chosen = tools.built(scene, tools.SMALL)
    name, identity = chosen.GetName(), chosen.GetID()
    new = sequences.newSequence("new")
    for index in (0, 100):
        sequences.addItem(new, volumes.fromEngine(BeatingHeart.within(tools.SMALL).frame(tools.SMALL, 0)), index, True)
    assert browsing.place(scene, new, chosen, [nodes[0], nodes[-1]]) is chosen
    assert (chosen.GetName(), chosen.GetID(), chosen.GetNumberOfDataNodes()) == (name, identity, 2)
    assert [chosen.GetNthIndexValue(n) for n in range(2)] == ["0", "100"]


def test_the_result_of_other_inputs_is_kept_though_it_is_the_chosen_output(scene):
    nodes, chosen = tools.built(scene, tools.SMALL)
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
    (first, *_others), frames = tools.built(scene, tools.SMALL)
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
    (first, *_others), frames = tools.built(scene, tools.SMALL)
    registered, turned = (scene.AddNewNodeByClass("vtkMRMLLinearTransformNode") for _n in range(2))
    proxy = browsing.browse(frames, like=first).GetProxyNode(frames)
    first.SetAndObserveTransformNodeID(registered.GetID())
    browsing.browse(frames, like=first)
    assert proxy.GetParentTransformNode() is registered
    proxy.SetAndObserveTransformNodeID(turned.GetID())
    browsing.browse(frames, like=first)
    assert proxy.GetParentTransformNode() is turned


def test_the_mark_is_of_the_frame_that_is_shown_also_in_step_with_another_sequence(scene):
    """Two phases at 0 and 100 % lead, and the three frames follow: the second item that is shown is the last frame."""
    (first, *_others), frames = tools.built(scene, tools.SMALL)
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


def test_a_browser_that_records_or_holds_its_proxy_still_shows_the_new_frames(scene):
    (first, *_others), frames = tools.built(scene, tools.SMALL)
    browser = browsing.browse(frames, like=first)
    scene.RemoveNode(browser.GetProxyNode(frames))
    browser.SetPlayback(frames, False)
    browser.SetRecordingActive(True)
    browsing.browse(frames, like=first)
    assert browser.GetProxyNode(frames).GetImageData() is not None


def test_a_result_knows_the_phase_it_was_made_from(scene):
    nodes, frames = tools.built(scene, tools.SMALL)
    assert browsing.acquiredPhaseOf(frames) is nodes[0]
    of_sequence = browsing.place(scene, sequences.newSequence("of a sequence"))
    browser = browsing.browse(frames, like=nodes[0])
    sequences.annotate(of_sequence, tools.REPORT, [frames])
    assert browsing.acquiredPhaseOf(of_sequence) is browser.GetProxyNode(frames)


def test_the_loss_plot_shows_each_pair_before_and_after_and_is_replaced_when_asked_for_again(scene):
    nodes, frames = tools.built(scene, tools.SMALL)
    adaptation = [{"losses": [0.5, 0.25], "held_out_loss": [0.5, 0.125], "kept": True},
                  {"losses": [0.4], "held_out_loss": [0.25, 0.75], "kept": False}]
    sequences.annotate(frames, {**tools.REPORT, "adaptation": adaptation}, nodes[:1])
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
