"""The panel: binds the .ui to the parameter node, and puts its parts together."""

from __future__ import annotations

import functools
import sys

import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from . import review
from .apply_panel import ApplyPanel
from .carry_panel import CarryPanel
from .chosen_runs import resultOf
from .computer_panel import ComputerPanel
from .export_panel import ExportPanel
from .inputs_panel import InputsPanel
from .logic import TTTInterpolationLogic
from .review_panel import ReviewPanel
from .text_controls import FolderLine, NodeChoice, TextLine


class TTTInterpolationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel. A control with the property `SlicerParameterName` is bound to that parameter by itself."""

    def __init__(self, parent=None) -> None:
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._unseen = None  # result of a run that ended while another module was in use
        self._entered = False
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Build the panel. Slicer calls this once."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/TTTInterpolation.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.logic = TTTInterpolationLogic()
        self._applyPanel = ApplyPanel(self.ui, self.logic, self._onResult)
        self._inputsPanel = InputsPanel(self.ui)
        self._reviewPanel = ReviewPanel(self.ui)
        self._carryPanel = CarryPanel(self.ui, self.logic, self._applyPanel.start)
        self._computerPanel = ComputerPanel(self.ui, self._choose)
        self._exportPanel = ExportPanel(self.ui, self._choose)
        # Not connectGui: before Slicer 5.10 it gives no tag, and nothing could be disconnected again.
        self._bound = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()
                       if widget.property("SlicerParameterName")}
        self._texts = {  # see text_controls
            **self._computerPanel.controls, **self._exportPanel.controls, **self._inputsPanel.controls,
            "carrySource": NodeChoice(self.ui.carrySourceSelector, functools.partial(self._choose, "carrySource")),
            "output.times": TextLine(self.ui.timesLineEdit, functools.partial(self._choose, "output.times")),
            "advanced.temporaryFolder": FolderLine(self.ui.temporaryFolderPathLineEdit,
                                                   functools.partial(self._choose, "advanced.temporaryFolder"))}

        scene = slicer.mrmlScene
        # While a scene is loaded, the parameter node comes before the nodes it refers to. The selectors lose their
        # choice for a moment, which must not reach the parameter node.
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self.onSceneStart)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.onSceneEnd)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """End what this panel has started: the application ends, or the module is reloaded."""
        self._applyPanel.stop()
        self._computerPanel.stop()
        self.setParameterNode(None)
        self._reviewPanel.stop()
        self.removeObservers()

    def enter(self) -> None:
        """Use the parameter node again: the user opens the module."""
        self._entered = True
        self.initializeParameterNode()
        unseen, self._unseen = self._unseen, None
        if unseen is not None and unseen is resultOf(self._parameterNode):
            review.show(unseen)

    def exit(self) -> None:
        """Leave the parameter node alone: the user opens another module."""
        self._entered = False
        self.setParameterNode(None)

    def onReload(self) -> None:
        """In developer mode, reload this folder and what is loaded of the engine, not the module file alone."""
        for name in [name for name in sys.modules if name.split(".")[0] in (__package__, "ttt4d")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStart(self, caller, event) -> None:
        """Leave the parameter node alone while a scene is closed or loaded."""
        self.setParameterNode(None)

    def onSceneEnd(self, caller, event) -> None:
        """Use the parameter node that the scene has now."""
        if self._entered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Use the parameter node of the scene. If it is new, propose the first two volumes as phases."""
        parameterNode = self.logic.getParameterNode()
        self.setParameterNode(parameterNode)
        if not (parameterNode.phase0 or parameterNode.phase1 or parameterNode.sequence or parameterNode.thick):
            # As the selectors list them: no label maps, no pictures in colour, no vectors.
            volumes = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
                       if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
            if len(volumes) > 1:
                parameterNode.phase0, parameterNode.phase1 = volumes[:2]

    def setParameterNode(self, parameterNode) -> None:
        """Bind the panel to a parameter node, or to none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
            self._reviewPanel.release()
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectParametersToGui(self._bound)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._refresh)
        self._refresh()

    def _refresh(self, caller=None, event=None) -> None:
        """Show the state of the parameter node where the binding does not."""
        node = self._parameterNode
        self._applyPanel.refresh(node)
        self._inputsPanel.refresh(node)
        if not node:
            return
        for name, control in self._texts.items():
            control.show(node.getValue(name))
        self._computerPanel.refresh(node)
        self._reviewPanel.refresh(resultOf(node))
        self._carryPanel.refresh(node)
        self._exportPanel.refresh(node)

    def _choose(self, name: str, value) -> None:
        if self._parameterNode:
            self._parameterNode.setValue(name, value)

    def _onResult(self, result) -> None:
        if self._entered:
            review.show(result)
        else:  # the views belong to the module in use now
            self._unseen = result
