"""Looking at a result: slice views, phase and frame side by side, and the loss curve of the adaptation."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

from . import sequences

_CHART = sequences.PREFIX + "LossChart"  # the role under which the frames refer to their chart


def show(frames) -> None:
    """Show the frames in the slice views, with the browser in the toolbar. Nothing without a main window."""
    if _layoutManager() is None:
        return
    browser = sequences.browserOf(frames)
    slicer.modules.sequences.setToolBarActiveBrowserNode(browser)
    slicer.modules.sequences.setToolBarVisible(True)
    showVolume(browser.GetProxyNode(frames))


def showVolume(volume) -> None:
    """Show a volume in the slice views. Nothing without a main window."""
    if _layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=volume, fit=True)


def showSideBySide(frames) -> None:
    """The acquired phase left, the frames right, in two linked views along the slices of the volumes."""
    phase, layoutManager = sequences.acquiredPhaseOf(frames), _layoutManager()
    if layoutManager is None:
        return
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    for viewName, volume in (("Red", phase), ("Yellow", sequences.proxyOf(frames))):
        view = layoutManager.sliceWidget(viewName)
        composite = view.mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetLinkedControl(True)
        view.mrmlSliceNode().SetOrientation("Axial")
        view.mrmlSliceNode().RotateToVolumePlane(volume)
        view.sliceLogic().FitSliceToBackground()


def lossChart(frames) -> "slicer.vtkMRMLPlotChartNode":
    """A chart of the adaptation's loss, one curve a batch, from what is stored with the frames.

    Made again when asked for again: the nodes of an earlier chart of these frames are taken out of the scene first.
    """
    scene = frames.GetScene()
    _removeChart(frames)
    name = _("{name} loss").format(name=frames.GetName())
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(_("Adaptation"))
    chart.SetXAxisTitle(_("Iteration"))
    chart.SetYAxisTitle(_("Loss"))
    for n, losses in enumerate(sequences.lossesOf(frames), start=1):
        # A table for each, because an adaptation that stops by itself makes them of different lengths.
        pair = _("Pair {n}").format(n=n)
        table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{name}: {pair}")
        table.AddColumn(_column(vtk.vtkIntArray(), chart.GetXAxisTitle(), range(1, len(losses) + 1)))
        table.AddColumn(_column(vtk.vtkDoubleArray(), chart.GetYAxisTitle(), losses))
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", pair)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(chart.GetXAxisTitle())
        series.SetYColumnName(chart.GetYAxisTitle())
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetUniqueColor()
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    frames.SetNodeReferenceID(_CHART, chart.GetID())
    return chart


def showLosses(frames) -> None:
    """Show the chart of the adaptation's loss in a layout with a plot."""
    chart = lossChart(frames)
    if _layoutManager() is not None:
        slicer.modules.plots.logic().ShowChartInLayout(chart)


def _column(array, name: str, values):
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array


def _removeChart(frames) -> None:
    chart = frames.GetNodeReference(_CHART)
    if chart is None:
        return
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    tables = {node.GetTableNode() for node in series}
    for node in [chart, *series, *tables]:
        if node is not None:
            frames.GetScene().RemoveNode(node)


def _layoutManager():
    application = getattr(slicer, "app", None)
    return application.layoutManager() if application else None
