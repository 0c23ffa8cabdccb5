"""Volumes of segments over time, and statistics of maps in them: as tables, a plot, and a CSV file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Optional, Sequence

import slicer
import vtk
from slicer.i18n import tr as _

from . import sequences, volumes

_CURVES = sequences.PREFIX + "Volumes"  # what a CSV file is written from, on the table of volumes


@dataclass(frozen=True)
class Row:
    """The statistics of a map in a segment of a frame."""

    segment: str
    percent: float
    map: str
    mean: float
    sd: float
    least: float
    most: float


@dataclass(frozen=True)
class Measures:
    """The nodes with what was measured.

    Parameters
    ----------
    volumes : vtkMRMLTableNode
        The volume of each segment (a column) in each frame (a row), in ml.
    summary : vtkMRMLTableNode
        End-diastolic, end-systolic and stroke volume and ejection fraction of each segment.
    chart : vtkMRMLPlotChartNode
        The volumes over time, with ED and ES marked.
    statistics : vtkMRMLTableNode or None
        Mean, standard deviation and range of each map in each segment and frame.
    others : tuple of vtkMRMLNode
        The series and tables of the chart.
    """

    volumes: object
    summary: object
    chart: object
    statistics: Optional[object]
    others: tuple[object, ...]

    @property
    def nodes(self) -> list:
        """All of them."""
        return [node for node in (self.volumes, self.summary, self.chart, self.statistics, *self.others)
                if node is not None]


def statistics(volume, name: str, labelsPath: str, segments, percent: float) -> list[Row]:
    """Return the statistics of a map in each segment of a frame.

    Parameters
    ----------
    volume : vtkMRMLScalarVolumeNode
        The map.
    name : str
        Its name.
    labelsPath : str
        Path of the label map of the frame, on the grid of the map.
    segments : segmentations.Segments
        What the numbers in the label map stand for.
    percent : float
        Position of the frame.
    """
    values, labels = volumes.arrayOf(volume), volumes.arrayOf(volumes.readLabelMap(labelsPath))
    rows = []
    for number, segment in enumerate(segments.names, start=1):
        inside = values[labels == number]
        if inside.size:
            rows.append(Row(segment, percent, name, *(float(value) for value in (
                inside.mean(), inside.std(), inside.min(), inside.max()))))
    return rows


def place(scene, name: str, curves: Sequence[dict], segments, percents: Sequence[float],
          rows: Sequence[Row]) -> Measures:
    """Put tables and a plot into the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    name : str
        Name of the segmentation.
    curves : sequence of dict
        The entry `volumes` of the engine's report.
    segments : segmentations.Segments
        What the labels of the curves stand for.
    percents : sequence of float
        Positions of the frames.
    rows : sequence of Row
        Statistics of maps.
    """
    curves = [{**curve, "name": segments.names[curve["label"] - 1]} for curve in curves]
    axis = _("phase (%)")
    table = _table(scene, _("{name} volumes (ml)").format(name=name),
                   {axis: percents, **{curve["name"]: curve["ml"] for curve in curves}})
    table.SetAttribute(_CURVES, json.dumps({"curves": curves, "percents": list(percents)}))
    summary = _table(scene, _("{name} ejection").format(name=name), {
        _("segment"): [curve["name"] for curve in curves],
        **{title: [curve[key] for curve in curves] for title, key in (
            (_("ED (ml)"), "ed_ml"), (_("ES (ml)"), "es_ml"), (_("stroke volume (ml)"), "stroke_volume_ml"),
            (_("ejection fraction (%)"), "ejection_fraction_percent"))},
        _("ED at (%)"): [percents[curve["ed_frame"]] for curve in curves],
        _("ES at (%)"): [percents[curve["es_frame"]] for curve in curves]})
    chart, others = _chart(scene, name, table, axis, curves, percents)
    found = None
    if rows:
        found = _table(scene, _("{name} statistics of the maps").format(name=name), {
            title: [getattr(row, key) for row in rows] for title, key in (
                (_("segment"), "segment"), (axis, "percent"), (_("map"), "map"), (_("mean"), "mean"), (_("SD"), "sd"),
                (_("minimum"), "least"), (_("maximum"), "most"))})
    return Measures(table, summary, chart, found, others)


def volumesTableOf(tables):
    """Return the table of volumes among some table nodes, or None."""
    return next((table for table in tables if table.GetAttribute(_CURVES)), None)


def writeCsv(table, path: str) -> None:
    """Write a table of volumes as a CSV file, one row for each segment and frame, with ED, ES and ejection fraction.

    Parameters
    ----------
    table : vtkMRMLTableNode
        A table that `place` has made.
    path : str
        Path of the file.
    """
    # Here and not above: Slicer starts without NumPy.
    from ttt4d.motion.volumes import VolumeCurve, write_table

    found = json.loads(table.GetAttribute(_CURVES))
    curves = [VolumeCurve(curve["label"], curve["name"], curve["ml"]) for curve in found["curves"]]
    with open(path, "w", newline="", encoding="utf-8") as file:
        write_table(file, curves, found["percents"], [n == 0 for n in range(len(found["percents"]))])


def _chart(scene, name: str, table, axis: str, curves, percents):
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", _("{name} volumes").format(name=name))
    chart.SetTitle(_("Volume over time"))
    chart.SetXAxisTitle(axis)
    chart.SetYAxisTitle(_("volume (ml)"))
    others = []
    for curve in curves:
        line = _series(scene, chart, curve["name"], table, axis, curve["name"])
        line.SetUniqueColor()
        marked = [curve["ed_frame"], curve["es_frame"]]
        column = _("{name} at ED and ES").format(name=curve["name"])
        points = _table(scene, column, {_("phase"): ["ED", "ES"], axis: [percents[n] for n in marked],
                                        column: [curve["ml"][n] for n in marked]})
        marks = _series(scene, chart, _("{name}: ED, ES (EF {ef:.1f} %)").format(
            name=curve["name"], ef=curve["ejection_fraction_percent"]), points, axis, column)
        marks.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleNone)
        marks.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleDiamond)
        marks.SetMarkerSize(12)
        marks.SetLabelColumnName(_("phase"))
        marks.SetColor(line.GetColor())
        others += [line, points, marks]
    return chart, tuple(others)


def _series(scene, chart, name: str, table, x: str, y: str):
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(x)
    series.SetYColumnName(y)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return series


def _table(scene, name: str, columns: dict):
    """Return a table node with columns of texts and numbers."""
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    for title, values in columns.items():
        array = vtk.vtkStringArray() if values and isinstance(values[0], str) else vtk.vtkDoubleArray()
        array.SetName(title)
        for value in values:
            array.InsertNextValue(value)
        table.AddColumn(array)
    table.SetUseFirstColumnAsRowHeader(False)
    return table
