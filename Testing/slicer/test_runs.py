"""Apply, progress, cancel, kill: runs of the real engine beside a real event loop."""

from __future__ import annotations

import gc
import glob
import os
import signal
import tempfile
import time

import numpy as np
import pytest
import qt
import slicer

import tools
from tools import contents, turn_until
from ttt4d.errors import InputError
from ttt4d.weights import names as packaged_weights
from TTTInterpolationLib import browsing, dependencies, job, review, sequences
from TTTInterpolationLib.inputs import Inputs
from TTTInterpolationLib.job import EventLoopJob
from TTTInterpolationLib.parameters import InputKind, settingsOf
from TTTInterpolationLib.run import BlockingRun, Callbacks
from TTTInterpolationLib.transfer import Outputs, PhasesTransfer


def start_long_run(panel, *stages: str) -> int:
    """Apply with far more iterations than anyone waits for; returns the child's number once it is at a stage.

    On a busy machine the first stage may be over before the panel shows it.
    """
    panel.choices.adaptation.iterations = 10000
    panel.ui.applyButton.click()
    turn_until(lambda: any(stage in panel.ui.statusLabel.text for stage in stages or ("Reading", "Adaptation")))
    return panel.logic.runOf(panel.choices).pid


def test_apply_shows_progress_and_ends_in_a_browser_that_shows_the_frames(
        own_work, panel, pair, temporary_folder, shown, monkeypatch):
    told, labels = [], []
    update = panel.widget._applyPanel._progress.update
    monkeypatch.setattr(panel.widget._applyPanel._progress, "update", lambda message: (
        update(message), told.append(message), labels.append(panel.ui.statusLabel.text)))
    began = time.monotonic()
    panel.ui.applyButton.click()
    run = panel.logic.runOf(panel.choices)
    child = run.pid
    assert panel.running and panel.ui.applyButton.text == "Cancel" and panel.ui.applyButton.enabled
    assert panel.ui.statusLabel.text.startswith("Starting"), "said at once, before the child can say anything"
    assert panel.ui.progressBar.visible
    turns = turn_until(lambda: told)
    first_message = time.monotonic() - began
    assert labels[0].startswith("Reading")
    later = turn_until(lambda: not panel.running)
    assert not shown
    stages = [message["stage"] for message in told]
    assert sorted(set(stages), key=stages.index) == ["reading", "adaptation", "interpolation", "writing"]
    fractions = [message["fraction"] for message in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert own_work.calls and own_work.longest < 0.05
    if not tools.IN_SLICER:
        assert max(turns.computing, later.computing) < 0.05
    if os.getloadavg()[0] < 1:  # else the clock measures what else the machine does
        assert first_message < 5
        assert tools.IN_SLICER or max(turns.wall, later.wall) < 0.05

    frames = panel.choices.outputSequence
    assert [frames.GetNthIndexValue(n) for n in range(4)] == ["0", "33.3333", "66.6667", "100"]
    browser = browsing.browserOf(frames)
    proxy = browser.GetProxyNode(frames)
    for n in range(4):
        browser.SetSelectedItemNumber(n)
        shown_now = slicer.util.arrayFromVolume(proxy)
        assert np.array_equal(shown_now, slicer.util.arrayFromVolume(frames.GetNthDataNode(n)))
        assert ("acquired" if n in (0, 3) else "synthetic") in panel.ui.frameLabel.text
    assert np.array_equal(shown_now, slicer.util.arrayFromVolume(pair[1])), "the last frame is phase 1, bit for bit"
    assert (proxy.GetDisplayNode().GetWindow(), proxy.GetDisplayNode().GetLevel()) == (800, 400)
    assert panel.ui.playWidget.enabled and panel.ui.sideBySideButton.enabled
    assert "4 frames in" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.text == "Apply"
    assert os.listdir(temporary_folder) == [], "the temporary folder is removed"
    turn_until(lambda: not tools.exists(child))
    assert run._transfer is None and not list(run._turns._steps), "Qt may keep the run, but the run keeps no volume"

    assert panel.ui.lossButton.enabled
    (before, after, kept), = sequences.heldOutLossesOf(frames)
    assert kept is (after <= before)


def test_a_child_that_still_ends_after_its_result_is_not_killed_with_a_job_that_nobody_keeps(panel, temporary_folder):
    panel.ui.applyButton.click()
    child = panel.logic.runOf(panel.choices).pid
    turn_until(lambda: not panel.running)
    gc.collect()
    (job_,) = EventLoopJob.withChild
    assert job_.pid == child
    turn_until(lambda: not EventLoopJob.withChild)
    assert not tools.exists(child) and job_._process.exitStatus() == qt.QProcess.NormalExit


def test_cancel_in_mid_run_leaves_no_node_and_no_file(panel, temporary_folder, shown):
    before = contents(slicer.mrmlScene)
    child = start_long_run(panel, "Adaptation")
    panel.ui.applyButton.click()
    assert "Cancelling" in panel.ui.statusLabel.text
    turn_until(lambda: not panel.running)
    assert panel.ui.statusLabel.text == "Cancelled."
    assert not shown
    assert contents(slicer.mrmlScene) == before
    assert os.listdir(temporary_folder) == []
    assert not tools.exists(child)


def test_what_goes_wrong_in_showing_the_progress_loses_no_result(panel, temporary_folder, shown, monkeypatch):
    def update(message):
        raise ValueError("not shown")

    monkeypatch.setattr(panel.widget._applyPanel._progress, "update", update)
    panel.ui.applyButton.click()
    turn_until(lambda: not panel.running)
    assert panel.choices.outputSequence.GetNumberOfDataNodes() == 4
    assert os.listdir(temporary_folder) == []


def test_a_run_that_is_waited_for_can_be_cancelled_from_its_progress(panel, pair, temporary_folder):
    outcomes = []
    callbacks = Callbacks(progress=lambda message: run.pid and run.cancel(),
                          finished=lambda outcome, outputs: outcomes.append((outcome.kind, outputs)))
    transfer = PhasesTransfer(slicer.mrmlScene, Inputs.pair(*pair), Outputs(), settingsOf(panel.choices))
    transfer.makeFolder(str(temporary_folder))
    run = BlockingRun(transfer, callbacks)
    assert run.wait() is None and outcomes == [("cancelled", None)] and run.pid == 0
    assert os.listdir(temporary_folder) == []


def test_a_run_that_ends_while_another_module_is_shown_is_not_lost(panel, temporary_folder, shown):
    panel.ui.applyButton.click()
    run = panel.logic.runOf(panel.choices)
    panel.widget.exit()
    turn_until(lambda: not os.path.exists(run.folder))
    panel.widget.enter()
    assert panel.choices.outputSequence.GetNumberOfDataNodes() == 4
    assert panel.ui.playWidget.enabled and not shown


def test_the_views_of_another_module_are_left_alone_until_the_panel_is_shown_again(
        panel, temporary_folder, shown, monkeypatch):
    seen = []
    monkeypatch.setattr(review, "show", seen.append)
    panel.ui.applyButton.click()
    run = panel.logic.runOf(panel.choices)
    panel.widget.exit()
    turn_until(lambda: not os.path.exists(run.folder))
    assert not seen
    panel.widget.enter()
    assert seen == [panel.choices.outputSequence]
    panel.widget.exit()
    panel.widget.enter()
    assert len(seen) == 1, "shown once"


def test_a_result_whose_browser_was_deleted_meanwhile_is_no_trouble(panel, scene, temporary_folder, shown):
    panel.ui.applyButton.click()
    run = panel.logic.runOf(panel.choices)
    panel.widget.exit()
    turn_until(lambda: not os.path.exists(run.folder))
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode"))
    panel.widget.enter()
    assert panel.choices.outputSequence.GetNumberOfDataNodes() == 4


def test_while_packages_are_installed_the_panel_says_so_and_takes_no_second_apply(
        panel, temporary_folder, shown, monkeypatch):
    """Slicer turns the event loop during pip: here a user clicks again and looks at another module meanwhile."""
    def ensure():
        assert "installing" in panel.ui.statusLabel.text and not panel.ui.applyButton.enabled
        panel.ui.applyButton.click()
        panel.widget.exit()
        panel.widget.enter()
        assert not panel.ui.applyButton.enabled
        panel.widget.exit()

    monkeypatch.setattr(dependencies, "ensure", ensure)
    panel.ui.applyButton.click()
    panel.widget.enter()
    assert not shown and panel.ui.applyButton.text == "Cancel"
    with pytest.raises(InputError, match="under way"):
        panel.logic.apply(panel.choices, Callbacks())
    turn_until(lambda: not panel.running)
    assert panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled


def test_displacements_chosen_during_a_run_stay_chosen_for_the_next(panel, scene, temporary_folder):
    panel.ui.applyButton.click()
    panel.choices.displacementSequence = motion = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "motion")
    turn_until(lambda: not panel.running)
    assert panel.choices.displacementSequence is motion and motion.GetNumberOfDataNodes() == 0


