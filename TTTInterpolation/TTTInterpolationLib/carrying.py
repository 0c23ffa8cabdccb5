"""What moves with the displacements inside Slicer: models, surfaces of segments, and markups of phase 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

import slicer
import vtk
from slicer.i18n import tr as _

from ttt4d.errors import InputError

from . import segmentations

SOURCES = ("vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode")


@dataclass(frozen=True)
class Mover:
    """A node of phase 0 that is moved to other frames.

    Parameters
    ----------
    name : str
        Its name.
    move : callable
        Takes a displacement (vtkMRMLGridTransformNode), and returns the moved node outside any scene.
    color : tuple of float, optional
        Its colour; the application's own choice if None.
    """

    name: str
    move: Callable[[object], object]
    color: Optional[tuple[float, float, float]] = None


def check(source) -> None:
    """Raise `InputError` if a node cannot be carried. None can: there is nothing to carry."""
    if source is None:
        return
    name = source.GetName()
    if source.IsA("vtkMRMLSegmentationNode"):
        if segmentations.isEmpty(source):
            raise InputError(_("{name} has no segments: choose another segmentation.").format(name=name))
    elif source.IsA("vtkMRMLModelNode"):
        if source.GetPolyData() is None or source.GetPolyData().GetNumberOfPoints() == 0:
            raise InputError(_("{name} is not a surface: choose another model.").format(name=name))
    elif not source.IsA("vtkMRMLMarkupsNode") or source.GetNumberOfControlPoints() == 0:
        raise InputError(_("{name} has nothing that can be carried: choose a segmentation, a model or markups.").format(
            name=name))


def movers(source, models: bool, like) -> list[Mover]:
    """Return what Slicer moves itself of a node of phase 0.

    Parameters
    ----------
    source : vtkMRMLNode or None
        A model or markups, or a segmentation, of which the surfaces are moved where `models` is true.
    models : bool
        Whether the surfaces of a segmentation are wanted.
    like : vtkMRMLScalarVolumeNode
        The volume of phase 0. What is moved has its parent transform.
    """
    if source is None:
        return []
    toPhase = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source.GetParentTransformNode(), like.GetParentTransformNode(),
                                                         toPhase)
    if source.IsA("vtkMRMLModelNode"):
        color = source.GetDisplayNode().GetColor() if source.GetDisplayNode() else None
        return [Mover(source.GetName(), _surfaceMover(_moved(source.GetPolyData(), toPhase)), color)]
    if source.IsA("vtkMRMLMarkupsNode"):
        return [Mover(source.GetName(), lambda displacement: _movedMarkups(source, toPhase, displacement))]
    if not models:
        return []
    own = slicer.vtkSegmentation()
    own.DeepCopy(source.GetSegmentation())
    own.CreateRepresentation("Closed surface")
    segments = [own.GetNthSegment(n) for n in range(own.GetNumberOfSegments())]
    return [Mover(segment.GetName(), _surfaceMover(_moved(segment.GetRepresentation("Closed surface"), toPhase)),
                  segment.GetColor())
            for segment in segments]


def _surfaceMover(surface) -> Callable[[object], object]:
    def move(displacement):
        model = slicer.vtkMRMLModelNode()
        model.SetAndObservePolyData(_moved(surface, displacement.GetTransformToParent()))
        return model

    return move


def _moved(surface, transform):
    """Return a surface with its points moved: the same points in the same order."""
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputData(surface)
    moved.SetTransform(transform)
    moved.Update()
    return moved.GetOutput()


def _movedMarkups(source, toPhase, displacement):
    node = source.GetScene().CreateNodeByClass(source.GetClassName())
    node.UnRegister(None)  # it was made with a reference that nobody else gives back
    node.CopyContent(source)
    toFrame = displacement.GetTransformToParent()
    for n in range(source.GetNumberOfControlPoints()):
        point = toFrame.TransformPoint(toPhase.TransformPoint(source.GetNthControlPointPosition(n)))
        node.SetNthControlPointPosition(n, point)
    return node
