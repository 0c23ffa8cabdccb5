"""The part of the panel that depends on the computer: weights files, graphics cards, and the memory of a run."""

from __future__ import annotations

import functools
from typing import Callable

import qt
from slicer.i18n import tr as _

from ttt4d import weights

from .engine_info import EngineInfo
from .logic import estimatedMemory
from .text_controls import TextChoice

WEIGHTS, SLICE_WEIGHTS, DEVICE = "adaptation.weights", "sliceAdaptation.weights", "advanced.device"


class ComputerPanel:
    """Offers weights and devices, and shows the memory that a run needs.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.
    onChosen : callable
        Called with the name of a parameter and the value that the user has chosen for it.

    Attributes
    ----------
    controls : dict
        The controls that are not bound to the parameter node by Slicer, by the name of the parameter.
    """

    def __init__(self, ui, onChosen: Callable[[str, str], None]) -> None:
        self._ui = ui
        self._onChosen = onChosen
        self._parameterNode = None
        self._hasCard = False
        self._engineInfo = EngineInfo(self._onEngineInfo)
        self.controls = {name: TextChoice(comboBox, functools.partial(onChosen, name)) for name, comboBox in (
            (WEIGHTS, ui.weightsComboBox), (SLICE_WEIGHTS, ui.slicesWeightsComboBox), (DEVICE, ui.deviceComboBox))}
        self._offer(weights.names(weights.TEMPORAL), weights.names(weights.THROUGH_PLANE), [("cpu", _("CPU"))])
        for name, button in ((WEIGHTS, ui.weightsFileButton), (SLICE_WEIGHTS, ui.slicesWeightsFileButton)):
            # Not a partial: PythonQt counts the arguments of functions only.
            button.connect("clicked(bool)", lambda checked=False, name=name: self.onWeightsFileButton(name))
        ui.advancedCollapsibleButton.connect("contentsCollapsed(bool)", self.onAdvancedCollapsed)

    def refresh(self, parameterNode) -> None:
        """Show the memory that a run with the choices of a parameter node needs."""
        self._parameterNode = parameterNode
        memory = parameterNode and estimatedMemory(parameterNode, self._hasCard)
        self._ui.memoryLabel.text = "" if memory is None else _("about {gib:.1f} GB").format(gib=memory / 1024)

    def stop(self) -> None:
        """End the child process that looks for graphics cards, if it is running."""
        self._engineInfo.stop()

    def onWeightsFileButton(self, name: str) -> None:
        """Ask for a weights file, for the parameter of this name."""
        path = qt.QFileDialog.getOpenFileName(self._ui.weightsFileButton, _("Weights"), "",
                                              _("Weights (*.safetensors)"))
        if path:
            self._onChosen(name, path)

    def onAdvancedCollapsed(self, collapsed) -> None:
        """Look for graphics cards when a user first opens the group of the device."""
        if not collapsed:
            self._engineInfo.ask()

    def _onEngineInfo(self, info: dict) -> None:
        devices = [(device["name"], device["description"]) for device in info.get("devices", [])]
        ofSlices = info.get("slices", {}).get("weights", [])
        self._offer([file["name"] for file in info.get("weights", [])], [file["name"] for file in ofSlices], devices)
        self._hasCard = any(name.startswith("cuda") for name, _description in devices)
        self.refresh(self._parameterNode)

    def _offer(self, names, sliceNames, devices) -> None:
        for parameter, offered in ((WEIGHTS, names), (SLICE_WEIGHTS, sliceNames)):
            self.controls[parameter].offer((name, name) for name in offered)
        self.controls[DEVICE].offer([("auto", _("Automatic")), *devices])
