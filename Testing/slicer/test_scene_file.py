"""A scene saved and loaded again: every choice, the result, and the panel that shows them."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

import tools
from ttt4d.temporal.phantom import BeatingHeart
from TTTInterpolationLib import browsing, sequences, volumes
from TTTInterpolationLib.parameters import AuxiliaryTask, InputKind, Scheme, settingsOf

pytestmark = pytest.mark.skipif(tools.IN_SLICER, reason="a second scene beside the application's is for the host")


def test_save_close_and_load_restore_every_choice_and_the_sequence(panel, pair, scene, panels, tmp_path):
    choices = panel.choices
    built = sequences.newSequence("frames")
    for n in range(3):
        frame = BeatingHeart.within(tools.SMALL).frame(tools.SMALL, n / 2)
        sequences.addItem(built, volumes.fromEngine(frame), 50 * n, acquired=n != 1)
    frames = browsing.place(scene, built)
    browsing.browse(frames, like=pair[0])
    choices.outputSequence = frames
    choices.displacementSequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "motion")
    choices.phase0, choices.phase1 = pair[1], pair[0]
    choices.cyclic = True
    choices.adaptation.auxiliary = AuxiliaryTask.rotation
    choices.adaptation.scheme = Scheme.mini_batch
    choices.adaptation.iterations = 17
    choices.adaptation.learningRate = 0.0003
    choices.adaptation.weights = "/somewhere/else.safetensors"
    choices.output.frames = 5
    choices.output.times = "0.25 0.5"
    choices.advanced.seed = 42
    choices.advanced.device = "cuda:7"
    choices.advanced.canvas = 48
    choices.advanced.temporaryFolder = str(tmp_path)
    settings = settingsOf(choices)
    assert settings.times == (0.25, 0.5) and settings.adaptation.learning_rate == 0.0003
    path = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(path)

    scene.Clear(0)  # the panel stays open, as in the application
    assert panel.choices.phase0 is None and panel.choices.advanced.seed == 0, "a new scene, new choices"
    assert scene.ReadFromMRB(path)

    restored, ui = panel.choices, panel.ui
    assert settingsOf(restored) == settings
    assert (restored.inputKind, restored.cyclic) == (InputKind.pair, True)
    assert restored.advanced.temporaryFolder == ui.temporaryFolderPathLineEdit.currentPath == str(tmp_path)
    assert (restored.phase0.GetName(), restored.phase1.GetName()) == ("ES", "ED")
    assert restored.displacementSequence.GetName() == "motion"
    result = restored.outputSequence
    assert [result.GetNthIndexValue(n) for n in range(3)] == ["0", "50", "100"]
    for n in range(3):
        frame = BeatingHeart.within(tools.SMALL).frame(tools.SMALL, n / 2)
        assert np.array_equal(slicer.util.arrayFromVolume(result.GetNthDataNode(n)), frame.array)
    assert browsing.proxyOf(result) is not None
    assert (ui.seedSpinBox.value, ui.iterationsSpinBox.value, ui.canvasSpinBox.value) == (42, 17, 48)
    assert (ui.auxiliaryComboBox.currentText, ui.schemeComboBox.currentText) == ("rotation", "mini-batch")
    assert ui.deviceComboBox.currentText == "cuda:7", "another computer's card is shown as what it is"
    assert ui.weightsComboBox.currentText == "/somewhere/else.safetensors"
    assert ui.phase0Selector.currentNode() is restored.phase0
    assert ui.playWidget.enabled