def test_a_killed_child_becomes_one_message_with_its_log(panel, temporary_folder, shown):
    before = contents(slicer.mrmlScene)
    child = start_long_run(panel)
    os.kill(child, signal.SIGKILL)
    turn_until(lambda: not panel.running)
    (message, options), = shown
    assert "stopped from outside or ran out of memory" in message
    assert "detailedText" in options
    assert contents(slicer.mrmlScene) == before
    assert os.listdir(temporary_folder) == []
    assert panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled, "one can try again"


def test_closing_the_scene_during_a_run_is_safe(panel, temporary_folder, shown):
    child = start_long_run(panel)
    slicer.mrmlScene.Clear(0)
    turn_until(lambda: not panel.running)
    assert not tools.exists(child) and os.listdir(temporary_folder) == []
    assert not shown
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    assert panel.ui.applyButton.text == "Apply"


def test_a_reload_of_the_module_during_a_run_ends_the_child(panel, temporary_folder, shown):
    child = start_long_run(panel)
    panel.widget.cleanup()
    assert not tools.exists(child)
    assert os.listdir(temporary_folder) == []
    assert not shown


def test_a_second_panel_of_the_scene_can_cancel_and_cannot_start_the_same_run_twice(panel, panels, temporary_folder):
    other = panels()
    start_long_run(panel)
    assert other.ui.applyButton.text == "Cancel"
    other.ui.applyButton.click()
    turn_until(lambda: not panel.running)
    assert panel.ui.applyButton.text == other.ui.applyButton.text == "Apply"


