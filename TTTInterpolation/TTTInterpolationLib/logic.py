"""What the module can do without its panel: for scripts, tests and the panel alike."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, Optional, Union

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from ttt4d.errors import InputError, UserError
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.memory import CPU_VOXELS, GPU_VOXELS, estimated_memory_mib

from . import dependencies, sequences, volumes
from .parameters import InputKind, TTTInterpolationParameterNode, settingsOf
from .run import Callbacks, Inputs, Run


class TTTInterpolationLogic(ScriptedLoadableModuleLogic):
    """
    >>> logic = TTTInterpolationLogic()
    >>> frames = logic.process(phase0, phase1)                              # doctest: +SKIP
    >>> frames = logic.processSequence(cine, settings=InterpolationSettings(frames=3, cyclic=True))  # doctest: +SKIP
    """

    # Runs under way, by parameter node: several panels of one scene share it, and so its one run.
    _running: Dict[str, Run] = {}

    def getParameterNode(self) -> TTTInterpolationParameterNode:
        return TTTInterpolationParameterNode(super().getParameterNode())

    def process(self, phase0, phase1, outputSequence=None, settings: Optional[InterpolationSettings] = None,
                waitForCompletion: bool = True, displacementSequence=None, temporaryFolder: str = "",
                callbacks: Optional[Callbacks] = None) -> Union[Run, object, None]:
        """Interpolate between two volume nodes of the scene.

        outputSequence, displacementSequence: sequence nodes that take the result when the run succeeds. Without the
        first a new one is made; without the second no displacements are computed. Only an earlier result of the same
        inputs is replaced: where a sequence holds anything else, it is left as it is, and a new one made.
        waitForCompletion: return the sequence of frames when it is done (None if cancelled); otherwise return the
        `Run` at once, and tell the end to `callbacks.finished`. The second needs the application's event loop.
        Raises `UserError` for inputs and settings that cannot work, `JobError` for a run that failed.
        """
        inputs = _pairInputs(phase0, phase1, outputSequence, displacementSequence)
        return self._process(inputs, outputSequence, settings, waitForCompletion, displacementSequence,
                             temporaryFolder, callbacks)

    def processSequence(self, sequence, outputSequence=None, settings: Optional[InterpolationSettings] = None,
                        waitForCompletion: bool = True, displacementSequence=None, temporaryFolder: str = "",
                        callbacks: Optional[Callbacks] = None) -> Union[Run, object, None]:
        """Interpolate within each neighbouring pair of phases of a sequence of volumes; otherwise like `process`."""
        inputs = _sequenceInputs(sequence, outputSequence, displacementSequence)
        return self._process(inputs, outputSequence, settings, waitForCompletion, displacementSequence,
                             temporaryFolder, callbacks)

    def apply(self, parameterNode, callbacks: Callbacks) -> Run:
        """Start a run with the choices of a parameter node, beside the event loop. Raises `UserError`.

        The result becomes the parameter node's outputs. Its panels are told of the start and of the end.
        """
        reason = self.problem(parameterNode)
        if self.runOf(parameterNode):
            reason = _("A computation with these choices is under way: wait for its end, or cancel it.")
        if reason:
            raise InputError(reason)
        key = parameterNode.parameterNode.GetID()

        def finished(outcome, frames) -> None:
            del self._running[key]
            if frames is not None:
                parameterNode.outputSequence = frames
            if run.displacementSequence is not None:
                parameterNode.displacementSequence = run.displacementSequence
            parameterNode.Modified()
            callbacks.finished(outcome, frames)

        choices = {
            "outputSequence": parameterNode.outputSequence,
            "settings": settingsOf(parameterNode),
            "waitForCompletion": False,
            "displacementSequence": parameterNode.displacementSequence,
            "temporaryFolder": parameterNode.advanced.temporaryFolder,
            "callbacks": dataclasses.replace(callbacks, finished=finished),
        }
        if parameterNode.inputKind is InputKind.sequence:
            run = self.processSequence(parameterNode.sequence, **choices)
        else:
            run = self.process(parameterNode.phase0, parameterNode.phase1, **choices)
        self._running[key] = run
        parameterNode.Modified()
        return run

    def runOf(self, parameterNode) -> Optional[Run]:
        """The run under way with this parameter node, whichever panel started it."""
        return self._running.get(parameterNode.parameterNode.GetID())

    def problem(self, parameterNode) -> str:
        """Why the choices of a parameter node cannot be run, in one sentence; empty when they can."""
        outputs = parameterNode.outputSequence, parameterNode.displacementSequence
        try:
            settingsOf(parameterNode)
            if parameterNode.inputKind is InputKind.sequence:
                _sequenceInputs(parameterNode.sequence, *outputs)
            else:
                _pairInputs(parameterNode.phase0, parameterNode.phase1, *outputs)
        except UserError as error:
            return str(error)
        return ""

    def _process(self, inputs: Inputs, outputSequence, settings, waitForCompletion, displacementSequence,
                 temporaryFolder, callbacks):
        dependencies.check()
        run = Run(slicer.mrmlScene, inputs, settings or InterpolationSettings(), outputSequence, displacementSequence,
                  temporaryFolder, callbacks)
        if waitForCompletion:
            return run.wait()
        run.start()
        return run


def estimatedMemory(parameterNode, hasCard: bool = False) -> Optional[float]:
    """MiB that a run with these choices needs on its device, roughly; None before the inputs are chosen.

    hasCard: whether the automatic choice of a device finds a graphics card.
    """
    if parameterNode.inputKind is InputKind.sequence:
        sequence = parameterNode.sequence
        volume = sequence and sequence.GetNumberOfDataNodes() and sequence.GetNthDataNode(0)
    else:
        volume = parameterNode.phase0
    if not volume or volumes.problemOf(volume):
        return None
    size = volume.GetImageData().GetDimensions()
    edge = parameterNode.advanced.canvas or max(size)
    device = parameterNode.advanced.device
    onCard = device.startswith("cuda") or device == "auto" and hasCard
    most = GPU_VOXELS if onCard else CPU_VOXELS
    return estimated_memory_mib(math.prod(size), min(math.prod(min(n, edge) for n in size), most))


def _pairInputs(phase0, phase1, outputSequence, displacementSequence) -> Inputs:
    """Two phases as inputs of a run with these outputs. Raises `InputError` where they cannot be."""
    if phase0 is None or phase1 is None:
        raise InputError(_("Choose the volumes of phase 0 and phase 1."))
    if phase0 is phase1:
        raise InputError(_("Phase 0 and phase 1 are the same volume: choose two phases."))
    return _checked(Inputs.pair(phase0, phase1), outputSequence, displacementSequence)


def _sequenceInputs(sequence, outputSequence, displacementSequence) -> Inputs:
    """The phases of a sequence as inputs of a run with these outputs. Raises `InputError` where they cannot be."""
    if sequence is None:
        raise InputError(_("Choose a sequence of volumes."))
    if sequence in (outputSequence, displacementSequence):
        raise InputError(_("The output would overwrite the input sequence: choose another output."))
    if sequence.GetNumberOfDataNodes() < 2:
        raise InputError(_("{name} has fewer than two phases: choose another sequence.").format(
            name=sequence.GetName()))
    return _checked(Inputs.fromSequence(sequence), outputSequence, displacementSequence)


def _checked(inputs: Inputs, outputSequence, displacementSequence) -> Inputs:
    if outputSequence is not None and outputSequence is displacementSequence:
        raise InputError(_("Frames and displacements cannot go into one sequence: choose two."))
    reason = next(filter(None, map(volumes.problemOf, inputs.phases)), "")
    if reason:
        raise InputError(reason)
    marks = (sequences.marksOf(inputs.nodes[0]) if inputs.isSequence
             else [sequences.markOf(phase) for phase in inputs.phases])
    if sequences.SYNTHETIC in marks:
        synthetic = inputs.nodes[0 if inputs.isSequence else marks.index(sequences.SYNTHETIC)]
        raise InputError(_("{name} was computed, not measured: choose the acquired phases.").format(
            name=synthetic.GetName()))
    return inputs
