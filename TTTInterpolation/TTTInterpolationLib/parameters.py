"""The choices of the panel, kept in the parameter node: saved with the scene and open to scripts.

A parameter reaches the engine by its name: `settingsOf` and `sliceSettingsOf` give each field of the engine's settings
the value of the parameter of that name (`learning_rate` that of `learningRate`), in whichever pack of the axis it
stands.

Enums are stored by member name, so a member is never renamed. The names of tasks and schemes come from the engine's
settings, which need the standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
from typing import Annotated

from slicer import vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLSequenceNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper, parameterPack

from ttt4d.errors import SettingsError
from ttt4d.settings import NO_ADAPTATION, SCHEMES, AdaptationSettings, InterpolationSettings
from ttt4d.temporal.auxiliary import TASKS
from ttt4d.through_plane.auxiliary import TASKS as SLICE_TASKS
from ttt4d.through_plane.settings import AUTO, AXES, GAP, THICK, SliceAdaptationSettings, SliceRunSettings

from .maps import MAPS, titleOf

_DEFAULTS = InterpolationSettings()
SLICE_DEFAULTS = SliceRunSettings(factor=4.0)


class _EngineName(enum.Enum):
    """A member for each name the engine knows; its value is that name."""

    def label(self) -> str:
        return self.value


def _members(names) -> dict:
    return {name.replace("-", "_"): name for name in names}


def _within(setting: str) -> WithinRange:
    """Return the range of a setting of the engine. It begins at 0 where 0 stands for the engine's own choice."""
    field = next(field for settings in (InterpolationSettings, AdaptationSettings, SliceRunSettings)
                 for field in dataclasses.fields(settings) if field.name == setting)
    least, most = field.metadata["least"], field.metadata["most"]
    return WithinRange(0 if field.default is None else least, most)


AuxiliaryTask = _EngineName("AuxiliaryTask", _members((*TASKS, NO_ADAPTATION)), module=__name__)
SliceTask = _EngineName("SliceTask", _members((*SLICE_TASKS, NO_ADAPTATION)), module=__name__)
Scheme = _EngineName("Scheme", _members(SCHEMES), module=__name__)


class FillBetween(enum.Enum):
    """Where volumes or slices are missing."""

    phases = "phases"
    slices = "slices"
    both = "both"

    def label(self) -> str:
        """Return the text of the choice in the panel."""
        return {"phases": _("Phases"), "slices": _("Slices"), "both": _("Both")}[self.value]


class SliceKind(enum.Enum):
    """What lies between the slices."""

    auto = AUTO
    gap = GAP
    thick = THICK

    def label(self) -> str:
        """Return the text of the choice in the panel."""
        return {AUTO: _("automatic"), GAP: _("gap"), THICK: _("thick")}[self.value]


class SliceAxis(enum.Enum):
    """The axis of a volume along which the slices lie."""

    automatic = None
    i, j, k = AXES

    def label(self) -> str:
        """Return the text of the choice in the panel."""
        return self.value or _("automatic")


class InputKind(enum.Enum):
    """Between which volumes frames are computed."""

    pair = "pair"
    sequence = "sequence"

    def label(self) -> str:
        """Return the text of the choice in the panel."""
        return _("Two phases") if self is InputKind.pair else _("Sequence")


class MapChoice(enum.Enum):
    """The maps of the motion that are computed; a value is a tuple of their names."""

    none = ()
    displacement, jacobian, strain_1, strain_2, strain_3, confidence = ((name,) for name in MAPS)
    every = MAPS

    def label(self) -> str:
        """Return the text of the choice in the panel."""
        return {"none": _("none"), "every": _("all")}.get(self.name) or titleOf(self.name)


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
class SliceAdaptationParameters:
    """How the network between slices adapts; see `AdaptationParameters`."""

    auxiliary: SliceTask = SliceTask(SLICE_DEFAULTS.adaptation.auxiliary)
    scheme: Scheme = Scheme(SLICE_DEFAULTS.adaptation.scheme)
    iterations: Annotated[int, _within("iterations")] = 0
    learningRate: Annotated[float, _within("learning_rate")] = 0.0
    weights: str = SLICE_DEFAULTS.weights


@parameterPack
class BetweenSlicesParameters:
    """Which slices are computed.

    `factor`: how many times as close they are. `spacing`: their distance in mm, in place of the factor; 0 for none.
    `slices`: what lies between the acquired ones. `thickness`: mm; 0 for what the header says, else an estimate.
    """

    factor: Annotated[float, _within("factor")] = SLICE_DEFAULTS.factor
    spacing: Annotated[float, _within("spacing")] = 0.0
    slices: SliceKind = SliceKind(SLICE_DEFAULTS.slices)
    thickness: Annotated[float, _within("thickness")] = 0.0
    axis: SliceAxis = SliceAxis(SLICE_DEFAULTS.axis)
    force: bool = SLICE_DEFAULTS.force


@parameterPack
class AdvancedParameters:
    """What few users change.

    `canvas`: 0 stands for what fits the device. `temporaryFolder`: empty for the system's place for temporary files.
    """

    seed: Annotated[int, _within("seed")] = _DEFAULTS.seed
    device: str = _DEFAULTS.device
    canvas: Annotated[int, _within("canvas")] = 0
    temporaryFolder: str = ""


@parameterPack
class CarryParameters:
    """What is carried and measured with the motion.

    `models`: whether segments are also carried as models with point correspondence.
    """

    models: bool = False
    maps: MapChoice = MapChoice.none


