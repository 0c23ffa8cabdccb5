"""Thin slices between the slices of a volume or of a sequence: what goes to the engine, and what comes back."""

from __future__ import annotations

import dataclasses
from typing import Iterator, Optional

from slicer.i18n import tr as _

from ttt4d.errors import InputError
from ttt4d.through_plane.settings import SliceRunSettings

from . import browsing, segmentations, sequences, volumes
from .inputs import Inputs
from .transfer import Outputs, Transfer, withToldThickness

_SEGMENTATION = sequences.PREFIX + "Segmentation"  # role of the segmentation that was carried to a result


class SlicesTransfer(Transfer):
    """Thin slices in a volume, or in each volume of a sequence.

    Parameters
    ----------
    settings : SliceRunSettings
        The engine's settings.
    segmentation : vtkMRMLSegmentationNode, optional
        A segmentation drawn on the volume, to be carried to the new slices.
    """

    def __init__(self, scene, inputs: Inputs, chosen: Outputs, settings: SliceRunSettings, segmentation=None) -> None:
        super().__init__(scene, inputs, chosen)
        if segmentation is not None and segmentations.isEmpty(segmentation):
            raise InputError(_("{name} has no segments: choose another segmentation, or none.").format(
                name=segmentation.GetName()))
        checkGrid(inputs.phases[0], settings)
        self._settings = settings
        self._segmentation = segmentation
        self._segments: Optional[segmentations.Segments] = None

    def writeInputs(self) -> Iterator[None]:
        """Write the volumes, one in each step, and the segmentation as a label map."""
        yield from super().writeInputs()
        if self._segmentation is not None:
            self._segments = segmentations.writeLabels(self._segmentation, self._inputs.phases[0], self._inputs.like,
                                                       self._path("labels.nrrd"))
            yield

    def request(self) -> dict:
        """Return the engine's request for the volumes that were written."""
        sequence, settings = self._inputs.isSequence, withToldThickness(self._settings, self._inputs.like)
        labels = self._segments is not None
        return {"axis": "slices", "volume": self._path("in") if sequence else self._phasePath(0),
                "output": self._path("out") if sequence else self._path("out", "frame_000.nrrd"),
                "settings": settings.to_json(), "labels": self._path("labels.nrrd") if labels else None,
                "labels_output": self._path("thin.nrrd") if labels else None, "report": None, "preview": None}

    def readFrames(self) -> Iterator[None]:
        """Read the volumes, and the segmentation if there is one, into nodes outside the scene."""
        self._volumes = []
        for message in self._frameMessages:
            self._volumes.append(self._readFrame(message))
            yield
        if self._segments is not None:
            self._carried = segmentations.readLabels(self._path("thin.nrrd"), self._segments, self._volumes[0])
            yield

    def place(self, report: dict) -> Outputs:
        """Put the volume into the scene, or a sequence with a browser that plays it."""
        name = _("{name} with thin slices").format(name=self._inputs.nodes[0].GetName())
        if self._inputs.isSequence:
            outputs = Outputs(frames=self._placeSequence(name))
        else:
            built, = self._volumes
            built.SetName(name)
            built.SetAttribute(sequences.FRAME, sequences.SYNTHETIC)
            outputs = Outputs(volume=browsing.placeVolume(self.scene, built, self._inputs.like, self._chosen.volume))
        sequences.annotate(outputs.result, report, self._inputs.nodes)
        if self._segments is None:
            return outputs
        return dataclasses.replace(outputs, segmentation=self._placeSegmentation(outputs.result))

    def _placeSequence(self, name: str):
        given, built = self._inputs.nodes[0], sequences.newSequence(name)
        sequences.copyIndex(given, built)
        built.SetAttribute(sequences.AXIS, sequences.SLICES_ONLY)
        for number, volume in enumerate(self._volumes):
            sequences.addItemAs(built, volume, given.GetNthIndexValue(number), acquired=False)
        frames = browsing.place(self.scene, built, self._chosen.frames, self._inputs.nodes)
        browsing.browse(frames, self._inputs.like)
        return frames

    def _placeSegmentation(self, result):
        earlier = result.GetNodeReference(_SEGMENTATION)
        if earlier is not None:
            browsing.remove(earlier)
        self._carried.SetName(self.scene.GenerateUniqueName(
            _("{name} on thin slices").format(name=self._segmentation.GetName())))
        node = self.scene.AddNode(self._carried)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(browsing.shownVolumeOf(result))
        node.SetAndObserveTransformNodeID(self._segmentation.GetTransformNodeID())
        browsing.placeBeside(node, self._inputs.like)
        result.SetNodeReferenceID(_SEGMENTATION, node.GetID())
        return node


def checkGrid(volume, settings: SliceRunSettings) -> int:
    """Return how many slices the result of a volume has.

    Raises
    ------
    InputError, GeometryError, SettingsError
        If nothing is missing between the slices, or the settings ask for fewer than there are.
    """
    # Here and not above: Slicer starts without NumPy.
    from ttt4d.through_plane.grid import check_slices, slice_axis, with_more_slices

    geometry = volumes.geometryOf(volume)
    axis = slice_axis(geometry, settings.axis)
    check_slices(volume.GetName(), geometry, axis, settings.force)
    return with_more_slices(geometry, axis, settings.factor, settings.spacing)[0].shape[axis]
