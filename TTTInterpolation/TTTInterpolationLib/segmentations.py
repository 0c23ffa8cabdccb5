"""Segmentations between the scene and the engine's label maps."""

from __future__ import annotations

from dataclasses import dataclass

import slicer
import vtk
from slicer.i18n import tr as _

from ttt4d.errors import InputError

from . import volumes

_BINARY = "Binary labelmap"


@dataclass(frozen=True)
class Segments:
    """The segments of a segmentation by their numbers in a label map: 1 for the first.

    Parameters
    ----------
    ids : tuple of str
        Their IDs.
    segments : tuple of vtkSegment
        Their names, colours and terminology; without representations.
    """

    ids: tuple[str, ...]
    segments: tuple[object, ...]

    @property
    def names(self) -> list[str]:
        """Their names; of segments with the same name, the later ones with their number."""
        names: list[str] = []
        for number, segment in enumerate(self.segments, start=1):
            name = segment.GetName()
            names.append(f"{name} ({number})" if name in names else name)
        return names


def isEmpty(segmentation) -> bool:
    """Return whether a segmentation node has no segments."""
    return segmentation.GetSegmentation().GetNumberOfSegments() == 0


def drawnOn(volume):
    """Return a segmentation node that was drawn on a volume, or None."""
    scene, role = volume.GetScene(), slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    name = "vtkMRMLSegmentationNode"
    found = (scene.GetNthNodeByClass(n, name) for n in range(scene.GetNumberOfNodesByClass(name)))
    return next((node for node in found if node.GetNodeReference(role) is volume), None)


def writeLabels(segmentation, grid, place, path: str) -> Segments:
    """Write a segmentation to a NRRD file, as a label map on the grid of a volume.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
        The segmentation; it is not changed.
    grid : vtkMRMLScalarVolumeNode
        The volume. The file holds its own positions, without a parent transform.
    place : vtkMRMLScalarVolumeNode
        The node of the scene that shows this volume, and may be under a parent transform.
    path : str
        Path of the file.

    Raises
    ------
    InputError
        If segments overlap, or lie outside the volume, or the file cannot be written.
    """
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    own, name = slicer.vtkSegmentation(), segmentation.GetName()
    own.DeepCopy(segmentation.GetSegmentation())
    reference = _reference(grid, volumes.ijkToRas(place, frameOf=segmentation))
    own.SetConversionParameter(slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName(),
                               slicer.vtkSegmentationConverter.SerializeImageGeometry(reference))
    if not own.CreateRepresentation(_BINARY):
        raise InputError(_("{name} could not be turned into a label map: check it in the Segmentations module.").format(
            name=name))
    ids = tuple(own.GetNthSegmentID(n) for n in range(own.GetNumberOfSegments()))
    image = vtk.vtkImageData()
    image.SetDimensions(reference.GetDimensions())
    image.AllocateScalars(vtk.VTK_UNSIGNED_SHORT, 1)
    labels = vtk_to_numpy(image.GetPointData().GetScalars())
    labels[:] = 0
    for number, identity in enumerate(ids, start=1):
        inside = _inside(own.GetSegment(identity), reference)
        if np.any(labels[inside]):
            other = own.GetSegment(ids[int(labels[inside].max()) - 1]).GetName()
            raise InputError(_("{first} and {second} of {name} overlap: carry one of them at a time, or separate "
                               "them in the Segment Editor.").format(
                                   first=other, second=own.GetSegment(identity).GetName(), name=name))
        labels[inside] = number
    if not labels.any():
        raise InputError(_("{name} lies outside {volume}: choose a segmentation that was drawn on it.").format(
            name=name, volume=place.GetName()))
    node = slicer.vtkMRMLLabelMapVolumeNode()
    node.SetName(name)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(volumes.ijkToRas(grid))
    volumes.write(node, path)
    return Segments(ids, tuple(_withoutRepresentations(own.GetSegment(identity)) for identity in ids))


def readLabels(path: str, segments: Segments, grid) -> "slicer.vtkMRMLSegmentationNode":
    """Read a label map as a segmentation node outside any scene, with these segments.

    Parameters
    ----------
    path : str
        Path of the file.
    segments : Segments
        What its numbers stand for.
    grid : vtkMRMLScalarVolumeNode
        A volume with the grid of the label map.
    """
    node = volumes.readLabelMap(path)
    labels = _reference(node, volumes.ijkToRas(grid))
    labels.GetPointData().SetScalars(node.GetImageData().GetPointData().GetScalars())
    carried = slicer.vtkMRMLSegmentationNode()
    carried.SetSourceRepresentationToBinaryLabelmap()
    carried.GetSegmentation().SetConversionParameter(  # the grid on which the Segment Editor draws
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName(),
        slicer.vtkSegmentationConverter.SerializeImageGeometry(labels))
    for number, (identity, segment) in enumerate(zip(segments.ids, segments.segments), start=1):
        own = slicer.vtkSegment()
        own.DeepCopy(segment)
        own.SetLabelValue(number)
        own.AddRepresentation(_BINARY, labels)
        carried.GetSegmentation().AddSegment(own, identity)
    return carried


def _reference(volume, matrix) -> "slicer.vtkOrientedImageData":
    """Return an image without voxels, with the size of a volume and a grid of its own."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(volume.GetImageData().GetDimensions())
    image.SetImageToWorldMatrix(matrix)
    return image


def millilitres(segmentation) -> dict[str, float]:
    """Return the volume of each segment of a node, by the names of `Segments.names`."""
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    own = segmentation.GetSegmentation()
    parts = tuple(own.GetNthSegment(n) for n in range(own.GetNumberOfSegments()))
    found = {}
    for name, segment in zip(Segments((), parts).names, parts):
        image, count = segment.GetRepresentation(_BINARY), 0
        if image is not None and not image.IsEmpty() and image.GetNumberOfPoints():
            count = int((vtk_to_numpy(image.GetPointData().GetScalars()) == segment.GetLabelValue()).sum())
        found[name] = count * float(np.prod(image.GetSpacing() if image is not None else 0)) / 1000
    return found


def _inside(segment, reference):
    """Return which voxels of a grid belong to a segment, as a flat array."""
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    source, mask = segment.GetRepresentation(_BINARY), slicer.vtkOrientedImageData()
    count = reference.GetNumberOfPoints()
    if source is None or source.IsEmpty() or source.GetNumberOfPoints() == 0:
        return np.zeros(count, bool)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(source, reference, mask, False)
    return vtk_to_numpy(mask.GetPointData().GetScalars()) == segment.GetLabelValue()


def _withoutRepresentations(segment) -> "slicer.vtkSegment":
    copy = slicer.vtkSegment()
    copy.DeepCopy(segment)
    copy.RemoveAllRepresentations()
    return copy