@parameterPack
class ExportParameters:
    """What is saved: the view of a film, and the file format of models."""

    view: str = "Red"
    modelFormat: str = "stl"


@parameterNodeWrapper
class TTTInterpolationParameterNode:
    """All choices of the panel.

    Between phases, `inputKind` says whether `phase0` and `phase1` are read, or `sequence`. Between slices, `thick` is
    read: a volume or a sequence of volumes. `thickSegmentation` was drawn on it, and is carried to the new slices.

    `carrySource` is a segmentation, model or markups of phase 0, which is carried to all frames of `outputSequence`.

    If there is no `outputSequence` or `outputVolume`, a new one is made. If there is no `displacementSequence`, no
    displacements are computed.
    """

    fillBetween: FillBetween = FillBetween.phases
    inputKind: InputKind = InputKind.pair
    phase0: vtkMRMLScalarVolumeNode
    phase1: vtkMRMLScalarVolumeNode
    sequence: vtkMRMLSequenceNode
    cyclic: bool = False
    thick: vtkMRMLNode
    thickSegmentation: vtkMRMLSegmentationNode
    adaptation: AdaptationParameters
    sliceAdaptation: SliceAdaptationParameters
    output: OutputParameters
    betweenSlices: BetweenSlicesParameters
    advanced: AdvancedParameters
    outputSequence: vtkMRMLSequenceNode
    outputVolume: vtkMRMLScalarVolumeNode
    displacementSequence: vtkMRMLSequenceNode
    carrySource: vtkMRMLNode
    carry: CarryParameters
    export: ExportParameters


# The parameters of each axis: the packs, and the members of the wrapper that are settings of the engine.
_PACKS = {FillBetween.phases: (AdaptationParameters, OutputParameters, AdvancedParameters),
          FillBetween.slices: (SliceAdaptationParameters, BetweenSlicesParameters, AdvancedParameters)}


def _names(packs) -> dict[str, str]:
    """Return the full name of each parameter, such as `advanced.seed`, by its own name, `seed`."""
    names = {}
    for name, kind in typing.get_type_hints(TTTInterpolationParameterNode).items():
        if kind in packs:
            names.update({member: f"{name}.{member}" for member in typing.get_type_hints(kind)})
        elif not name.startswith("carry") and kind not in sum(_PACKS.values(), (ExportParameters,)):
            names[name] = name
    return names


_NAMES = {axis: _names(packs) for axis, packs in _PACKS.items()}
ALL_NAMES = {name for names in _NAMES.values() for name in names.values()} | {
    "carrySource", *(f"{pack}.{member}" for pack, kind in (("carry", CarryParameters), ("export", ExportParameters))
                     for member in typing.get_type_hints(kind))}


def settingsOf(parameterNode) -> InterpolationSettings:
    """Return the engine's settings between phases for the choices of a parameter node.

    Raises
    ------
    SettingsError
        If a choice is not a valid setting.
    """
    chosen = _chosen(parameterNode, InterpolationSettings)
    chosen["cyclic"] = chosen["cyclic"] and parameterNode.inputKind is InputKind.sequence
    return InterpolationSettings(adaptation=AdaptationSettings(**_chosen(parameterNode, AdaptationSettings)), **chosen)


def sliceSettingsOf(parameterNode) -> SliceRunSettings:
    """Return the engine's settings between slices. Raises `SettingsError` as `settingsOf` does."""
    chosen = _chosen(parameterNode, SliceRunSettings, FillBetween.slices)
    if chosen["spacing"]:
        chosen["factor"] = None
    adaptation = _chosen(parameterNode, SliceAdaptationSettings, FillBetween.slices)
    return SliceRunSettings(adaptation=SliceAdaptationSettings(**adaptation), **chosen)


def weightsOf(parameterNode) -> list[str]:
    """Return the weights that the choices of a parameter node need."""
    axis = parameterNode.fillBetween
    return ([parameterNode.adaptation.weights] * (axis is not FillBetween.slices)
            + [parameterNode.sliceAdaptation.weights] * (axis is not FillBetween.phases))


def parameterOf(setting: str, axis: FillBetween = FillBetween.phases) -> str:
    """Return the full name of the parameter for a field of the engine's settings; an empty text where there is none.

    >>> parameterOf("learning_rate"), parameterOf("cyclic"), parameterOf("unknown")
    ('adaptation.learningRate', 'cyclic', '')
    >>> parameterOf("learning_rate", FillBetween.slices)
    'sliceAdaptation.learningRate'
    """
    first, *rest = setting.split("_")
    return _NAMES[axis].get(first + "".join(word.capitalize() for word in rest), "")


def timesOf(text: str) -> tuple[float, ...]:
    """Return the numbers of a text like "0.25, 0.5". Raises `SettingsError` for anything but numbers."""
    try:
        return tuple(float(word) for word in re.split(r"[,;\s]+", text.strip()) if word)
    except ValueError:
        raise SettingsError(_("The times \"{text}\" are not numbers: write them like 0.25, 0.5, 0.75.").format(
            text=text)) from None


def _chosen(parameterNode, settings: type, axis: FillBetween = FillBetween.phases) -> dict:
    """Return the chosen values for those fields of a class of settings that have a parameter."""
    return {field.name: _value(parameterNode.getValue(parameterOf(field.name, axis)), field)
            for field in dataclasses.fields(settings) if parameterOf(field.name, axis)}


def _value(value, field: dataclasses.Field):
    """Return the value of a parameter as the engine's settings hold it."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(field.default, tuple):
        return timesOf(value)
    return value or None if field.default is None else value
