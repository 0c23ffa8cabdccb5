"""A segmentation, model or markups of phase 0 carried to every frame: what goes to the engine, and what comes back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Iterator, Optional

from slicer.i18n import tr as _

from ttt4d.errors import InputError
from ttt4d.settings import InterpolationSettings
from ttt4d.weights import names as packagedWeights

from . import browsing, carrying, maps, measures, segmentations, sequences, volumes
from .inputs import Inputs
from .transfer import Outputs, PhasesTransfer

SOURCE, FRAMES = sequences.PREFIX + "Source", sequences.PREFIX + "Frames"  # roles of nodes that were carried


@dataclass(frozen=True)
class Wanted:
    """What is carried and measured.

    Parameters
    ----------
    source : vtkMRMLNode, optional
        A segmentation, model or markups node of phase 0.
    models : bool
        Whether the segments are also carried as models with point correspondence.
    maps : tuple of str
        Names of `maps.MAPS`.
    """

    source: object = None
    models: bool = False
    maps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Carried:
    """What was carried and measured, as nodes of the scene.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode
        The frames that it belongs to.
    displacements : vtkMRMLSequenceNode
        The motion.
    sequences : tuple of vtkMRMLSequenceNode
        The segmentation of each frame, its models, or the carried model or markups.
    maps : dict of str to vtkMRMLSequenceNode
        The maps, by name.
    measures : measures.Measures or None
        Tables and plot of the volumes of a segmentation.
    """

    frames: object
    displacements: object
    sequences: tuple[object, ...] = ()
    maps: dict = field(default_factory=dict)
    measures: object = None

    @property
    def result(self) -> "Carried":
        """What a script gets."""
        return self

    @property
    def summary(self) -> str:
        """One sentence about what was made."""
        names = [node.GetName() for node in (*self.sequences, *self.maps.values())]
        return _("{names}: {n} frames").format(names=", ".join(names) or self.displacements.GetName(),
                                               n=self.frames.GetNumberOfDataNodes())


class CarryTransfer(PhasesTransfer):
    """The motion of a result once more, with what it carries.

    The run is that of the result: the same inputs, settings and seed give the same motion.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    frames : vtkMRMLSequenceNode
        A result between phases.
    wanted : Wanted
        What is carried and measured.
    weights : str
        Where the weights of the result are, if they are a file of the user's own.

    Raises
    ------
    InputError
        If there is no result, its inputs are gone, or the source cannot be carried.
    """

    def __init__(self, scene, frames, wanted: Wanted, weights: str = "") -> None:
        inputs = inputsOf(frames)
        carrying.check(wanted.source)
        if wanted.source is None and not wanted.maps:
            raise InputError(_("Choose a segmentation, a model or markups of phase 0, or a map."))
        super().__init__(scene, inputs, Outputs(), _settingsOf(frames, weights))
        self._frames = frames
        self._wanted = wanted
        self._isSegmentation = wanted.source is not None and wanted.source.IsA("vtkMRMLSegmentationNode")

    def writeInputs(self) -> Iterator[None]:
        """Write the phases, one in each step, and the segmentation as a label map."""
        yield from super().writeInputs()
        source, phase, like = self._wanted.source, self._inputs.phases[0], self._inputs.like
        if self._isSegmentation:
            self._segments = segmentations.writeLabels(source, phase, like, self._path("labels.nrrd"))
            yield
        self._movers = carrying.movers(source, self._wanted.models, like)

    def request(self) -> dict:
        """Return the engine's request."""
        return {**super().request(), "displacements": self._path("d"),
                "labels": self._path("labels.nrrd") if self._isSegmentation else None,
                "carried": self._path("carried") if self._isSegmentation else None,
                "maps": self._path("maps") if self._wanted.maps else None}

    def readFrames(self) -> Iterator[None]:
        """Read what was carried and the maps into sequences outside the scene, one frame in each step."""
        name, count = self._frames.GetName(), len(self._frameMessages)
        if count != self._frames.GetNumberOfDataNodes():
            raise InputError(_("{name} does not belong to its inputs any more: press Apply again.").format(name=name))
        self._displacements = sequences.newSequence(_("{name} displacement").format(name=name))
        self._segmentation = sequences.newSequence(_("{name} carried").format(name=self._sourceName()))
        self._moved = [sequences.newSequence(_("{name} carried").format(name=mover.name)) for mover in self._movers]
        self._maps = {name: sequences.newSequence(maps.titleOf(name)) for name in self._wanted.maps}
        self._statistics: list[measures.Row] = []
        for message in self._frameMessages:
            yield from self._readFrameOf(message["number"], message["index"])

    def _readFrameOf(self, number: int, index: float) -> Iterator[None]:
        drawn = number == 0
        displacement = volumes.readDisplacement(self._path("d", f"displacement_{number:03d}.nrrd"))
        sequences.addItem(self._displacements, displacement, index, drawn)
        yield
        for mover, sequence in zip(self._movers, self._moved):
            sequences.addItem(sequence, mover.move(displacement), index, drawn)
            yield
        labels = self._path("carried", f"frame_{number:03d}.nrrd")
        if self._isSegmentation:
            carried = segmentations.readLabels(labels, self._segments, self._inputs.phases[0])
            carried.CreateClosedSurfaceRepresentation()
            sequences.addItem(self._segmentation, carried, index, drawn)
            yield
        for name, sequence in self._maps.items():
            volume = volumes.readFrame(self._path("maps", name, f"frame_{number:03d}.nrrd"), self._inputs.phases[0])
            if self._isSegmentation:
                self._statistics += measures.statistics(volume, name, labels, self._segments, index)
            sequences.addItem(sequence, volume, index, False)
            yield

    def place(self, report: dict) -> Carried:
        """Put what was read into the scene, in step with the frames. What was carried earlier of it is replaced."""
        frames, source = self._frames, self._wanted.source
        _removeEarlier(self.scene, frames, source or frames)
        displacements = browsing.displacementsOf(frames) or self._add(self._displacements, report)[0]
        moved = []
        if self._isSegmentation:
            moved.append(self._addCarried(self._segmentation, report, editable=True)[0])
        for mover, built in zip(self._movers, self._moved):
            sequence, proxy = self._addCarried(built, report)
            moved.append(sequence)
            if mover.color is not None:
                proxy.GetDisplayNode().SetColor(mover.color)
        placedMaps = {}
        for name, built in self._maps.items():
            placedMaps[name], proxy = self._addCarried(built, report)
            maps.show(proxy, placedMaps[name], name)
        return Carried(frames, displacements, tuple(moved), placedMaps, self._placeMeasures(report))

    def _placeMeasures(self, report: dict) -> Optional[measures.Measures]:
        if not self._isSegmentation:
            return None
        percents = [float(self._frames.GetNthIndexValue(n)) for n in range(self._frames.GetNumberOfDataNodes())]
        found = measures.place(self.scene, self._sourceName(), report["volumes"], self._segments, percents,
                               self._statistics)
        for node in found.nodes:
            self._markAsCarried(node)
        return found

    def _addCarried(self, built, report: dict, editable: bool = False) -> tuple:
        """Add a sequence that the next run with the same source replaces; see `_add`."""
        sequence, proxy = self._add(built, report, editable)
        self._markAsCarried(sequence)
        return sequence, proxy

    def _add(self, built, report: dict, editable: bool = False) -> tuple:
        """Put a sequence into the scene, in step with the frames, and return it with its proxy."""
        sequence = browsing.place(self.scene, built)
        sequences.annotate(sequence, report, self._inputs.nodes)
        proxy = browsing.follow(self._frames, sequence, self._inputs.like, editable)
        if proxy.IsA("vtkMRMLDisplayableNode") and proxy.GetDisplayNode() is None:
            proxy.CreateDefaultDisplayNodes()
        return sequence, proxy

    def _markAsCarried(self, node) -> None:
        node.SetNodeReferenceID(SOURCE, (self._wanted.source or self._frames).GetID())
        node.SetNodeReferenceID(FRAMES, self._frames.GetID())

    def _sourceName(self) -> str:
        return self._wanted.source.GetName() if self._wanted.source is not None else ""


