"""What the views say of a result: whether the frame and the slice that are shown were measured or computed."""

from __future__ import annotations

import contextlib

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


class ViewMarks:
    """Writes into each slice view of the application whether what it shows was measured or computed."""

    def __init__(self) -> None:
        self._marks: dict[object, _ViewMark] = {}  # by the node of the view
        self._manager = slicer.app.layoutManager()  # None without a main window
        if self._manager is not None:
            self._manager.connect("layoutChanged(int)", self._onLayout)

    def _onLayout(self, layout=None) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Write into the views that there are now."""
        for name in self._manager.sliceViewNames() if self._manager is not None else ():
            widget = self._manager.sliceWidget(name)
            if widget.mrmlSliceNode() not in self._marks:
                self._marks[widget.mrmlSliceNode()] = _ViewMark(widget)
        for mark in self._marks.values():
            mark.write()

    def remove(self) -> None:
        """Take the texts out of the views, for good."""
        if self._manager is not None:
            self._manager.disconnect("layoutChanged(int)", self._onLayout)
        for mark in self._marks.values():
            mark.remove()
        self._marks = {}


class _ViewMark(VTKObservationMixin):
    """The text in one view. It follows the slice, the volume that is shown, and the frame that the volume shows."""

    def __init__(self, widget) -> None:
        VTKObservationMixin.__init__(self)
        self._sliceNode, self._composite = widget.mrmlSliceNode(), widget.mrmlSliceCompositeNode()
        self._view, self._volume, self._text = widget.sliceView(), None, vtk.vtkTextActor()
        self._text.GetTextProperty().SetFontSize(14)
        self._text.GetTextProperty().SetJustificationToCentered()
        self._text.GetTextProperty().SetShadow(True)
        self._text.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
        self._text.SetPosition(0.5, 0.94)
        self._renderer.AddViewProp(self._text)
        for node in (self._sliceNode, self._composite):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.write)

    def write(self, caller=None, event=None) -> None:
        """Write what is true of what the view shows now."""
        volume = slicer.mrmlScene.GetNodeByID(self._composite.GetBackgroundVolumeID() or "")
        if volume is not self._volume:
            if self._volume is not None:
                self.removeObserver(self._volume, vtk.vtkCommand.ModifiedEvent, self.write)
            self._volume = volume
            if volume is not None:
                self.addObserver(volume, vtk.vtkCommand.ModifiedEvent, self.write)
        isImage = volume is not None and volume.IsA("vtkMRMLScalarVolumeNode") and volume.GetImageData()
        words = markText(volume, self._sliceNode) if isImage else ""
        if words != self._text.GetInput():
            self._text.SetInput(words)
            self._view.scheduleRender()

    def remove(self) -> None:
        """Take the text out of the view."""
        self.removeObservers()
        with contextlib.suppress(ValueError):  # PythonQt: the view is gone
            self._renderer.RemoveViewProp(self._text)
            self._view.scheduleRender()

    @property
    def _renderer(self):
        return self._view.renderWindow().GetRenderers().GetFirstRenderer()
