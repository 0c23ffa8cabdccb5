"""`slicer.app`, `slicer.modules` and `slicer.util` as far as the module uses them, and Slicer's own Python files."""

from __future__ import annotations

import contextlib
import os
import sys
import types

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

MODULE_FOLDER = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "TTTInterpolation"))

# What the application would have shown in a message box, newest last.
shownErrors: list = []


def install() -> None:
    """slicer-core gets what the application has. SLICER_PYTHON_DIR names a folder `Base/Python` of Slicer's sources."""
    from . import widgets

    slicer.app = _Application()
    slicer.modules = types.SimpleNamespace()
    slicer.selfTests = {}
    for cls in widgets.PANEL_WIDGETS:
        setattr(slicer, cls.__name__, cls)
    for name in ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget", "qMRMLCheckableNodeComboBox",
                 "qMRMLSubjectHierarchyComboBox"):
        setattr(slicer, name, type(name, (widgets.ctkDummy,), {}))
    sys.modules["ctk"] = _ctk(widgets)
    # Where Slicer's own files are, they are used; elsewhere the small ones of this folder.
    sources = os.environ.get("SLICER_PYTHON_DIR")
    folder = os.path.join(sources, "slicer") if sources else os.path.join(os.path.dirname(__file__), "minimal_slicer")
    assert os.path.isfile(os.path.join(folder, "ScriptedLoadableModule.py")), f"No Slicer Python files in {folder}"
    slicer.__path__.append(folder)
    slicer.util.loadUI = widgets.loadUI
    slicer.util.errorDisplay = lambda text, **options: shownErrors.append(text)
    slicer.util.confirmOkCancelDisplay = lambda text, *arguments, **options: False
    slicer.util.tryWithErrorDisplay = _tryWithErrorDisplay
    slicer.util.settingsValue = lambda key, default, converter=None: default
    slicer.util.modulePath = lambda name: os.path.join(MODULE_FOLDER, f"{name}.py")
    # The application does this when it loads the Segmentations module.
    converters = slicer.vtkSegmentationConverterFactory.GetInstance()
    for rule in (slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule,
                 slicer.vtkClosedSurfaceToBinaryLabelmapConversionRule):
        converters.RegisterConverterRule(rule())
    sys.path.insert(0, MODULE_FOLDER)


def newScene():
    """A scene as the application has it: with the sequences logic, caches and a subject hierarchy."""
    scene = slicer.vtkMRMLScene()
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(slicer.app.temporaryPath)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    sequencesLogic = slicer.vtkSlicerSequencesLogic()
    sequencesLogic.SetMRMLScene(scene)
    slicer.modules.sequences = _Module(sequencesLogic)
    for name, cls in (("volumes", slicer.vtkSlicerVolumesLogic), ("colors", slicer.vtkSlicerColorLogic),
                      ("segmentations", slicer.vtkSlicerSegmentationsModuleLogic)):
        logic = cls()
        logic.SetMRMLScene(scene)
        setattr(slicer.modules, name, _Module(logic))
    slicer.mrmlScene = scene
    shownErrors.clear()
    return scene


def addSubjectHierarchyItem(node, parent: int) -> int:
    """The application's plugin logic gives each node an item; here it is done by hand."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    return hierarchy.CreateItem(parent, node)


class _Signals(QtCore.QObject):
    signals = ("startupCompleted()", "moduleAboutToBeUnloaded(QString)")
    startupCompleted = QtCore.Signal()
    moduleAboutToBeUnloaded = QtCore.Signal(str)


class _Application(_Signals):
    """The part of qSlicerApplication that modules use. Without a main window, so without a layout manager."""

    applicationName = "Host"
    revision = "0"

    def __init__(self) -> None:
        self.qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["host"])
        super().__init__()
        self._folder = QtCore.QTemporaryDir()
        self.temporaryPath = self._folder.path()
        self._moduleManager = _Signals()

    def layoutManager(self):
        return None

    def moduleManager(self):
        return self._moduleManager

    def testingEnabled(self) -> bool:
        return True

    def processEvents(self) -> None:
        self.qt.processEvents()

    def translate(self, context, text) -> str:
        return text


class _Module:
    def __init__(self, logic) -> None:
        self._logic = logic

    def logic(self):
        return self._logic


def _ctk(widgets):
    ctk = types.ModuleType("ctk")
    for cls in widgets.PANEL_WIDGETS:
        if cls.__name__.startswith("ctk"):
            setattr(ctk, cls.__name__, cls)
    for name in ("ctkCheckBox", "ctkCheckablePushButton", "ctkSliderWidget", "ctkDoubleSlider", "ctkDoubleSpinBox",
                 "ctkComboBox", "ctkRangeWidget", "ctkDoubleRangeSlider", "ctkDirectoryButton", "ctkColorPickerButton"):
        setattr(ctk, name, type(name, (widgets.ctkDummy,), {}))
    return ctk


@contextlib.contextmanager
def _tryWithErrorDisplay(message=None, show=True, waitCursor=False):
    """As in the application, but what would be shown is kept, and the test goes on."""
    try:
        yield
    except Exception as error:
        slicer.util.errorDisplay(f"{message}\n\n{error}")
