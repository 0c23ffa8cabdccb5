"""Volumes of segments over time, and statistics of maps in them: as tables, a plot, and a CSV file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Optional, Sequence

import slicer
import vtk
from slicer.i18n import tr as _

from ttt4d.errors import InputError

from . import sequences, volumes
from .segmentations import millilitres

_CURVES = sequences.PREFIX + "Volumes"  # what a CSV file is written from, on the table of volumes
_SUMMARY, _CHART = sequences.PREFIX + "Summary", sequences.PREFIX + "Chart"  # roles of the nodes beside that table
_ROUNDING_ML = 1e-4  # of the volumes in a report


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
    table = _table(scene, _("{name} volumes (ml)").format(name=name), _volumeColumns(curves, percents))
    _remember(table, curves, percents)
    summary = _table(scene, _("{name} ejection").format(name=name), _summaryColumns(curves, percents))
    table.SetNodeReferenceID(_SUMMARY, summary.GetID())
    chart, others = _chart(scene, name, table, axis, curves, percents)
    table.SetNodeReferenceID(_CHART, chart.GetID())
    found = None
    if rows:
        found = _table(scene, _("{name} statistics of the maps").format(name=name), {
            title: [getattr(row, key) for row in rows] for title, key in (
                (_("segment"), "segment"), (axis, "percent"), (_("map"), "map"), (_("mean"), "mean"), (_("SD"), "sd"),
                (_("minimum"), "least"), (_("maximum"), "most"))})
    return Measures(table, summary, chart, found, others)


def measureAgain(table, segmentations) -> bool:
    """Bring tables and plot to the segmentations as they are now, and return whether a volume has changed.

    A user may have corrected the segmentation of a frame since it was carried.

    Parameters
    ----------
    table : vtkMRMLTableNode
        A table of volumes that `place` has made.
    segmentations : vtkMRMLSequenceNode
        The segmentations that it tells of.

    Raises
    ------
    InputError
        If a segment of the table is no longer there under its name.
    """
    found = json.loads(table.GetAttribute(_CURVES))
    curves, percents = _counted(found["curves"], segmentations), found["percents"]
    if not _differ(curves, found["curves"]):
        return False
    _remember(table, curves, percents, edited=True)
    _fill(table, _volumeColumns(curves, percents))
    _fill(table.GetNodeReference(_SUMMARY), _summaryColumns(curves, percents))
    chart = table.GetNodeReference(_CHART)
    for number, curve in enumerate(curves):
        marks = chart.GetNthPlotSeriesNode(2 * number + 1)
        marks.SetName(_marksName(curve))
        _fill(marks.GetTableNode(), _markColumns(curve, percents))
    chart.Modified()
    return True


def isEdited(table, segmentations) -> bool:
    """Return whether a volume of the segmentations has changed since they were carried; see `measureAgain`."""
    found = json.loads(table.GetAttribute(_CURVES))
    try:
        return found.get("edited", False) or _differ(_counted(found["curves"], segmentations), found["curves"])
    except InputError:  # a segment has another name
        return True


def _counted(curves: Sequence[dict], segmentations) -> list[dict]:
    """Return curves anew, from the voxels of the segmentations as they are now."""
    # Here and not above: Slicer starts without NumPy.
    from ttt4d.motion.volumes import VolumeCurve

    frames = [millilitres(segmentations.GetNthDataNode(n)) for n in range(segmentations.GetNumberOfDataNodes())]
    counted = []
    for curve in curves:
        missing = next((number for number, frame in enumerate(frames) if curve["name"] not in frame), None)
        if missing is not None:
            raise InputError(_("{name} has no segment {segment} in frame {number} any more, whose volume was measured: "
                               "name it as before, or carry again.").format(
                                   name=segmentations.GetName(), segment=curve["name"], number=missing))
        counted.append(VolumeCurve(curve["label"], curve["name"], [frame[curve["name"]] for frame in frames]).to_json())
    return counted


def _differ(curves: Sequence[dict], others: Sequence[dict]) -> bool:
    return any(abs(new - old) > _ROUNDING_ML + 1e-6 * old for curve, other in zip(curves, others)
               for new, old in zip(curve["ml"], other["ml"]))


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
        column = _markTitle(curve)
        points = _table(scene, column, _markColumns(curve, percents))
        marks = _series(scene, chart, _marksName(curve), points, axis, column)
        marks.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleNone)
        marks.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleDiamond)
        marks.SetMarkerSize(12)
        marks.SetLabelColumnName(_("phase"))
        marks.SetColor(line.GetColor())
        others += [line, points, marks]
    return chart, tuple(others)


def _remember(table, curves: Sequence[dict], percents: Sequence[float], edited: bool = False) -> None:
    table.SetAttribute(_CURVES, json.dumps({"curves": curves, "percents": list(percents), "edited": edited}))


def _volumeColumns(curves: Sequence[dict], percents: Sequence[float]) -> dict:
    return {_("phase (%)"): percents, **{curve["name"]: curve["ml"] for curve in curves}}


def _summaryColumns(curves: Sequence[dict], percents: Sequence[float]) -> dict:
    return {
        _("segment"): [curve["name"] for curve in curves],
        **{title: [curve[key] for curve in curves] for title, key in (
            (_("ED (ml)"), "ed_ml"), (_("ES (ml)"), "es_ml"), (_("stroke volume (ml)"), "stroke_volume_ml"),
            (_("ejection fraction (%)"), "ejection_fraction_percent"))},
        _("ED at (%)"): [percents[curve["ed_frame"]] for curve in curves],
        _("ES at (%)"): [percents[curve["es_frame"]] for curve in curves]}


def _markColumns(curve: dict, percents: Sequence[float]) -> dict:
    marked = [curve["ed_frame"], curve["es_frame"]]
    return {_("phase"): ["ED", "ES"], _("phase (%)"): [percents[n] for n in marked],
            _markTitle(curve): [curve["ml"][n] for n in marked]}


def _markTitle(curve: dict) -> str:
    return _("{name} at ED and ES").format(name=curve["name"])


def _marksName(curve: dict) -> str:
    return _("{name}: ED, ES (EF {ef:.1f} %)").format(name=curve["name"], ef=curve["ejection_fraction_percent"])


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
    _fill(table, columns)
    table.SetUseFirstColumnAsRowHeader(False)
    return table


def _fill(table, columns: dict) -> None:
    """Give a table node these columns in place of those that it has."""
    table.RemoveAllColumns()
    for title, values in columns.items():
        array = vtk.vtkStringArray() if values and isinstance(values[0], str) else vtk.vtkDoubleArray()
        array.SetName(title)
        for value in values:
            array.InsertNextValue(value)
        table.AddColumn(array)
