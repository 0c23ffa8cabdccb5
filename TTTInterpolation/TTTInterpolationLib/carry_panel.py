"""The part of the panel that carries segmentations, models and markups through time, and measures."""

from __future__ import annotations

from typing import Callable

import qt
import slicer
from slicer.i18n import tr as _

from . import measures, review
from .carry_transfer import carriedOf, measuredOf, usedWeightsOf


class CarryPanel:
    """Carries what the user chooses with the motion of the result, and shows tables, plot and maps.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.
    logic : TTTInterpolationLogic
        Runs the computation.
    start : callable
        Starts a run and shows how it goes; see `ApplyPanel.start`.
    """

    def __init__(self, ui, logic, start: Callable) -> None:
        self._ui = ui
        self._logic = logic
        self._start = start
        self._frames = self._source = None
        ui.carryButton.connect("clicked(bool)", self.onCarryButton)
        ui.volumePlotButton.connect("clicked(bool)", self.onVolumePlotButton)
        ui.saveTableButton.connect("clicked(bool)", self.onSaveTableButton)

    def refresh(self, parameterNode) -> None:
        """Show what can be done with the choices of a parameter node."""
        self._frames, self._source = parameterNode.outputSequence, parameterNode.carrySource
        running = self._logic.runOf(parameterNode) is not None
        problem = self._logic.carryProblem(parameterNode)
        self._ui.carryButton.enabled = not (running or problem)
        self._ui.carryButton.toolTip = problem or _("Compute the motion once more, and carry with it what is chosen.")
        measured = bool(self._frames and carriedOf(self._frames, "vtkMRMLPlotChartNode"))
        self._ui.volumePlotButton.enabled = self._ui.saveTableButton.enabled = measured

    def onCarryButton(self, checked=False) -> None:
        """Carry what is chosen. The user is asked before what was edited in single frames is replaced."""
        if self._edited() and not slicer.util.confirmOkCancelDisplay(_(
                "The segmentations of single frames were edited since they were carried. Carrying again replaces "
                "them. Carry again?")):
            return
        self._start(self._logic.applyCarry, review.showCarried, [usedWeightsOf(self._frames)])

    def onVolumePlotButton(self, checked=False) -> None:
        """Show the volumes over time."""
        with slicer.util.tryWithErrorDisplay(_("The plot could not be shown."), waitCursor=False):
            self._measureAgain()
            review.showChart(carriedOf(self._frames, "vtkMRMLPlotChartNode")[0])

    def onSaveTableButton(self, checked=False) -> None:
        """Save the volumes as a CSV file."""
        path = qt.QFileDialog.getSaveFileName(self._ui.saveTableButton, _("Volumes"), "volumes.csv", "CSV (*.csv)")
        if path:
            with slicer.util.tryWithErrorDisplay(_("The table could not be saved."), waitCursor=False):
                self._measureAgain()
                measures.writeCsv(measures.volumesTableOf(carriedOf(self._frames, "vtkMRMLTableNode")), path)

    def _measureAgain(self) -> None:
        measured = measuredOf(self._frames)
        if measured is not None:  # else the segmentations are gone, and the volumes stay those that were carried
            measures.measureAgain(*measured)

    def _edited(self) -> bool:
        measured = measuredOf(self._frames, self._source) if self._source is not None else None
        return measured is not None and measures.isEdited(*measured)