def test_what_the_engine_refuses_is_shown_in_its_own_sentence(panel, temporary_folder, shown):
    slicer.util.arrayFromVolume(panel.choices.phase1)[:] = 7
    panel.ui.applyButton.click()
    turn_until(lambda: not panel.running)
    (message, _options), = shown
    assert "same value in every voxel" in message
    assert os.listdir(temporary_folder) == []


def test_a_temporary_folder_that_is_not_there_is_said_before_anything_starts(panel, tmp_path):
    panel.choices.advanced.temporaryFolder = str(tmp_path / "nowhere")
    with pytest.raises(InputError, match="temporary folder .* choose another one"):
        panel.logic.apply(panel.choices, Callbacks())
    assert not panel.running


def test_another_patients_run_keeps_the_first_result(panel, scene, temporary_folder):
    for node in tools.heart(scene, tools.SMALL, times=(0.2, 0.8)):
        node.SetName(f"other {node.GetName()}")
    panel.choices.displacementSequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "motion")
    results = []
    for names in (("ED", "ES"), ("other ED", "other ES"), ("other ED", "other ES")):
        panel.choices.phase0, panel.choices.phase1 = (scene.GetFirstNodeByName(name) for name in names)
        panel.ui.applyButton.click()
        turn_until(lambda: not panel.running)
        results.append((panel.choices.outputSequence, panel.choices.displacementSequence))
    first, other, again = results
    assert [frames.GetName() for frames, _motion in results] == ["ED interpolated"] + 2 * ["other ED interpolated"]
    assert first[0] is not other[0] and first[1] is not other[1] and other == again, "the same inputs, the same output"
    assert all(node.GetNumberOfDataNodes() == 4 for node in (*first, *other))
    assert browsing.browserOf(first[1]) is browsing.browserOf(first[0]) is not browsing.browserOf(other[0])


