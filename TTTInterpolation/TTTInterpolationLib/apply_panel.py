"""The part of the panel around the Apply button: start and cancel, progress, log, and how a run ended."""

from __future__ import annotations

import logging
from typing import Callable, Iterable

import slicer
from slicer.i18n import tr as _

from . import acknowledgement, dependencies
from .parameters import weightsOf
from .progress_view import ProgressView, clock
from .run import Callbacks


class ApplyPanel:
    """Starts and cancels runs with the choices of a parameter node, and shows how they go.

    Parameters
    ----------
    ui : object
        The panel's widgets, by name.
    logic : TTTInterpolationLogic
        Runs the computation.
    onResult : callable
        Called with the sequence or volume that a run has made.
    """

    def __init__(self, ui, logic, onResult: Callable[[object], None]) -> None:
        self._ui = ui
        self._logic = logic
        self._onResult = onResult
        self._parameterNode = None
        self._run = None  # the one that this panel started
        self._onDone: Callable[[object], None] = lambda outputs: None
        self._installing = False
        self._progress = ProgressView(ui.progressBar, ui.statusLabel)
        ui.applyButton.connect("clicked(bool)", self.onApplyButton)

    def refresh(self, parameterNode) -> None:
        """Show what the Apply button does with the choices of a parameter node, or why it is disabled."""
        self._parameterNode = parameterNode
        if parameterNode is None:
            return
        button = self._ui.applyButton
        if self._installing:
            button.text, button.enabled, button.toolTip = _("Installing"), False, ""
            return
        if self._logic.runOf(parameterNode):
            button.text, button.enabled = _("Cancel"), True
            button.toolTip = _("Stop the computation; the scene stays as it was.")
            return
        reason = self._logic.problem(parameterNode)
        button.text, button.enabled = _("Apply"), not reason
        button.toolTip = reason or _("Adapt the network to these images and compute what is missing between them.")

    def stop(self) -> None:
        """End a run that this panel started."""
        if self._run is not None:
            self._run.stopNow()

    def onApplyButton(self, checked=False) -> None:
        """Start a run, or cancel the one under way."""
        node = self._parameterNode
        run = self._logic.runOf(node)
        if run is not None:
            self._progress.say(_("Cancelling"))
            run.cancel()
            return
        self.start(self._logic.apply, lambda outputs: self._onResult(outputs.result), weightsOf(node))

    def start(self, begin: Callable, onDone: Callable[[object], None], weights: Iterable[str]) -> None:
        """Start a run and show how it goes.

        Parameters
        ----------
        begin : callable
            A method of the logic that takes a parameter node and callbacks, and returns the run.
        onDone : callable
            Called with what the run has made, if it succeeds.
        weights : iterable of str
            The weights that it uses; the user agrees to their conditions first.
        """
        with slicer.util.tryWithErrorDisplay(_("The computation could not be started."), waitCursor=False):
            node = self._parameterNode
            acknowledgement.ask(weights)
            self._installPackages()
            self._run = begin(node, Callbacks(self._progress.update, self._log, self._onFinished))
            self._onDone = onDone
            self._ui.logTextEdit.clear()
            self._progress.begin()

    def _installPackages(self) -> None:
        """Install the packages that are missing.

        That takes minutes, in which Slicer turns the event loop. The panel has to say so, and take no second Apply.
        """
        self._installing = True
        self.refresh(self._parameterNode)
        self._ui.statusLabel.text = _("Looking for Python packages, and installing those that are missing")
        try:
            dependencies.ensure()
        finally:
            self._installing = False
            self._ui.statusLabel.text = ""
            self.refresh(self._parameterNode)

    def _log(self, line: str) -> None:
        self._ui.logTextEdit.appendPlainText(line)

    def _onFinished(self, outcome, outputs) -> None:
        self._run = None
        messages = (outcome.report or {}).get("messages", [])
        for line in messages:
            self._log(line)
        if outputs is not None:
            summary = _("{what} in {time}.").format(what=outputs.summary, time=clock(self._progress.elapsed))
            self._progress.end(" ".join([summary, *messages]))
            self._onDone(outputs)
            return
        self._progress.end(outcome.message)
        if outcome.kind in ("user", "bug"):
            logging.error("%s\n%s", outcome.message, outcome.log)
            slicer.util.errorDisplay(outcome.message, detailedText=outcome.log)