def inputsOf(frames) -> Inputs:
    """Return the inputs that a result between phases was made from. Raises `InputError` if they are gone."""
    if frames is None or frames.GetAttribute(sequences.INPUTS) is None:
        raise InputError(_("There are no frames yet: press Apply first."))
    if frames.GetAttribute(sequences.AXIS) == sequences.SLICES_ONLY or not frames.IsA("vtkMRMLSequenceNode"):
        raise InputError(_("{name} was filled between slices, so nothing moves in it: choose a result between "
                           "phases.").format(name=frames.GetName()))
    if browsing.browserOf(frames) is None:
        raise InputError(_("{name} has no sequence browser any more: press Apply again.").format(name=frames.GetName()))
    nodes = [frames.GetNthNodeReference(sequences.INPUT, n)
             for n in range(frames.GetNumberOfNodeReferences(sequences.INPUT))]
    if None in nodes or len(nodes) != len(json.loads(frames.GetAttribute(sequences.INPUTS))):
        raise InputError(_("The images that {name} was made from are no longer in the scene: load them and press Apply "
                           "again.").format(name=frames.GetName()))
    return Inputs.fromSequence(nodes[0]) if len(nodes) == 1 else Inputs.pair(*nodes)


def usedWeightsOf(frames) -> str:
    """Return the name of the weights that a result was made with, and that carry with its motion."""
    return _storedSettings(frames)["weights"]


