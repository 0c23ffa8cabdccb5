"""Runs with the choices of a parameter node: what is asked of them, and which are under way."""

from __future__ import annotations

import dataclasses
from typing import Callable, Optional

import slicer
from slicer.i18n import tr as _

from ttt4d.errors import InputError, UserError

from . import dependencies
from .carry_transfer import CarryTransfer, Wanted
from .inputs import Inputs
from .parameters import FillBetween, InputKind, settingsOf, sliceSettingsOf
from .run import BlockingRun, Callbacks, EventLoopRun
from .slices_transfer import SlicesTransfer, checkGrid
from .transfer import Outputs, PhasesTransfer, Transfer


class ChosenRuns:
    """Starts runs with the choices of a parameter node, beside the event loop."""

    # Runs under way, by the ID of their parameter node: several panels of one scene share it, and so its one run.
    _running: dict[str, EventLoopRun] = {}

    def apply(self, parameterNode, callbacks: Callbacks) -> EventLoopRun:
        """Start a run with the choices of a parameter node, beside the event loop.

        The result becomes the output of the parameter node. Its panels see the start and the end of the run, because
        the parameter node is modified. Raises `UserError` if the choices are not valid.
        """
        def keep(outputs: Outputs) -> None:
            for name, node in (("outputSequence", outputs.frames), ("outputVolume", outputs.volume),
                               ("displacementSequence", outputs.displacements)):
                if node is not None:
                    parameterNode.setValue(name, node)

        return self._start(parameterNode, _transferOf, callbacks, keep)

    def applyCarry(self, parameterNode, callbacks: Callbacks) -> EventLoopRun:
        """Start to carry what a parameter node chooses with the motion of its result; see `apply`."""
        return self._start(parameterNode, _carryTransferOf, callbacks, lambda carried: None)

    def _start(self, parameterNode, transferOf: Callable, callbacks: Callbacks, keep: Callable) -> EventLoopRun:
        if self.runOf(parameterNode):
            raise InputError(_("A computation with these choices is under way: wait for its end, or cancel it."))
        key = parameterNode.parameterNode.GetID()

        def finished(outcome, outputs) -> None:
            del self._running[key]
            if outputs is not None:
                keep(outputs)
            parameterNode.Modified()
            callbacks.finished(outcome, outputs)

        run = runTransfer(transferOf(parameterNode), False, parameterNode.advanced.temporaryFolder,
                          dataclasses.replace(callbacks, finished=finished))
        self._running[key] = run
        parameterNode.Modified()
        return run

    def runOf(self, parameterNode) -> Optional[EventLoopRun]:
        """Return the run under way with this parameter node, whichever panel started it; None if there is none."""
        return self._running.get(parameterNode.parameterNode.GetID())

    def problem(self, parameterNode) -> str:
        """Return why the choices of a parameter node cannot be run, in one sentence; an empty text if they can."""
        return _problem(_transferOf, parameterNode)

    def carryProblem(self, parameterNode) -> str:
        """Return why what a parameter node chooses cannot be carried; an empty text if it can."""
        return _problem(_carryTransferOf, parameterNode)


def runTransfer(transfer: Transfer, waitForCompletion: bool, temporaryFolder: str, callbacks: Optional[Callbacks]):
    """Run a transfer: to the end, to return its result, or beside the event loop, to return the run.

    Raises
    ------
    UserError
        If a Python package is missing, or the temporary folder cannot be made.
    """
    dependencies.check()
    transfer.makeFolder(temporaryFolder)
    if waitForCompletion:
        outputs = BlockingRun(transfer, callbacks).wait()
        return outputs and outputs.result
    run = EventLoopRun(transfer, callbacks)
    run.start()
    return run


def inputsOf(parameterNode) -> Inputs:
    """Return the volumes that a parameter node has chosen. Raises `InputError` if they cannot be used."""
    if parameterNode.fillBetween is FillBetween.slices:
        return Inputs.thick(parameterNode.thick)
    if parameterNode.inputKind is InputKind.sequence:
        return Inputs.fromSequence(parameterNode.sequence)
    return Inputs.pair(parameterNode.phase0, parameterNode.phase1)


def resultOf(parameterNode):
    """Return the sequence or volume with the result for the choices of a parameter node; None before a run."""
    single = parameterNode.thick is None or not parameterNode.thick.IsA("vtkMRMLSequenceNode")
    if parameterNode.fillBetween is FillBetween.slices and single:
        return parameterNode.outputVolume
    return parameterNode.outputSequence


def _transferOf(parameterNode) -> Transfer:
    """Return the transfer for the choices of a parameter node. Raises `UserError` if they are not valid."""
    scene, inputs = slicer.mrmlScene, inputsOf(parameterNode)
    if parameterNode.fillBetween is FillBetween.slices:
        settings = sliceSettingsOf(parameterNode)
        chosen = Outputs(**{"frames" if inputs.isSequence else "volume": resultOf(parameterNode)})
        return SlicesTransfer(scene, inputs, chosen, settings, parameterNode.thickSegmentation)
    slices = None
    if parameterNode.fillBetween is FillBetween.both:
        slices = sliceSettingsOf(parameterNode)
        checkGrid(inputs.phases[0], slices)
    return PhasesTransfer(scene, inputs, Outputs(parameterNode.outputSequence, parameterNode.displacementSequence),
                          settingsOf(parameterNode), slices)


def _carryTransferOf(parameterNode) -> CarryTransfer:
    """Return the transfer that carries what a parameter node chooses. Raises `UserError` if it cannot be carried."""
    if parameterNode.fillBetween is FillBetween.slices:
        raise InputError(_("Nothing moves between slices: choose to fill between phases, or both."))
    wanted = Wanted(parameterNode.carrySource, parameterNode.carry.models, parameterNode.carry.maps.value)
    return CarryTransfer(slicer.mrmlScene, parameterNode.outputSequence, wanted, parameterNode.adaptation.weights)


def _problem(transferOf: Callable, parameterNode) -> str:
    try:
        transferOf(parameterNode)
    except UserError as error:
        return str(error)
    return ""
