"""The panel, driven as a user would, with the real .ui, real MRML nodes and the real engine."""

from __future__ import annotations

import dataclasses
import enum
import os
import shutil
import sys

import pytest
import qt
import slicer
import vtk

import tools
from ttt4d.settings import AdaptationSettings, InterpolationSettings
from TTTInterpolationLib import engine_info, parameters
from TTTInterpolationLib.parameters import ALL_NAMES, AuxiliaryTask, InputKind, Scheme, parameterOf, settingsOf


def test_every_control_of_the_panel_has_a_tool_tip_and_every_parameter_its_control(panel):
    import xml.etree.ElementTree as ElementTree

    root = ElementTree.parse(panel.widget.resourcePath("UI/TTTInterpolation.ui"))
    for widget in root.iter("widget"):
        if widget.get("class") not in ("QLabel", "ctkCollapsibleButton", "qMRMLWidget", "QWidget"):
            assert widget.find("property[@name='toolTip']") is not None, widget.get("name")
    bound = {p.findtext("string") for p in root.iter("property") if p.get("name") == "SlicerParameterName"}
    assert bound | set(panel.widget._texts) == ALL_NAMES
    assert not bound & set(panel.widget._texts)


SETTINGS = [field.name for settings in (InterpolationSettings, AdaptationSettings)
            for field in dataclasses.fields(settings) if field.name != "adaptation"]
# Settings of the engine that the panel does not offer, and why.
NOT_IN_THE_PANEL: dict = {}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_of_the_engine_can_be_chosen_in_the_panel_or_says_why_not(panel, setting):
    assert bool(parameterOf(setting)) != (setting in NOT_IN_THE_PANEL), f"see {parameters.__file__}"
    if setting in NOT_IN_THE_PANEL:
        return
    panel.choices.inputKind = InputKind.sequence  # only a sequence can be cyclic
    name, before = parameterOf(setting), settingsOf(panel.choices)
    panel.choices.setValue(name, another(panel.choices.getValue(name)))
    after = settingsOf(panel.choices)
    changed = {**after.to_json(), **after.to_json()["adaptation"]}
    assert [key for key, value in {**before.to_json(), **before.to_json()["adaptation"]}.items()
            if changed[key] != value and key != "adaptation"] == [setting]


def another(value):
    """Another value of the same type, valid for every parameter of that type."""
    if isinstance(value, enum.Enum):
        return next(member for member in type(value) if member is not value)
    return {bool: lambda: not value, int: lambda: value + 20, float: lambda: value + 0.5, str: lambda: "0.5"}[
        type(value)]()


@pytest.mark.skipif(tools.IN_SLICER, reason="the application has one copy of the module")
def test_a_new_option_is_a_setting_a_parameter_and_a_control_and_nothing_else(tmp_path):
    """As Docs/contributing.md describes it, done to a copy of the module."""
    folder = tmp_path / "TTTInterpolation"
    shutil.copytree(os.path.dirname(os.path.dirname(parameters.__file__)), folder,
                    ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    for path, before, line in [
        ("ttt4d/settings.py", "    seed: int",
         "    smoothing: int = option(3, 'how smooth the motion is', least=0, most=10)\n"),
        ("TTTInterpolationLib/parameters.py", "    seed: ",
         "    smoothing: Annotated[int, _within('smoothing')] = _DEFAULTS.smoothing\n"),
        ("Resources/UI/TTTInterpolation.ui", '      <item row="0" column="0">\n       <widget class="QLabel" name="le',
         '      <item row="9" column="1"><widget class="QSpinBox" name="smoothingSpinBox">'
         '<property name="toolTip"><string>How smooth.</string></property>'
         '<property name="SlicerParameterName" stdset="0"><string notr="true">advanced.smoothing</string></property>'
         '</widget></item>\n'),
    ]:
        text = (folder / path).read_text(encoding="utf-8")
        assert text.count(before) == 1, path
        (folder / path).write_text(text.replace(before, line + before), encoding="utf-8")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import host.application as application\n"
        "application.MODULE_FOLDER = sys.argv[2]; sys.path.insert(0, sys.argv[2]); import host; host.install()\n"
        "application.newScene(); from panel_driver import Panel; panel = Panel()\n"
        "from TTTInterpolationLib.parameters import settingsOf\n"
        "values = [settingsOf(panel.choices).smoothing]; panel.ui.smoothingSpinBox.value = 7\n"
        "print(*values, settingsOf(panel.choices).to_json()['smoothing'])")
    printed = tools.run_python(program, os.path.dirname(__file__), str(folder), PYTHONPATH=str(folder))
    assert printed.split() == ["3", "7"]


def test_what_is_chosen_in_the_panel_is_in_the_parameter_node_and_the_other_way_round(panel):
    panel.ui.framesSpinBox.value = 7
    panel.ui.schemeComboBox.currentIndex = list(Scheme).index(Scheme.mini_batch)
    panel.ui.cyclicCheckBox.checked = True
    assert panel.choices.output.frames == 7
    assert panel.choices.adaptation.scheme is Scheme.mini_batch
    assert panel.choices.cyclic
    panel.choices.adaptation.auxiliary = AuxiliaryTask.rotation
    panel.choices.output.times = "0.25, 0.5"
    panel.choices.advanced.seed = 5
    assert panel.ui.auxiliaryComboBox.currentText == "rotation"
    assert panel.ui.timesLineEdit.text == "0.25, 0.5"
    assert panel.ui.seedSpinBox.value == 5
    assert not panel.ui.framesSpinBox.enabled, "times take the place of the number of frames"


