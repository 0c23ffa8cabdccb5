"""The choices of the panel, kept in the parameter node: saved with the scene and open to scripts.

A parameter reaches the engine by its name: `settingsOf` gives each field of the engine's settings the value of the
parameter of that name (`learning_rate` that of `learningRate`), in whichever pack it stands.

Enums are stored by member name, so a member is never renamed. The names of tasks and schemes come from the engine's
settings, which need the standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
from typing import Annotated

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


def _within(setting: str) -> WithinRange:
    """Return the range of a setting of the engine. It begins at 0 where 0 stands for the engine's own choice."""
    field, = (field for settings in (InterpolationSettings, AdaptationSettings)
              for field in dataclasses.fields(settings) if field.name == setting)
    least, most = field.metadata["least"], field.metadata["most"]
    return WithinRange(0 if field.default is None else least, most)


AuxiliaryTask = _EngineName("AuxiliaryTask", _members((*TASKS, NO_ADAPTATION)), module=__name__)
Scheme = _EngineName("Scheme", _members(SCHEMES), module=__name__)


class InputKind(enum.Enum):
    """What is interpolated."""

    pair = "pair"
    sequence = "sequence"

    def label(self) -> str:
        """Return the text of the choice in the panel."""
        return _("Two phases") if self is InputKind.pair else _("Sequence (each neighbouring pair)")


@parameterPack
class AdaptationParameters:
    """How the network adapts to the images.

    `iterations` and `learningRate`: 0 stands for the auxiliary task's own value. `weights`: the name of packaged
    weights, or the path of a file.
    """

    auxiliary: AuxiliaryTask = AuxiliaryTask(_DEFAULTS.adaptation.auxiliary)
    scheme: Scheme = Scheme(_DEFAULTS.adaptation.scheme)
    iterations: Annotated[int, _within("iterations")] = 0
    learningRate: Annotated[float, _within("learning_rate")] = 0.0
    weights: str = _DEFAULTS.weights


@parameterPack
class OutputParameters:
    """Which frames are computed.

    `times`: times of the new frames between 0 and 1, such as "0.25, 0.5"; empty for `frames` of them, evenly spaced.
    """

    frames: Annotated[int, _within("frames")] = _DEFAULTS.frames
    times: str = ""


@parameterPack
class AdvancedParameters:
    """What few users change.

    `canvas`: 0 stands for what fits the device. `temporaryFolder`: empty for the system's place for temporary files.
    """

    seed: Annotated[int, _within("seed")] = _DEFAULTS.seed
    device: str = _DEFAULTS.device
    canvas: Annotated[int, _within("canvas")] = 0
    temporaryFolder: str = ""


@parameterNodeWrapper
class TTTInterpolationParameterNode:
    """All choices of the panel.

    `inputKind` says whether `phase0` and `phase1` are read, or `sequence`. If there is no `outputSequence`, a new
    sequence is made. If there is no `displacementSequence`, no displacements are computed.
    """

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


def _names() -> dict[str, str]:
    """Return the full name of each parameter, such as `advanced.seed`, by its own name, `seed`."""
    names = {}
    for name, kind in typing.get_type_hints(TTTInterpolationParameterNode).items():
        if kind in (AdaptationParameters, OutputParameters, AdvancedParameters):
            names.update({member: f"{name}.{member}" for member in typing.get_type_hints(kind)})
        else:
            names[name] = name
    return names


NAMES = _names()


def settingsOf(parameterNode) -> InterpolationSettings:
    """Return the engine's settings for the choices of a parameter node.

    Raises
    ------
    SettingsError
        If a choice is not a valid setting.
    """
    chosen = _chosen(parameterNode, InterpolationSettings)
    chosen["cyclic"] = chosen["cyclic"] and parameterNode.inputKind is InputKind.sequence
    return InterpolationSettings(adaptation=AdaptationSettings(**_chosen(parameterNode, AdaptationSettings)), **chosen)


def parameterOf(setting: str) -> str:
    """Return the full name of the parameter for a field of the engine's settings; an empty text where there is none.

    >>> parameterOf("learning_rate"), parameterOf("cyclic"), parameterOf("unknown")
    ('adaptation.learningRate', 'cyclic', '')
    """
    first, *rest = setting.split("_")
    return NAMES.get(first + "".join(word.capitalize() for word in rest), "")


def timesOf(text: str) -> tuple[float, ...]:
    """Return the numbers of a text like "0.25, 0.5". Raises `SettingsError` for anything but numbers."""
    try:
        return tuple(float(word) for word in re.split(r"[,;\s]+", text.strip()) if word)
    except ValueError:
        raise SettingsError(_("The times \"{text}\" are not numbers: write them like 0.25, 0.5, 0.75.").format(
            text=text)) from None


def _chosen(parameterNode, settings: type) -> dict:
    """Return the chosen values for those fields of a class of settings that have a parameter."""
    return {field.name: _value(parameterNode.getValue(parameterOf(field.name)), field)
            for field in dataclasses.fields(settings) if parameterOf(field.name)}


def _value(value, field: dataclasses.Field):
    """Return the value of a parameter as the engine's settings hold it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(field.default, tuple):
        return timesOf(value)
    return value or None if field.default is None else value
