"""What is shipped, and what importing the module costs."""

from __future__ import annotations

import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import slicer

import cmake_lists
import tools

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODULE = os.path.join(ROOT, "TTTInterpolation")


def read(*names) -> str:
    with open(os.path.join(ROOT, *names), encoding="utf-8") as file:
        return file.read()


@pytest.mark.skipif(not os.path.exists(os.path.join(ROOT, ".git")), reason="only a checkout knows what is shipped")
def test_the_cmake_lists_name_every_file_of_the_module_and_no_other():
    listed, wanted = cmake_lists.listed(), cmake_lists.wanted()
    for name in wanted:
        assert sorted(listed[name]) == wanted[name], (
            f"missing: {sorted(set(wanted[name]) - set(listed[name]))}, "
            f"gone: {sorted(set(listed[name]) - set(wanted[name]))}; run "
            "`python Testing/slicer/cmake_lists.py` and commit TTTInterpolation/CMakeLists.txt")


in_a_fresh_python = pytest.mark.skipif(tools.IN_SLICER, reason="the application has imported what it likes already")


@in_a_fresh_python
def test_the_module_starts_and_shows_its_panel_without_numpy_torch_or_any_other_package():
    """Slicer 5.13 imports NumPy and vtk.util when they are needed, and so does this module. Here they are not there."""
    missing = ("numpy", "vtk.util.numpy_support", "torch", "monai", "SimpleITK", "safetensors", "tqdm", "PIL",
               "nibabel", "pydicom")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.modules.update(dict.fromkeys(sys.argv[2:]))\n"
        "import host; host.install()\n"
        "import TTTInterpolation, TTTInterpolationLib.batch\n"
        "from host.application import newScene; newScene()\n"
        "from panel_driver import Panel; print(Panel().ui.applyButton.toolTip)\n")
    assert "Choose the volumes" in tools.run_python(program, os.path.dirname(__file__), *missing)


@in_a_fresh_python
def test_in_the_application_nothing_that_needs_another_qt_is_collected():
    """`run_in_slicer.py` collects this folder where Slicer's own qt is there, and PySide6 is not."""
    program = (
        "import sys; from unittest.mock import MagicMock as Any; import pytest, slicer; slicer.app = Any()\n"
        "sys.modules.update(PySide6=None, qt=Any(), ctk=Any()); here = sys.argv[1]\n"
        "print('status', int(pytest.main(['--rootdir', here, here + '/host', '--collect-only', '-q'])))\n")
    said = tools.run_python(program, os.path.dirname(__file__))
    assert f"status {int(pytest.ExitCode.NO_TESTS_COLLECTED)}" in said, said


@in_a_fresh_python
@pytest.mark.parametrize("name", ["errors", "images.formats", "images.marks", "images.phase_times", "settings",
                                  "report", "temporal.auxiliary", "temporal.memory", "through_plane.auxiliary",
                                  "through_plane.settings", "weights", "commands.interpolate"])
def test_what_slicer_imports_of_the_engine_needs_the_standard_library_only(name):
    program = f"import sys; sys.path.insert(0, sys.argv[1]); import ttt4d.{name}"
    tools.run_python(program, MODULE, options=("-I", "-S"))  # without the folder of installed packages


@pytest.mark.parametrize("name", sorted(
    name[:-len(".py")] for name in os.listdir(os.path.join(MODULE, "TTTInterpolationLib")) if name.endswith(".py")))