def _storedSettings(frames) -> dict:
    return json.loads(frames.GetAttribute(sequences.PREFIX + "Settings"))


def _settingsOf(frames, weights: str) -> InterpolationSettings:
    """Return the settings that a result was made with.

    Of a weights file of the user's own, the result knows the name, and `weights` is its path.
    """
    values = _storedSettings(frames)
    if values["weights"] not in packagedWeights() and os.path.basename(weights) == values["weights"]:
        values["weights"] = weights
    return InterpolationSettings.from_json(values)


def carriedOf(frames, className: str) -> list:
    """Return the nodes of a class that were carried with the motion of the frames, or measured, newest first."""
    scene = frames.GetScene()
    nodes = [scene.GetNthNodeByClass(n, className) for n in range(scene.GetNumberOfNodesByClass(className))]
    return [node for node in nodes if node.GetNodeReference(FRAMES) is frames][::-1]


def measuredOf(frames, source=None) -> Optional[tuple]:
    """Return the newest table of volumes among what was carried, and the segmentations that it tells of.

    None where nothing was measured, or nothing of `source`, if it is given.
    """
    for table in carriedOf(frames, "vtkMRMLTableNode"):
        of = table.GetNodeReference(SOURCE)
        if measures.volumesTableOf([table]) is None or source not in (None, of):
            continue
        for sequence in carriedOf(frames, "vtkMRMLSequenceNode"):
            if sequence.GetNodeReference(SOURCE) is of and sequence.GetNthDataNode(0).IsA("vtkMRMLSegmentationNode"):
                return table, sequence
    return None


def _removeEarlier(scene, frames, source) -> None:
    browser = browsing.browserOf(frames)
    earlier = [node for node in carriedOf(frames, "vtkMRMLNode") if node.GetNodeReference(SOURCE) is source]
    proxies = [browser.GetProxyNode(node) for node in earlier if node.IsA("vtkMRMLSequenceNode")]
    for node in filter(None, (*earlier, *proxies)):
        browsing.remove(node)
