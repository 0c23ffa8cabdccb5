"""What the module can do without its panel: for scripts, tests and the panel alike."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Union

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from ttt4d.settings import InterpolationSettings
from ttt4d.temporal.memory import CPU_VOXELS, GPU_VOXELS, estimated_memory_mib
from ttt4d.through_plane.settings import SliceRunSettings

from . import volumes
from .carry_transfer import Carried, CarryTransfer, Wanted
from .chosen_runs import ChosenRuns, runTransfer
from .inputs import Inputs
from .parameters import SLICE_DEFAULTS, FillBetween, InputKind, TTTInterpolationParameterNode
from .run import Callbacks, EventLoopRun
from .slices_transfer import SlicesTransfer
from .transfer import Outputs, PhasesTransfer


class TTTInterpolationLogic(ScriptedLoadableModuleLogic, ChosenRuns):
    """Computes the frames between the phases of a 4D image, and the slices between thick ones.

    Examples
    --------
    >>> logic = TTTInterpolationLogic()  # doctest: +SKIP
    >>> frames = logic.process(phase0, phase1)  # doctest: +SKIP
    >>> settings = InterpolationSettings(frames=3, cyclic=True)  # doctest: +SKIP
    >>> frames = logic.processSequence(cine, settings=settings)  # doctest: +SKIP
    >>> thin = logic.processSlices(volume, settings=SliceRunSettings(factor=4.0))  # doctest: +SKIP
    """

    def getParameterNode(self) -> TTTInterpolationParameterNode:
        """Return the parameter node of the scene, with typed access to every choice."""
        return TTTInterpolationParameterNode(super().getParameterNode())

    def process(self, phase0, phase1, outputSequence=None, settings: Optional[InterpolationSettings] = None,
                waitForCompletion: bool = True, displacementSequence=None, temporaryFolder: str = "",
                callbacks: Optional[Callbacks] = None, slices: Optional[SliceRunSettings] = None,
                ) -> Union[EventLoopRun, object, None]:
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
        slices : SliceRunSettings, optional
            Which slices are computed in each frame. If None, the frames have the slices of the phases.

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
        transfer = PhasesTransfer(slicer.mrmlScene, Inputs.pair(phase0, phase1),
                                  Outputs(outputSequence, displacementSequence), settings or InterpolationSettings(),
                                  slices)
        return runTransfer(transfer, waitForCompletion, temporaryFolder, callbacks)

    def processSequence(self, sequence, outputSequence=None, settings: Optional[InterpolationSettings] = None,
                        waitForCompletion: bool = True, displacementSequence=None, temporaryFolder: str = "",
                        callbacks: Optional[Callbacks] = None, slices: Optional[SliceRunSettings] = None,
                        ) -> Union[EventLoopRun, object, None]:
        """Interpolate between each two neighbouring phases of a sequence of volumes.

        Parameters
        ----------
        sequence : vtkMRMLSequenceNode
            Two or more phases. Their index, if it is of increasing numbers, says when they were acquired.

        See Also
        --------
        process : All other parameters are the same.
        """
        transfer = PhasesTransfer(slicer.mrmlScene, Inputs.fromSequence(sequence),
                                  Outputs(outputSequence, displacementSequence), settings or InterpolationSettings(),
                                  slices)
        return runTransfer(transfer, waitForCompletion, temporaryFolder, callbacks)

    def processSlices(self, volume, output=None, settings: Optional[SliceRunSettings] = None,
                      waitForCompletion: bool = True, segmentation=None, temporaryFolder: str = "",
                      callbacks: Optional[Callbacks] = None) -> Union[EventLoopRun, object, None]:
        """Compute thin slices between the slices of a volume, or of each volume of a sequence.

        Parameters
        ----------
        volume : vtkMRMLScalarVolumeNode or vtkMRMLSequenceNode
            Its slices are too far apart.
        output : vtkMRMLScalarVolumeNode or vtkMRMLSequenceNode, optional
            Takes the result, which is of the same type as `volume`; see `outputSequence` of `process`.
        settings : SliceRunSettings, optional
            The engine's settings; by default the slices are four times as close.
        segmentation : vtkMRMLSegmentationNode, optional
            A segmentation drawn on the volume. It is carried to the new slices, as a new segmentation node.

        Returns
        -------
        vtkMRMLScalarVolumeNode or vtkMRMLSequenceNode or None or EventLoopRun
            As of `process`, with a volume for a volume.

        See Also
        --------
        process : All other parameters, and what is raised, are the same.
        """
        inputs = Inputs.thick(volume)
        chosen = Outputs(frames=output) if inputs.isSequence else Outputs(volume=output)
        transfer = SlicesTransfer(slicer.mrmlScene, inputs, chosen, settings or SLICE_DEFAULTS,
                                  segmentation)
        return runTransfer(transfer, waitForCompletion, temporaryFolder, callbacks)

    def carry(self, frames, source=None, models: bool = False, maps: Sequence[str] = (),
              waitForCompletion: bool = True, temporaryFolder: str = "", callbacks: Optional[Callbacks] = None,
              weights: str = "") -> Union[EventLoopRun, Carried, None]:
        """Carry a segmentation, a model or markups of phase 0 to every frame of a result, and measure.

        Parameters
        ----------
        frames : vtkMRMLSequenceNode
            A result between phases, whose inputs are in the scene.
        source : vtkMRMLNode, optional
            A segmentation, a model or markups.
        models : bool
            Whether segments are also carried as models with point correspondence.
        maps : sequence of str
            Names of `maps.MAPS`.
        weights : str
            Path of the weights file of the result, if it is not a packaged one.

        Returns
        -------
        Carried or None or EventLoopRun
            As of `process`.

        See Also
        --------
        process : All other parameters, and what is raised, are the same.
        """
        transfer = CarryTransfer(slicer.mrmlScene, frames, Wanted(source, models, tuple(maps)), weights)
        return runTransfer(transfer, waitForCompletion, temporaryFolder, callbacks)


def estimatedMemory(parameterNode, hasCard: bool = False) -> Optional[float]:
    """Return the estimated memory of a run between phases on its device, in MiB; None before the inputs are chosen.

    Parameters
    ----------
    parameterNode : TTTInterpolationParameterNode
        The choices.
    hasCard : bool
        Whether the device `auto` stands for a graphics card.
    """
    if parameterNode.fillBetween is FillBetween.slices:
        return None
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
