"""Patients' images through the panel: both axes in one run, then segmentations carried with the motion."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import slicer

import tools
from ttt4d.images.readers import read_volume
from ttt4d.weights import names as packaged_weights
from TTTInterpolationLib import browsing, sequences
from TTTInterpolationLib.carry_transfer import carriedOf
from TTTInterpolationLib.parameters import FillBetween, MapChoice, SliceTask

pytestmark = [
    pytest.mark.skipif(not os.path.isdir(tools.PATIENTS), reason="set TTT4D_DATA to the folder of the real images"),
    pytest.mark.skipif("cardiac" not in packaged_weights(), reason="the cardiac weights are not there"),
]


def timed(button, panel, shown) -> float:
    """Press a button, wait for its run to end well, and return the seconds that it took."""
    began = time.monotonic()
    button.click()
    tools.turn_until(lambda: not panel.running)
    assert not shown
    return round(time.monotonic() - began, 1)


def test_a_patient_gets_frames_with_thin_slices_and_a_segmentation_that_moves(panels, scene, shown, tmp_path, capsys):
    nodes = tools.add_patient(scene)
    panel = panels()
    choices, seconds = panel.choices, {}
    seconds["phases, by default"] = timed(panel.ui.applyButton, panel, shown)
    choices.fillBetween, choices.output.frames = FillBetween.both, 3
    choices.adaptation.iterations, choices.sliceAdaptation.auxiliary = 2, SliceTask.none
    choices.betweenSlices.factor, choices.advanced.temporaryFolder = 2.0, str(tmp_path)

    seconds["both axes"] = timed(panel.ui.applyButton, panel, shown)
    frames = choices.outputSequence
    given = slicer.util.arrayFromVolume(nodes[0])
    slices = 2 * len(given) - 1
    assert [slicer.util.arrayFromVolume(frames.GetNthDataNode(n)).shape[0] for n in range(5)] == [slices] * 5
    assert browsing.shownSlicesOf(browsing.proxyOf(frames)) is not None

    # A bright region in the middle of the image, where the blood of the left ventricle is.
    k, j, i = np.indices(given.shape)
    middle = np.hypot(j - given.shape[1] / 2, i - given.shape[2] / 2) < 0.15 * given.shape[2]
    inside = middle & (given > np.percentile(given[middle], 70)) & (k > 1) & (k < len(given) - 2)
    choices.carrySource = tools.add_segmentation(scene, nodes[0], {"blood": inside})
    choices.carry.maps = MapChoice.jacobian
    seconds["carried"] = timed(panel.ui.carryButton, panel, shown)
    carried = carriedOf(frames, "vtkMRMLSequenceNode")
    kinds = {sequence.GetNthDataNode(0).GetClassName() for sequence in carried}
    assert kinds == {"vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"}
    assert all(sequence.GetNumberOfDataNodes() == 5 for sequence in carried)
    assert sequences.marksOf(carried[0]).count(sequences.SYNTHETIC) >= 4
    assert os.listdir(tmp_path) == []
    with capsys.disabled():
        print(f"\npatient 066, seconds: {seconds}")


def test_labels_that_an_expert_drew_at_end_diastole_arrive_at_those_of_end_systole(panels, scene, shown, capsys):
    name = "patient008"  # none of the weights were trained on it
    nodes = tools.add_patient(scene, name)
    diastole, systole = (read_volume(os.path.join(tools.PATIENTS, name, f"{name}_frame{number:02d}_gt.nii.gz")).array
                         for number in tools.moments_of(name).values())
    labels = {"right ventricle": 1, "myocardium": 2, "left ventricle": 3}
    panel, seconds = panels(), {}
    panel.choices.output.frames = 9
    seconds["phases"] = timed(panel.ui.applyButton, panel, shown)
    panel.choices.carrySource = tools.add_segmentation(
        scene, nodes[0], {what: diastole == label for what, label in labels.items()})
    seconds["carried"] = timed(panel.ui.carryButton, panel, shown)
    segmentation, = carriedOf(panel.choices.outputSequence, "vtkMRMLSequenceNode")
    last = segmentation.GetNthDataNode(segmentation.GetNumberOfDataNodes() - 1)
    dice = {}
    for what, label in labels.items():
        identity = last.GetSegmentation().GetSegmentIdBySegmentName(what)
        carried, drawn = slicer.util.arrayFromSegmentBinaryLabelmap(last, identity, nodes[1]) > 0, systole == label
        dice[what] = round(2 * float((carried & drawn).sum()) / float(carried.sum() + drawn.sum()), 3)
    assert min(dice.values()) > 0.8
    with capsys.disabled():
        print(f"\n{name}, seconds: {seconds}, Dice at end-systole: {dice}")
