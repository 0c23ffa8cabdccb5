"""What the views say of a result: whether the frame and the slice that are shown were measured or computed."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from . import browsing, sequences, volumes

_PARALLEL = 0.999  # cosine of the angle between the normal of a view and the slice axis, for views along the slices


def markText(volume, sliceNode=None) -> str:
    """Return whether a volume is measured or computed; an empty text where nothing says which it is.

    Parameters
    ----------
    volume : vtkMRMLScalarVolumeNode
        A volume, or the proxy of a sequence.
    sliceNode : vtkMRMLSliceNode, optional
        The slice view that shows it. In a view along the slices, the text is about the slice in view.
    """
    slices = browsing.shownSlicesOf(volume)
    if slices is None:
        return {sequences.ACQUIRED: _("This frame is acquired: it was measured."),
                sequences.SYNTHETIC: _("This frame is synthetic: it was computed, not measured."),
                "": ""}[browsing.markOf(volume)]
    axis, acquired = slices
    count = volume.GetImageData().GetDimensions()[axis]
    number = sliceNode and shownSlice(volume, sliceNode, axis)
    if number is None:
        return _("{acquired} of {count} slices are acquired; the others are synthetic.").format(
            acquired=len(acquired), count=count)
    if not 0 <= number < count:
        return ""
    kind = _("acquired") if number in acquired else _("synthetic: computed, not measured")
    return _("Slice {number} of {count} is {kind}.").format(number=number + 1, count=count, kind=kind)


def shownSlice(volume, sliceNode, axis: int):
    """Return the number of the slice of a volume that a view shows; None if the view does not lie along the slices.

    Parameters
    ----------
    volume : vtkMRMLScalarVolumeNode
        The volume.
    sliceNode : vtkMRMLSliceNode
        The view.
    axis : {0, 1, 2}
        The axis of the volume that counts its slices: i, j or k.
    """
    toWorld, world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, toWorld):
        return None
    vtk.vtkMatrix4x4.Multiply4x4(toWorld, volumes.ijkToRas(volume), world)
    view = sliceNode.GetSliceToRAS()
    normal, direction = ([matrix.GetElement(row, column) for row in range(3)]
                         for matrix, column in ((view, 2), (world, axis)))
    cosine = vtk.vtkMath.Dot(normal, direction) / (vtk.vtkMath.Norm(normal) * vtk.vtkMath.Norm(direction))
    if abs(cosine) < _PARALLEL:
        return None
    world.Invert()
    return round(world.MultiplyPoint([view.GetElement(row, 3) for row in range(4)])[axis])


class ViewMarks(VTKObservationMixin):
    """Writes into each slice view of the application whether what it shows was measured or computed."""

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self._views = {}  # slice view node -> composite node, view, text

    def refresh(self) -> None:
        """Write into the views that there are now."""
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames() if manager is not None else ():
            widget = manager.sliceWidget(name)
            if widget.mrmlSliceNode() not in self._views:
                self._add(widget)
        for sliceNode in self._views:
            self._write(sliceNode)

    def remove(self) -> None:
        """Take the texts out of the views."""
        self.removeObservers()
        for _composite, view, text in self._views.values():
            _rendererOf(view).RemoveViewProp(text)
            view.scheduleRender()
        self._views = {}

    def _add(self, widget) -> None:
        text = vtk.vtkTextActor()
        text.GetTextProperty().SetFontSize(14)
        text.GetTextProperty().SetJustificationToCentered()
        text.GetTextProperty().SetShadow(True)
        text.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
        text.SetPosition(0.5, 0.94)
        view = widget.sliceView()
        _rendererOf(view).AddViewProp(text)
        sliceNode, composite = widget.mrmlSliceNode(), widget.mrmlSliceCompositeNode()
        self._views[sliceNode] = composite, view, text
        for node in (sliceNode, composite):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent,
                             lambda caller, event, sliceNode=sliceNode: self._write(sliceNode))

    def _write(self, sliceNode) -> None:
        composite, view, text = self._views[sliceNode]
        volume = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        isVolume = volume is not None and volume.IsA("vtkMRMLScalarVolumeNode") and volume.GetImageData()
        words = markText(volume, sliceNode) if isVolume else ""
        if words != text.GetInput():
            text.SetInput(words)
            view.scheduleRender()


def _rendererOf(view):
    return view.renderWindow().GetRenderers().GetFirstRenderer()
