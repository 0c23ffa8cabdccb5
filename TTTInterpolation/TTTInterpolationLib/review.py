"""Looking at a result: slice views, phase and frame side by side, and the loss curve of the adaptation."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

from . import sequences


def show(frames) -> None:
    """Show the frames in the slice views, with the browser in the toolbar. Nothing without a main window."""
    if _layoutManager() is None:
        return
    browser = sequences.browserOf(frames)
    slicer.modules.sequences.setToolBarActiveBrowserNode(browser)
    slicer.modules.sequences.setToolBarVisible(True)
    slicer.util.setSliceViewerLayers(background=browser.GetProxyNode(frames), fit=True)


def showSideBySide(phase, frames) -> None:
    """An acquired phase left, the frames right, in two linked views along the slices of the volumes."""
    layoutManager = _layoutManager()
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
    losses = sequences.lossesOf(frames)
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", _("{name} loss").format(name=frames.GetName()))
    iterations = vtk.vtkIntArray()
    iterations.SetName(_("Iteration"))
    for n in range(max(map(len, losses), default=0)):
        iterations.InsertNextValue(n + 1)
    table.AddColumn(iterations)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", table.GetName())
    chart.SetTitle(_("Adaptation"))
    chart.SetXAxisTitle(iterations.GetName())
    chart.SetYAxisTitle(_("Loss"))
    for n, batch in enumerate(losses):
        column = vtk.vtkDoubleArray()
        column.SetName(_("Pair {n}").format(n=n + 1))
        for value in batch:
            column.InsertNextValue(value)
        for _missing in range(iterations.GetNumberOfTuples() - len(batch)):
            column.InsertNextValue(float("nan"))
        table.AddColumn(column)
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", column.GetName())
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(iterations.GetName())
        series.SetYColumnName(column.GetName())
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


_CHART = sequences.PREFIX + "LossChart"


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
