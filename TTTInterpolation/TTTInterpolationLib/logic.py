"""What the module can do without its panel: for scripts, tests and the panel alike."""

from __future__ import annotations

import dataclasses
import math
from typing import Optional, Union

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from ttt4d.errors import InputError, UserError
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.memory import CPU_VOXELS, GPU_VOXELS, estimated_memory_mib

from . import dependencies, volumes
from .inputs import Inputs
from .parameters import InputKind, TTTInterpolationParameterNode, settingsOf
from .run import BlockingRun, Callbacks, EventLoopRun
from .transfer import Outputs, Transfer


class TTTInterpolationLogic(ScriptedLoadableModuleLogic):
    """Computes the frames between the phases of a 4D image.

    Examples
    --------
    >>> logic = TTTInterpolationLogic()  # doctest: +SKIP
    >>> frames = logic.process(phase0, phase1)  # doctest: +SKIP
    >>> settings = InterpolationSettings(frames=3, cyclic=True)  # doctest: +SKIP
    >>> frames = logic.processSequence(cine, settings=settings)  # doctest: +SKIP
    """

    # Runs under way, by the ID of their parameter node: several panels of one scene share it, and so its one run.
    _running: dict[str, EventLoopRun] = {}

    def getParameterNode(self) -> TTTInterpolationParameterNode:
        """Return the parameter node of the scene, with typed access to every choice."""
        return TTTInterpolationParameterNode(super().getParameterNode())

    def process(self, phase0, phase1, outputSequence=None, settings: Optional[InterpolationSettings] = None,
                waitForCompletion: bool = True, displacementSequence=None, temporaryFolder: str = "",
                callbacks: Optional[Callbacks] = None) -> Union[EventLoopRun, object, None]:
        """Interpolate between two volumes of the scene.

        Parameters
        ----------
        phase0, phase1 : vtkMRMLScalarVolumeNode
            The two phases.
        outputSequence : vtkMRMLSequenceNode, optional
            Takes the frames. An earlier result of the same inputs is replaced. A sequence that holds anything else is
            left unchanged, and a new one is made.
        settings : InterpolationSettings, optional
            The engine's settings.
        waitForCompletion : bool
            Whether to return when the run has ended. If False, the run is returned at once, and the application's
            event loop has to turn.
        displacementSequence : vtkMRMLSequenceNode, optional
            Takes the motion, as grid transforms (mm). If None, no displacements are computed.
        temporaryFolder : str
            Where images are passed to the engine; the system's place for temporary files if empty.
        callbacks : Callbacks, optional
            What is called during the run and at its end.

        Returns
        -------
        vtkMRMLSequenceNode or None or EventLoopRun
            The frames, acquired and synthetic, indexed in percent; None if the run was cancelled. If
            `waitForCompletion` is False, the run.

        Raises
        ------
        UserError
            If the inputs or the settings are not valid, or a Python package is missing.
        JobError
            If the run failed.
        """
        return self._process(Inputs.pair(phase0, phase1), Outputs(outputSequence, displacementSequence), settings,
                             waitForCompletion, temporaryFolder, callbacks)

    def processSequence(self, sequence, outputSequence=None, settings: Optional[InterpolationSettings] = None,
                        waitForCompletion: bool = True, displacementSequence=None, temporaryFolder: str = "",
                        callbacks: Optional[Callbacks] = None) -> Union[EventLoopRun, object, None]:
        """Interpolate between each two neighbouring phases of a sequence of volumes.

        Parameters
        ----------
        sequence : vtkMRMLSequenceNode
            Two or more phases. Their index, if it is of increasing numbers, says when they were acquired.

        See Also
        --------
        process : All other parameters are the same.
        """
        return self._process(Inputs.fromSequence(sequence), Outputs(outputSequence, displacementSequence), settings,
                             waitForCompletion, temporaryFolder, callbacks)

    def apply(self, parameterNode, callbacks: Callbacks) -> EventLoopRun:
        """Start a run with the choices of a parameter node, beside the event loop.

        The result becomes the output of the parameter node. Its panels see the start and the end of the run, because
        the parameter node is modified. Raises `UserError` if the choices are not valid.
        """
        reason = self.problem(parameterNode)
        if self.runOf(parameterNode):
            reason = _("A computation with these choices is under way: wait for its end, or cancel it.")
        if reason:
            raise InputError(reason)
        key = parameterNode.parameterNode.GetID()

        def finished(outcome, outputs: Optional[Outputs]) -> None:
            del self._running[key]
            if outputs is not None:
                parameterNode.outputSequence = outputs.frames
                if outputs.displacements is not None:
                    parameterNode.displacementSequence = outputs.displacements
            parameterNode.Modified()
            callbacks.finished(outcome, outputs)

        run = self._process(_inputsOf(parameterNode), _outputsOf(parameterNode), settingsOf(parameterNode), False,
                            parameterNode.advanced.temporaryFolder, dataclasses.replace(callbacks, finished=finished))
        self._running[key] = run
        parameterNode.Modified()
        return run

    def runOf(self, parameterNode) -> Optional[EventLoopRun]:
        """Return the run under way with this parameter node, whichever panel started it; None if there is none."""
        return self._running.get(parameterNode.parameterNode.GetID())

    def problem(self, parameterNode) -> str:
        """Return why the choices of a parameter node cannot be run, in one sentence; an empty text if they can."""
        try:
            settingsOf(parameterNode)
            _checkOutputs(_inputsOf(parameterNode), _outputsOf(parameterNode))
        except UserError as error:
            return str(error)
        return ""

    def _process(self, inputs: Inputs, chosen: Outputs, settings: Optional[InterpolationSettings],
                 waitForCompletion: bool, temporaryFolder: str, callbacks: Optional[Callbacks]):
        _checkOutputs(inputs, chosen)
        dependencies.check()
        transfer = Transfer(slicer.mrmlScene, inputs, chosen, settings or InterpolationSettings(), temporaryFolder)
        if waitForCompletion:
            outputs = BlockingRun(transfer, callbacks).wait()
            return outputs and outputs.frames
        run = EventLoopRun(transfer, callbacks)
        run.start()
        return run


def estimatedMemory(parameterNode, hasCard: bool = False) -> Optional[float]:
    """Return the estimated memory of a run on its device, in MiB; None before the inputs are chosen.

    Parameters
    ----------
    parameterNode : TTTInterpolationParameterNode
        The choices.
    hasCard : bool
        Whether the device `auto` stands for a graphics card.
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


def _inputsOf(parameterNode) -> Inputs:
    if parameterNode.inputKind is InputKind.sequence:
        return Inputs.fromSequence(parameterNode.sequence)
    return Inputs.pair(parameterNode.phase0, parameterNode.phase1)


def _outputsOf(parameterNode) -> Outputs:
    return Outputs(parameterNode.outputSequence, parameterNode.displacementSequence)


def _checkOutputs(inputs: Inputs, chosen: Outputs) -> None:
    """Raise `InputError` if the chosen outputs are in the way of the inputs or of each other."""
    if inputs.isSequence and inputs.nodes[0] in (chosen.frames, chosen.displacements):
        raise InputError(_("The output would overwrite the input sequence: choose another output."))
    if chosen.frames is not None and chosen.frames is chosen.displacements:
        raise InputError(_("Frames and displacements cannot go into one sequence: choose two."))