def test_no_class_is_longer_than_two_pages_and_every_example_runs(name):
    import ast
    import doctest
    import importlib

    tree = ast.parse(read("TTTInterpolation", "TTTInterpolationLib", f"{name}.py"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < 150, node.name
    assert doctest.testmod(importlib.import_module(f"TTTInterpolationLib.{name}")).failed == 0


def test_the_module_says_where_it_belongs_and_that_it_is_not_for_clinical_use(scene):
    import types

    import TTTInterpolation

    parent = types.SimpleNamespace(path=os.path.join(MODULE, "TTTInterpolation.py"))
    module = TTTInterpolation.TTTInterpolation(parent)
    assert parent.categories == ["Sequences"] and parent.dependencies == ["Sequences"]
    assert "not for clinical use" in parent.helpText and "stay on this computer" in parent.helpText
    for kind in ("", "Widget", "Logic", "Test"):
        assert hasattr(TTTInterpolation, f"TTTInterpolation{kind}"), "Slicer looks the classes up by name"
    assert os.path.isfile(module.resourcePath("Icons/TTTInterpolation.png"))


def test_the_requirements_are_those_of_the_engine_without_what_slicer_brings():
    wanted = re.search(r"^dependencies = \[(.*?)\]", read("pyproject.toml"), re.DOTALL | re.MULTILINE).group(1)
    engine = set(re.findall(r'"([^"]+)"', wanted))
    requirements = {line for line in read("TTTInterpolation", "Resources", "requirements.txt").splitlines()
                    if line and not line.startswith("#")}
    brought = {name for name in engine if re.match(r"torch|numpy|SimpleITK", name)}
    assert requirements == engine - brought
    assert not any("==" in line for line in requirements), "exact pins break other extensions"


def test_the_extension_entry_and_the_cmake_lists_agree():
    entry = json.loads(read("TTTInterpolation.json"))
    cmake = dict(re.findall(r'^set\(EXTENSION_(\w+) "(.*)"\)$', read("CMakeLists.txt"), re.MULTILINE))
    assert entry["build_dependencies"] == [cmake["DEPENDS"]] == ["PyTorch"]
    assert entry["category"] == cmake["CATEGORY"] == "Sequences"
    assert entry["scm_url"] == cmake["HOMEPAGE"] + ".git"
    assert "schema-v1.0.2.json" in entry["$schema"] and "Modality == 'MR'" in entry["dicom_support_rule"]
    assert cmake["RECOMMENDS"].split() == ["SequenceRegistration", "SlicerHeart"] and "cine" in cmake["KEYWORDS"]


def test_the_panel_uses_no_widget_that_is_not_declared_and_no_name_twice():
    ui = ElementTree.parse(os.path.join(MODULE, "Resources", "UI", "TTTInterpolation.ui"))
    used = {widget.get("class") for widget in ui.iter("widget")}
    declared = {custom.findtext("class") for custom in ui.iter("customwidget")}
    assert {name for name in used if not name.startswith("Q")} == declared
    names = [widget.get("name") for widget in ui.iter("widget")]
    assert len(names) == len(set(names))


def test_the_samples_are_offered_in_the_sample_data_module(scene, monkeypatch):
    import types

    from TTTInterpolationLib import sample_data

    offered = []

    # The signature is Slicer's: an argument that it does not have would fail there, at start.
    def registerCustomSampleDataSource(category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None,
                                       customDownloader=None, thumbnailFileName=None, loadFileTypes=None,
                                       loadFiles=None, loadFileProperties=None, checksums=None):
        offered.append((category, customDownloader, thumbnailFileName))

    logic = types.SimpleNamespace(registerCustomSampleDataSource=registerCustomSampleDataSource)
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    sample_data.register(lambda name: os.path.join(MODULE, "Resources", name))
    assert [category for category, _load, _thumbnail in offered] == ["TTTInterpolation"] * 3
    assert all(load(None) and os.path.isfile(thumbnail) for _category, load, thumbnail in offered)


def test_the_sample_data_are_made_on_request_without_a_download(scene):
    from TTTInterpolationLib import browsing, sample_data

    first, second = sample_data.loadPair()
    assert first.GetImageData().GetDimensions() == second.GetImageData().GetDimensions()
    assert not (slicer.util.arrayFromVolume(first) == slicer.util.arrayFromVolume(second)).all()
    sequence, = sample_data.loadSequence()
    assert sequence.GetNumberOfDataNodes() == 4 and browsing.proxyOf(sequence)
    head, = sample_data.loadThickSlices()
    assert head.GetSpacing() == (2, 2, 6) and head.GetImageData().GetDimensions()[2] == 13
