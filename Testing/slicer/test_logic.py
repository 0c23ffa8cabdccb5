"""The logic for scripts: runs that are waited for, and what is refused before they begin."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import slicer

import tools
from ttt4d.errors import InputError
from TTTInterpolationLib import browsing, sequences
from TTTInterpolationLib.conversation import JobError
from TTTInterpolationLib.logic import TTTInterpolationLogic
from TTTInterpolationLib.run import Callbacks


def test_computed_frames_are_not_taken_for_phases(scene):
    (first, *_others), frames = tools.built(scene, tools.SMALL)
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


def test_a_run_from_a_script_gives_marked_frames_displacements_and_where_they_come_from(scene, quick, tmp_path):
    geometry = tools.oblique(left_handed=True)
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
        assert tools.same_grid(frames.GetNthDataNode(n), phase0)
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
    compared = tools.built(scene, tools.SMALL)[1]
    others = sequences.newSequence("motion of other inputs")
    others.SetDataNodeAtValue(slicer.vtkMRMLGridTransformNode(), "0")
    others = browsing.place(scene, others)
    sequences.annotate(others, tools.REPORT, [compared])
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