def test_a_digit_typed_into_the_middle_of_the_times_leaves_the_cursor_there(panel):
    line = panel.ui.timesLineEdit
    panel.choices.output.times = "0.25, 0.5"
    line.cursorPosition = 4
    line.insert("5")
    assert panel.choices.output.times == line.text == "0.255, 0.5"
    assert line.cursorPosition == 5


def test_a_disabled_apply_says_why(panel, pair):
    apply = panel.ui.applyButton
    assert apply.enabled
    panel.choices.phase1 = None
    assert not apply.enabled and "Choose the volumes" in apply.toolTip
    panel.choices.phase1 = pair[0]
    assert not apply.enabled and "same volume" in apply.toolTip
    panel.choices.phase1 = pair[1]
    panel.choices.output.times = "0.5, x"
    assert not apply.enabled and "not numbers" in apply.toolTip
    panel.choices.output.times = "1.5"
    assert not apply.enabled and "strictly between 0 and 1" in apply.toolTip
    panel.choices.output.times = ""
    panel.choices.advanced.canvas = 3
    assert not apply.enabled and "canvas" in apply.toolTip
    panel.choices.advanced.canvas = 0
    panel.choices.inputKind = InputKind.sequence
    assert not apply.enabled and "sequence" in apply.toolTip


def test_the_swap_button_exchanges_the_phases(panel, pair):
    panel.ui.swapButton.click()
    assert (panel.choices.phase0, panel.choices.phase1) == (pair[1], pair[0])


def test_the_memory_a_run_needs_is_shown_and_falls_with_the_canvas(panel):
    assert panel.ui.memoryLabel.text.startswith("about ")
    from TTTInterpolationLib.logic import estimatedMemory

    full = estimatedMemory(panel.choices)
    panel.choices.advanced.canvas = 16
    assert estimatedMemory(panel.choices) < full


def test_the_memory_shown_counts_no_larger_canvas_than_the_device_gets(panel, pair):
    from TTTInterpolationLib.logic import estimatedMemory

    image = vtk.vtkImageData()
    image.SetDimensions(512, 512, 150)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    pair[0].SetAndObserveImageData(image)
    on_cpu = estimatedMemory(panel.choices)
    panel.choices.advanced.canvas = 512
    assert estimatedMemory(panel.choices) == on_cpu < 6 * 1024
    panel.choices.advanced.device = "cuda:0"
    on_card = estimatedMemory(panel.choices)
    assert on_cpu < on_card < 24 * 1024
    panel.choices.advanced.device = "auto"
    assert (estimatedMemory(panel.choices), estimatedMemory(panel.choices, hasCard=True)) == (on_cpu, on_card)


def test_the_graphics_cards_are_asked_of_the_engine_when_advanced_is_opened_first(panel):
    assert panel.ui.deviceComboBox.count == 2
    panel.choices.advanced.device = "cuda:7"
    panel.ui.advancedCollapsibleButton.collapsed = False
    process = panel.widget._computerPanel._engineInfo._process
    tools.turn_until(lambda: process.state() == qt.QProcess.NotRunning)
    offered = [panel.ui.deviceComboBox.itemText(n) for n in range(panel.ui.deviceComboBox.count)]
    assert offered[0] == "Automatic" and offered[1].startswith("CPU, ")
    assert panel.ui.deviceComboBox.currentText == "cuda:7", "what was chosen stays chosen"


def test_the_engine_is_asked_again_where_it_had_no_answer(panel, monkeypatch):
    process, advanced = panel.widget._computerPanel._engineInfo._process, panel.ui.advancedCollapsibleButton
    with monkeypatch.context() as before_torch:
        before_torch.setattr(engine_info, "engineCommand", lambda *words: [sys.executable, "-c", "raise ImportError"])
        advanced.collapsed = False
        tools.turn_until(lambda: process.state() == qt.QProcess.NotRunning)
    assert panel.ui.deviceComboBox.itemText(1) == "CPU"
    advanced.collapsed = True
    advanced.collapsed = False
    tools.turn_until(lambda: process.state() == qt.QProcess.NotRunning)
    assert panel.ui.deviceComboBox.itemText(1).startswith("CPU, ")


def test_the_memory_of_an_empty_sequence_is_not_asked_for(panel, scene):
    panel.choices.inputKind = InputKind.sequence
    panel.choices.sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    assert panel.ui.memoryLabel.text == ""


def test_only_what_the_selectors_list_is_proposed(panels, scene, pair):
    picture = slicer.vtkMRMLVectorVolumeNode()
    picture.SetName("photo")
    for node in pair:
        scene.RemoveNode(node)
    for node in (picture, *pair):
        scene.AddNode(node)
    panel = panels()
    assert (panel.choices.phase0, panel.choices.phase1) == tuple(pair)


def test_choices_outlive_the_import_of_another_scene(panel, pair, scene):
    panel.choices.phase0, panel.choices.phase1 = pair[1], pair[0]
    scene.InvokeEvent(scene.StartImportEvent)
    scene.InvokeEvent(scene.EndImportEvent)
    assert (panel.choices.phase0, panel.choices.phase1) == (pair[1], pair[0])
    assert panel.ui.phase0Selector.currentNode() is pair[1] and panel.ui.applyButton.enabled


def test_a_weights_file_can_be_chosen(panel, monkeypatch):
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: "/some/heart.safetensors")
    panel.ui.weightsFileButton.click()
    assert panel.choices.adaptation.weights == "/some/heart.safetensors"
    assert panel.ui.weightsComboBox.currentText == "/some/heart.safetensors"
