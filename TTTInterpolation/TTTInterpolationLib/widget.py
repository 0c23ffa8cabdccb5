"""The panel: binds the .ui to the parameter node, starts and cancels runs, and shows how they go."""

from __future__ import annotations

import logging
import sys

import ctk
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from ttt4d import weights

from . import dependencies, review, sequences
from .choices import TextChoice
from .engine_info import EngineInfo
from .logic import TTTInterpolationLogic, estimatedMemory
from .parameters import InputKind
from .progress_view import ProgressView, clock
from .run import Callbacks


class TTTInterpolationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):

    def __init__(self, parent=None) -> None:
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._run = None
        self._installing = False
        self._hasCard = False
        self._unseen = None  # frames of a run that ended while another module was in use
        self._browser = None
        self._entered = False
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TTTInterpolation.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        # Two are bound by hand. Slicer before 5.10 writes the text anew at each key, which moves the cursor to the end;
        # and it binds a path line edit to a Path, whose empty one would be shown as ".".
        self.ui.timesLineEdit.connect("textEdited(QString)", self._chooseTimes)
        self.ui.temporaryFolderPathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.temporaryFolderPathLineEdit.connect("currentPathChanged(QString)", self._chooseTemporaryFolder)
        # The toolbar has the same keys for the frames: where two widgets of a window do, Qt obeys neither.
        for shortcut in slicer.util.findChildren(self.ui.playWidget, className="QShortcut"):
            shortcut.enabled = False

        self.logic = TTTInterpolationLogic()
        self._progress = ProgressView(self.ui.progressBar, self.ui.statusLabel)
        self._weights = TextChoice(self.ui.weightsComboBox, self._chooseWeights)
        self._weights.offer([(name, name) for name in weights.names()])
        self._devices = TextChoice(self.ui.deviceComboBox, self._chooseDevice)
        self._devices.offer([("auto", _("Automatic")), ("cpu", _("CPU"))])
        self._engineInfo = EngineInfo(self._onEngineInfo)
        # Not connectGui: before Slicer 5.10 it gives no tag, and nothing could be disconnected again.
        self._bound = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()
                       if widget.property("SlicerParameterName")}

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        # While a scene is loaded, the parameter node comes before the nodes it names, and the selectors lose their
        # choice for a moment, which must not reach the parameter node: it is looked at again after.
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.swapButton.connect("clicked(bool)", self.onSwapButton)
        self.ui.weightsFileButton.connect("clicked(bool)", self.onWeightsFileButton)
        self.ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)
        self.ui.sideBySideButton.connect("clicked(bool)", self.onSideBySideButton)
        self.ui.lossButton.connect("clicked(bool)", self.onLossButton)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """The panel goes away (end of the application, reload): a run of this panel goes with it."""
        if self._run is not None:
            self._run.stopNow()
        self._engineInfo.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self._entered = True
        self.initializeParameterNode()
        unseen, self._unseen = self._unseen, None
        if unseen is not None and unseen is self._parameterNode.outputSequence and sequences.browserOf(unseen):
            review.show(unseen)

    def exit(self) -> None:
        self._entered = False
        self.setParameterNode(None)

    def onReload(self) -> None:
        """In developer mode, reload this folder and the engine's names too, not the module file alone."""
        for name in [name for name in sys.modules if name.split(".")[0] in (__package__, "ttt4d")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event) -> None:
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event) -> None:
        if self._entered:
            self.initializeParameterNode()

    onSceneStartImport = onSceneStartClose
    onSceneEndImport = onSceneEndClose

    def initializeParameterNode(self) -> None:
        parameterNode = self.logic.getParameterNode()
        self.setParameterNode(parameterNode)
        if not (parameterNode.phase0 or parameterNode.phase1 or parameterNode.sequence):
            # As the selectors list them: no label maps, no pictures in colour, no vectors.
            volumes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
                       if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
            if len(volumes) > 1:
                parameterNode.phase0, parameterNode.phase1 = volumes[:2]

    def setParameterNode(self, parameterNode) -> None:
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
            self._follow(None)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectParametersToGui(self._bound)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
            self._refresh()

    # What the panel shows, from the parameter node

    def _refresh(self, caller=None, event=None) -> None:
        if not self._parameterNode:
            return
        isSequence = self._parameterNode.inputKind is InputKind.sequence
        for widget in (self.ui.phase0Label, self.ui.phase0Selector, self.ui.phase1Label, self.ui.phase1Selector,
                       self.ui.swapButton):
            widget.visible = not isSequence
        for widget in (self.ui.sequenceLabel, self.ui.sequenceSelector, self.ui.cyclicCheckBox):
            widget.visible = isSequence
        self.ui.framesSpinBox.enabled = not self._parameterNode.output.times.strip()
        self._weights.show(self._parameterNode.adaptation.weights)
        self._devices.show(self._parameterNode.advanced.device)
        if self.ui.timesLineEdit.text != self._parameterNode.output.times:
            self.ui.timesLineEdit.text = self._parameterNode.output.times
        if self.ui.temporaryFolderPathLineEdit.currentPath != self._parameterNode.advanced.temporaryFolder:
            self.ui.temporaryFolderPathLineEdit.currentPath = self._parameterNode.advanced.temporaryFolder
        memory = estimatedMemory(self._parameterNode, self._hasCard)
        self.ui.memoryLabel.text = "" if memory is None else _("about {gib:.1f} GB").format(gib=memory / 1024)
        self._refreshApply()
        self._refreshReview()

    def _refreshApply(self) -> None:
        if not self._parameterNode:
            return
        button = self.ui.applyButton
        if self._installing:
            button.text, button.enabled, button.toolTip = _("Installing"), False, ""
            return
        if self.logic.runOf(self._parameterNode):
            button.text, button.enabled = _("Cancel"), True
            button.toolTip = _("Stop the computation; the scene stays as it was.")
            return
        reason = self.logic.problem(self._parameterNode)
        button.text, button.enabled = _("Apply"), not reason
        button.toolTip = reason or _("Adapt the network to these images and compute the frames between them.")

    def _refreshReview(self) -> None:
        frames = self._parameterNode.outputSequence
        browser = frames and sequences.browserOf(frames)
        self.ui.playWidget.setMRMLSequenceBrowserNode(browser)
        self.ui.seekWidget.setMRMLSequenceBrowserNode(browser)
        for widget in (self.ui.playWidget, self.ui.seekWidget):
            widget.enabled = bool(browser)
        self.ui.sideBySideButton.enabled = bool(browser and sequences.acquiredPhaseOf(frames))
        self.ui.lossButton.enabled = bool(frames and sequences.lossesOf(frames))
        self._follow(browser)
        self._refreshFrame()

    def _follow(self, browser) -> None:
        """Hear of each frame that a browser shows."""
        if browser is self._browser:
            return
        if self._browser:
            self.removeObserver(self._browser, vtk.vtkCommand.ModifiedEvent, self._refreshFrame)
        self._browser = browser
        if browser:
            self.addObserver(browser, vtk.vtkCommand.ModifiedEvent, self._refreshFrame)

    def _refreshFrame(self, caller=None, event=None) -> None:
        frames = self._browser and self._parameterNode.outputSequence
        mark = sequences.shownMark(frames) if frames else ""
        self.ui.frameLabel.text = {
            sequences.ACQUIRED: _("This frame is acquired: it was measured."),
            sequences.SYNTHETIC: _("This frame is synthetic: it was computed, not measured."),
        }.get(mark, "")

    # What the user does

    def onSwapButton(self, checked=False) -> None:
        node = self._parameterNode
        node.phase0, node.phase1 = node.phase1, node.phase0

    def onWeightsFileButton(self, checked=False) -> None:
        path = qt.QFileDialog.getOpenFileName(self.ui.weightsFileButton, _("Weights"), "", _("Weights (*.safetensors)"))
        if path:
            self._chooseWeights(path)

    def _chooseWeights(self, weights: str) -> None:
        if self._parameterNode:
            self._parameterNode.adaptation.weights = weights

    def _chooseDevice(self, device: str) -> None:
        if self._parameterNode:
            self._parameterNode.advanced.device = device

    def _chooseTimes(self, text: str) -> None:
        if self._parameterNode:
            self._parameterNode.output.times = text

    def _chooseTemporaryFolder(self, folder: str) -> None:
        if self._parameterNode:
            self._parameterNode.advanced.temporaryFolder = folder

    def onAdvancedCollapsed(self, collapsed) -> None:
        """The graphics cards are looked for when a user first looks for them."""
        if not collapsed:
            self._engineInfo.ask()

    def _onEngineInfo(self, info: dict) -> None:
        self._weights.offer([(weights["name"], weights["name"]) for weights in info.get("weights", [])])
        self._devices.offer([("auto", _("Automatic"))] + [
            (device["name"], device["description"]) for device in info.get("devices", [])])
        self._hasCard = any(device["name"].startswith("cuda") for device in info.get("devices", []))
        self._refresh()

    def onSideBySideButton(self, checked=False) -> None:
        with slicer.util.tryWithErrorDisplay(_("The views could not be arranged."), waitCursor=False):
            review.showSideBySide(self._parameterNode.outputSequence)

    def onLossButton(self, checked=False) -> None:
        with slicer.util.tryWithErrorDisplay(_("The loss curve could not be shown."), waitCursor=False):
            review.showLosses(self._parameterNode.outputSequence)

    def onApplyButton(self, checked=False) -> None:
        node = self._parameterNode
        run = self.logic.runOf(node)
        if run is not None:
            self._progress.say(_("Cancelling"))
            run.cancel()
            return
        with slicer.util.tryWithErrorDisplay(_("The computation could not be started."), waitCursor=False):
            self._installPackages()
            callbacks = Callbacks(self._progress.update, self._log, self._onFinished)
            self._run = self.logic.apply(node, callbacks)
            self.ui.logTextEdit.clear()
            self._progress.begin()

    def _installPackages(self) -> None:
        """What is missing. That takes minutes, in which Slicer turns the event loop: the panel must say so, and no
        second Apply may come.
        """
        self._installing = True
        self._refreshApply()
        self.ui.statusLabel.text = _("Looking for Python packages, and installing those that are missing")
        try:
            dependencies.ensure()
        finally:
            self._installing = False
            self.ui.statusLabel.text = ""
            self._refreshApply()

    def _log(self, line: str) -> None:
        self.ui.logTextEdit.appendPlainText(line)

    def _onFinished(self, outcome, frames) -> None:
        self._run = None
        messages = (outcome.report or {}).get("messages", [])
        for line in messages:
            self._log(line)
        if frames is not None:
            self._progress.end(" ".join([_("{n} frames in {time}.").format(
                n=frames.GetNumberOfDataNodes(), time=clock(self._progress.elapsed)), *messages]))
        else:
            self._progress.end(outcome.message)
        if frames is not None and self._entered:
            review.show(frames)
        elif frames is not None:  # the views belong to the module in use now
            self._unseen = frames
        elif outcome.kind in ("user", "bug"):
            logging.error("%s\n%s", outcome.message, outcome.log)
            slicer.util.errorDisplay(outcome.message, detailedText=outcome.log)
