"""Views of a result: slices, phase and frame side by side, and a plot of the adaptation."""

from __future__ import annotations

import slicer
import vtk
from slicer.i18n import tr as _

from . import browsing, sequences
from .carry_transfer import SOURCE

_CHART = sequences.PREFIX + "LossChart"  # role of the chart that belongs to a result


def show(result) -> None:
    """Show a result in the slice views, if there is a main window: beside its input where slices were filled in.

    Frames are played by their browser in the toolbar.
    """
    if _layoutManager() is None:
        return
    browser = browsing.browserOf(result)
    if browser is not None:
        slicer.modules.sequences.setToolBarActiveBrowserNode(browser)
        slicer.modules.sequences.setToolBarVisible(True)
    volume = browsing.shownVolumeOf(result)
    if volume is None:  # its browser was deleted
        return
    showVolume(volume)
    if sequences.acquiredSlicesOf(result) is not None and browsing.acquiredPhaseOf(result) is not None:
        showSideBySide(result)


def showVolume(volume) -> None:
    """Show a volume in the slice views, if there is a main window."""
    if _layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=volume, fit=True)


def showSideBySide(result) -> None:
    """Show what was acquired on the left and the result on the right, in two linked views.

    The views lie along the slices; across them where slices were filled in.
    """
    layoutManager = _layoutManager()
    if layoutManager is None:
        return
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    orientation = "Axial" if sequences.acquiredSlicesOf(result) is None else "Coronal"
    for viewName, volume in (("Red", browsing.acquiredPhaseOf(result)), ("Yellow", browsing.shownVolumeOf(result))):
        view = layoutManager.sliceWidget(viewName)
        composite = view.mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetLinkedControl(True)
        view.mrmlSliceNode().SetOrientation(orientation)
        view.mrmlSliceNode().RotateToVolumePlane(volume)
        view.sliceLogic().FitSliceToBackground()


def lossChart(result) -> "slicer.vtkMRMLPlotChartNode":
    """Return a chart of the auxiliary loss before and after the adaptation, one pair of bars for each batch.

    Both losses are computed on the same random draws, which the adaptation does not learn from. An earlier chart of
    this result is removed from the scene.
    """
    scene = result.GetScene()
    _removeChart(result)
    name = _("{name} adaptation").format(name=result.GetName())
    before, after, kept = zip(*sequences.heldOutLossesOf(result))
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
    result.SetNodeReferenceID(_CHART, chart.GetID())
    return chart


def showLosses(result) -> None:
    """Show the chart of the adaptation in a layout with a plot."""
    showChart(lossChart(result))


def showCarried(carried) -> None:
    """Show what was carried in place of its source, the volumes over time, and the first map over the frames."""
    for source in {sequence.GetNodeReference(SOURCE) for sequence in carried.sequences} - {None}:
        if source.GetDisplayNode():
            source.GetDisplayNode().SetVisibility(False)
    if carried.measures is not None:
        showChart(carried.measures.chart)
    for sequence in list(carried.maps.values())[:1]:
        proxy = browsing.proxyOf(sequence)
        if _layoutManager() is not None:
            slicer.util.setSliceViewerLayers(foreground=proxy, foregroundOpacity=0.5)
        legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(proxy)
        if legend is not None:
            legend.SetVisibility(True)


def showChart(chart) -> None:
    """Show a chart in a layout with a plot, if there is a main window."""
    if _layoutManager() is not None:
        slicer.modules.plots.logic().ShowChartInLayout(chart)


def _column(array, name: str, values):
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array


def _removeChart(result) -> None:
    chart = result.GetNodeReference(_CHART)
    if chart is None:
        return
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    tables = {node.GetTableNode() for node in series}
    for node in [chart, *series, *tables]:
        if node is not None:
            browsing.remove(node)


def _layoutManager():
    application = getattr(slicer, "app", None)
    return application.layoutManager() if application else None
