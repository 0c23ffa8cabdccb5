"""Every choice of the panel, kept in the parameter node: saved with the scene, and open to scripts.

Enums are stored by member name, so a member is never renamed. The names of tasks and schemes come from the engine's
settings, which need the standard library only.
"""

from __future__ import annotations

import enum
import re
from typing import Annotated, Tuple

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper, parameterPack

from ttt4d.errors import SettingsError
from ttt4d.settings import NO_ADAPTATION, SCHEMES, AdaptationSettings, InterpolationSettings
from ttt4d.temporal.auxiliary import TASKS

_DEFAULTS = InterpolationSettings()


class _EngineName(enum.Enum):
    """A member for each name the engine knows; its value is that name."""

    def label(self) -> str:
        return self.value


def _members(names) -> dict:
    return {name.replace("-", "_"): name for name in names}


AuxiliaryTask = _EngineName("AuxiliaryTask", _members((*TASKS, NO_ADAPTATION)), module=__name__)
Scheme = _EngineName("Scheme", _members(SCHEMES), module=__name__)


class InputKind(enum.Enum):
    pair = "pair"
    sequence = "sequence"

    def label(self) -> str:
        return _("Two phases") if self is InputKind.pair else _("Sequence (each neighbouring pair)")


@parameterPack
class AdaptationParameters:
    """iterations and learningRate: 0 takes the auxiliary task's own. weights: a packaged name, or a file's path."""

    auxiliary: AuxiliaryTask = AuxiliaryTask(_DEFAULTS.adaptation.auxiliary)
    scheme: Scheme = Scheme(_DEFAULTS.adaptation.scheme)
    iterations: Annotated[int, WithinRange(0, 10000)] = 0
    learningRate: Annotated[float, WithinRange(0, 1)] = 0.0
    weights: str = _DEFAULTS.weights


@parameterPack
class OutputParameters:
    """times: of the new frames between 0 and 1, such as "0.25, 0.5"; empty spaces `frames` of them evenly."""

    frames: Annotated[int, WithinRange(1, 1000)] = _DEFAULTS.frames
    times: str = ""


@parameterPack
class AdvancedParameters:
    """canvas: 0 takes what fits the device. temporaryFolder: an empty one takes the system's."""

    seed: Annotated[int, WithinRange(0, 2**31 - 1)] = _DEFAULTS.seed
    device: str = _DEFAULTS.device
    canvas: Annotated[int, WithinRange(0, 1024)] = 0
    temporaryFolder: str = ""


@parameterNodeWrapper
class TTTInterpolationParameterNode:
    """inputKind says whether phase0 and phase1 or sequence is read; without an outputSequence a new one is made."""

    inputKind: InputKind = InputKind.pair
    phase0: vtkMRMLScalarVolumeNode
    phase1: vtkMRMLScalarVolumeNode
    sequence: vtkMRMLSequenceNode
    cyclic: bool = False
    adaptation: AdaptationParameters
    output: OutputParameters
    advanced: AdvancedParameters
    outputSequence: vtkMRMLSequenceNode
    displacementSequence: vtkMRMLSequenceNode


def settingsOf(parameterNode) -> InterpolationSettings:
    """The engine's settings for the choices of a parameter node. Raises `SettingsError` with one sentence."""
    adaptation, output, advanced = parameterNode.adaptation, parameterNode.output, parameterNode.advanced
    return InterpolationSettings(
        frames=output.frames,
        times=timesOf(output.times),
        cyclic=parameterNode.cyclic and parameterNode.inputKind is InputKind.sequence,
        adaptation=AdaptationSettings(
            auxiliary=adaptation.auxiliary.value,
            scheme=adaptation.scheme.value,
            iterations=adaptation.iterations or None,
            learning_rate=adaptation.learningRate or None,
        ),
        weights=adaptation.weights,
        device=advanced.device,
        canvas=advanced.canvas or None,
        seed=advanced.seed,
    )


def timesOf(text: str) -> Tuple[float, ...]:
    """The numbers of a text like "0.25, 0.5"; empty for an empty text. Raises `SettingsError`."""
    try:
        return tuple(float(word) for word in re.split(r"[,;\s]+", text.strip()) if word)
    except ValueError:
        raise SettingsError(_("The times \"{text}\" are not numbers: write them like 0.25, 0.5, 0.75.").format(
            text=text)) from None