def test_a_child_that_cannot_be_started_is_said(panel, shown, temporary_folder, monkeypatch):
    monkeypatch.setattr(job, "engineCommand", lambda *arguments: [str(temporary_folder / "no-python"), *arguments])
    panel.ui.applyButton.click()
    turn_until(lambda: not panel.running)
    assert "could not be started" in shown[0][0]
    assert panel.ui.applyButton.text == "Apply" and not panel.ui.progressBar.visible


def test_what_is_passed_to_the_child_can_be_read_by_its_owner_only(panel):
    folders = set(glob.glob(os.path.join(tempfile.gettempdir(), "ttt*")))
    start_long_run(panel)
    folder = panel.logic.runOf(panel.choices).folder
    assert folder not in folders and len(os.path.basename(folder)) < 16
    assert os.stat(folder).st_mode & 0o077 == 0
    panel.ui.applyButton.click()
    turn_until(lambda: not panel.running)


def test_a_sequence_is_interpolated_pair_by_pair_in_the_panel(panel, scene, weights, temporary_folder, shown):
    """Its phases lie unevenly in time; the way back to the first takes the mean of the steps."""
    source = sequences.newSequence("cine")
    for n, node in enumerate(tools.heart(scene, tools.SMALL, times=(0.0, 0.5, 1.0))):
        sequences.addItem(source, node, (0, 20, 100)[n], acquired=True)
    panel.choices.sequence = browsing.place(scene, source)
    panel.choices.inputKind = InputKind.sequence
    panel.choices.cyclic = True
    panel.choices.output.frames = 1
    panel.ui.applyButton.click()
    turn_until(lambda: not panel.running)
    assert not shown
    frames = panel.choices.outputSequence
    marks = [frames.GetNthDataNode(n).GetAttribute(sequences.FRAME) for n in range(frames.GetNumberOfDataNodes())]
    assert marks == ["acquired", "synthetic"] * 3
    assert [round(float(frames.GetNthIndexValue(n))) for n in range(6)] == [0, 7, 13, 40, 67, 83]
    assert len(sequences.heldOutLossesOf(frames)) == 3, "each pair was adapted on its own"


@pytest.mark.skipif("cardiac" not in packaged_weights(), reason="the cardiac weights are not there")
def test_the_modules_own_test_passes(scene):
    import TTTInterpolation

    TTTInterpolation.TTTInterpolationTest().runTest()


@pytest.mark.skipif(not os.path.isdir(tools.PATIENTS), reason="set TTT4D_DATA to the folder of the real images")
def test_a_patients_ed_and_es_become_a_playable_sequence(own_work, panels, scene, weights, shown, tmp_path):
    nodes = tools.add_patient(scene)
    panel = panels()
    assert (panel.choices.phase0, panel.choices.phase1) == tuple(nodes), "the first two volumes are proposed"
    if "cardiac" not in packaged_weights():
        panel.choices.adaptation.weights = weights
    panel.choices.adaptation.iterations = 2
    panel.choices.output.frames = 3
    panel.choices.advanced.temporaryFolder = str(tmp_path)
    panel.ui.applyButton.click()
    turns = turn_until(lambda: not panel.running)
    assert not shown
    assert own_work.longest < 0.05, "the application stayed awake"
    assert tools.IN_SLICER or turns.computing < 0.05
    frames = panel.choices.outputSequence
    proxy = browsing.proxyOf(frames)
    assert frames.GetNumberOfDataNodes() == 5
    for n, node in ((0, nodes[0]), (4, nodes[1])):
        browsing.browserOf(frames).SetSelectedItemNumber(n)
        assert np.array_equal(slicer.util.arrayFromVolume(proxy), slicer.util.arrayFromVolume(node))
    assert np.allclose(tools.matrix_of(proxy), tools.matrix_of(nodes[0]), rtol=0, atol=1e-12)
    assert os.listdir(tmp_path) == []
