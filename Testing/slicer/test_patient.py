"""A patient's images through the panel: both axes in one run, then a segmentation carried with the motion."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import slicer

import tools
from ttt4d.weights import names as packaged_weights
from TTTInterpolationLib import browsing, sequences
from TTTInterpolationLib.carry_transfer import carriedOf
from TTTInterpolationLib.parameters import FillBetween, MapChoice, SliceTask


@pytest.mark.skipif(not os.path.isdir(tools.PATIENT), reason="set TTT4D_DATA to the folder of the real images")
@pytest.mark.skipif("cardiac" not in packaged_weights(), reason="the cardiac weights are not there")
def test_a_patient_gets_frames_with_thin_slices_and_a_segmentation_that_moves(panels, scene, shown, tmp_path, capsys):
    nodes = tools.add_patient(scene)
    panel = panels()
    choices, seconds = panel.choices, {}
    choices.fillBetween, choices.output.frames = FillBetween.both, 3
    choices.adaptation.iterations, choices.sliceAdaptation.auxiliary = 2, SliceTask.none
    choices.betweenSlices.factor, choices.advanced.temporaryFolder = 2.0, str(tmp_path)

    def run(button, what: str) -> None:
        began = time.monotonic()
        button.click()
        tools.turn_until(lambda: not panel.running)
        seconds[what] = round(time.monotonic() - began, 1)
        assert not shown

    run(panel.ui.applyButton, "both axes")
    frames = choices.outputSequence
    given = slicer.util.arrayFromVolume(nodes[0])
    slices = 2 * len(given) - 1
    assert [slicer.util.arrayFromVolume(frames.GetNthDataNode(n)).shape[0] for n in range(5)] == [slices] * 5
    assert browsing.shownSlicesOf(browsing.proxyOf(frames)) is not None

    # A bright region in the middle of the image, where the blood of the left ventricle is.
    k, j, i = np.indices(given.shape)
    middle = np.hypot(j - given.shape[1] / 2, i - given.shape[2] / 2) < 0.15 * given.shape[2]
    inside = middle & (given > np.percentile(given[middle], 70)) & (k > 1) & (k < len(given) - 2)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "blood")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(nodes[0])
    identity = segmentation.GetSegmentation().AddEmptySegment("", "blood")
    slicer.util.updateSegmentBinaryLabelmapFromArray(inside.astype(np.uint8), segmentation, identity, nodes[0])
    choices.carrySource, choices.carry.maps = segmentation, MapChoice.jacobian
    run(panel.ui.carryButton, "carried")
    carried = carriedOf(frames, "vtkMRMLSequenceNode")
    kinds = {sequence.GetNthDataNode(0).GetClassName() for sequence in carried}
    assert kinds == {"vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"}
    assert all(sequence.GetNumberOfDataNodes() == 5 for sequence in carried)
    assert sequences.marksOf(carried[0]).count(sequences.SYNTHETIC) >= 4
    assert os.listdir(tmp_path) == []
    with capsys.disabled():
        print(f"\npatient 066, seconds: {seconds}")
