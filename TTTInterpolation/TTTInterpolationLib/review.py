"""Views of a result: slices, phase and frame side by side, and a plot of the adaptation."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

from . import browsing, sequences

_CHART = sequences.PREFIX + "LossChart"  # role of the chart that belongs to the frames


def show(frames) -> None:
    """Show the frames in the slice views, with their browser in the toolbar, if there is a main window."""
    if _layoutManager() is None:
        return
    browser = browsing.browserOf(frames)
    slicer.modules.sequences.setToolBarActiveBrowserNode(browser)
    slicer.modules.sequences.setToolBarVisible(True)
    showVolume(browser.GetProxyNode(frames))


def showVolume(volume) -> None:
    """Show a volume in the slice views, if there is a main window."""
    if _layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=volume, fit=True)


def showSideBySide(frames) -> None:
    """Show the acquired phase on the left and the frames on the right, in two linked views along the slices."""
    phase, layoutManager = browsing.acquiredPhaseOf(frames), _layoutManager()
    if layoutManager is None:
        return
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    for viewName, volume in (("Red", phase), ("Yellow", browsing.proxyOf(frames))):
        view = layoutManager.sliceWidget(viewName)
        composite = view.mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetLinkedControl(True)
        view.mrmlSliceNode().SetOrientation("Axial")
        view.mrmlSliceNode().RotateToVolumePlane(volume)
        view.sliceLogic().FitSliceToBackground()


def lossChart(frames) -> "slicer.vtkMRMLPlotChartNode":
    """Return a chart of the auxiliary loss before and after the adaptation, one pair of bars for each batch.

    Both losses are computed on the same random draws, which the adaptation does not learn from. An earlier chart of
    these frames is removed from the scene.
    """
    scene = frames.GetScene()
    _removeChart(frames)
    name = _("{name} adaptation").format(name=frames.GetName())
    before, after, kept = zip(*sequences.heldOutLossesOf(frames))
    pairs = [str(n) if isKept else _("{n} (not used)").format(n=n) for n, isKept in enumerate(kept, start=1)]
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(_("Adaptation: loss on held-out random draws"))
    chart.SetXAxisTitle(_("Pair"))
    chart.SetYAxisTitle(_("Auxiliary loss"))
    table.AddColumn(_column(vtk.vtkStringArray(), chart.GetXAxisTitle(), pairs))
    for title, losses in ((_("before"), before), (_("after"), after)):
        table.AddColumn(_column(vtk.vtkDoubleArray(), title, losses))
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetLabelColumnName(chart.GetXAxisTitle())
        series.SetYColumnName(title)
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
        series.SetUniqueColor()
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    frames.SetNodeReferenceID(_CHART, chart.GetID())
    return chart


def showLosses(frames) -> None:
    """Show the chart of the adaptation in a layout with a plot."""
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
