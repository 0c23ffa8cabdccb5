"""Segmentations, models and markups of phase 0 carried to every frame, volumes over time, and maps: on real MRML."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections import Counter

import numpy as np
import pytest
import slicer
import vtk

import tools
from ttt4d.errors import InputError
from ttt4d.settings import AdaptationSettings, InterpolationSettings
from ttt4d.temporal.phantom import CARDIAC_STACK, BeatingHeart
from ttt4d.weights import names as packaged_weights
from TTTInterpolationLib import browsing, carry_transfer, exports, measures, review, sequences, volumes
from TTTInterpolationLib.logic import TTTInterpolationLogic
from TTTInterpolationLib.parameters import MapChoice
from TTTInterpolationLib.segmentations import Segments

GRID = tools.Geometry((7, 40, 44), (6.0, 2.0, 2.0), (-46.0, -38.0, -16.0))


@pytest.fixture
def result(scene, weights):
    """Four frames between two phases of the phantom, with the settings that they were computed with."""
    pair = tools.heart(scene, GRID)
    settings = InterpolationSettings(frames=2, weights=weights, device="cpu",
                                     adaptation=AdaptationSettings(auxiliary="none"))
    built = sequences.newSequence("frames")
    for n in range(4):
        sequences.addItem(built, pair[0], 100 * n / 3, acquired=n in (0, 3))
    frames = browsing.place(scene, built)
    sequences.annotate(frames, {**tools.REPORT, "settings": settings.to_json()}, pair)
    browsing.browse(frames, like=pair[0])
    return frames


@pytest.fixture
def drawn(scene, result):
    """Two segments on phase 0."""
    volume = result.GetNthNodeReference(sequences.INPUT, 0)
    k, j, i = np.indices(slicer.util.arrayFromVolume(volume).shape)
    radius = np.hypot((j - 20) * 2, (i - 22) * 2)
    return tools.add_segmentation(scene, volume, {
        "cavity": (radius < 14) & (k > 0), "wall": (radius >= 14) & (radius < 24) & (k > 0)})


def columns_of(table) -> dict:
    table = table.GetTable()
    return {table.GetColumnName(n): [table.GetValue(row, n).ToString() for row in range(table.GetNumberOfRows())]
            for n in range(table.GetNumberOfColumns())}


def voxels_of(segmentation, name, volume) -> np.ndarray:
    identity = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identity, volume)


def test_a_segmentation_becomes_one_a_frame_with_volumes_models_maps_and_statistics(scene, result, drawn, tmp_path):
    carried = TTTInterpolationLogic().carry(result, drawn, models=True, maps=("displacement", "jacobian"),
                                            temporaryFolder=str(tmp_path))
    assert os.listdir(tmp_path) == []
    segmentation, cavity, wall = carried.sequences
    volume, browser = result.GetNthNodeReference(sequences.INPUT, 0), browsing.browserOf(result)
    for sequence in (*carried.sequences, *carried.maps.values(), carried.displacements):
        assert [sequence.GetNthIndexValue(n) for n in range(4)] == [result.GetNthIndexValue(n) for n in range(4)]
        assert browsing.browserOf(sequence) is browser

    # The first frame is what was drawn; the table holds what Slicer counts in each frame.
    table = columns_of(carried.measures.volumes)
    voxel_ml = np.prod(volume.GetSpacing()) / 1000
    for name in ("cavity", "wall"):
        assert np.array_equal(voxels_of(segmentation.GetNthDataNode(0), name, volume), voxels_of(drawn, name, volume))
        for n in range(4):
            item = segmentation.GetNthDataNode(n)
            assert item.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"
            counted = voxels_of(item, name, volume).astype(bool).sum() * voxel_ml
            assert float(table[name][n]) == pytest.approx(counted, rel=1e-3)
            surface = item.GetClosedSurfaceInternalRepresentation(
                item.GetSegmentation().GetSegmentIdBySegmentName(name))
            assert surface.GetNumberOfPoints() > 100
    summary = columns_of(carried.measures.summary)
    largest, smallest = (function(map(float, table["cavity"])) for function in (max, min))
    assert float(summary["ejection fraction (%)"][0]) == pytest.approx(100 * (largest - smallest) / largest, abs=0.01)

    # Models: the same points and triangles in every frame.
    for sequence in (cavity, wall):
        first, last = (sequence.GetNthDataNode(n).GetPolyData() for n in (0, 3))
        assert first.GetNumberOfPoints() == last.GetNumberOfPoints() > 100
        assert first.GetPolys().GetNumberOfCells() == last.GetPolys().GetNumberOfCells()

    # Maps: nothing moves in frame 0, and a legend says what the colours are.
    assert np.abs(slicer.util.arrayFromVolume(carried.maps["displacement"].GetNthDataNode(0))).max() < 1e-3
    assert np.allclose(slicer.util.arrayFromVolume(carried.maps["jacobian"].GetNthDataNode(0)), 1, atol=1e-3)
    proxy = browsing.proxyOf(carried.maps["jacobian"])
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(proxy)
    assert "Jacobian" in legend.GetTitleText()
    assert proxy.GetDisplayNode().GetLevel() == pytest.approx(1)
    statistics = columns_of(carried.measures.statistics)
    assert len(statistics["mean"]) == 2 * 2 * 4
    inside = voxels_of(segmentation.GetNthDataNode(3), "wall", volume).astype(bool)
    mean = slicer.util.arrayFromVolume(carried.maps["jacobian"].GetNthDataNode(3))[inside].mean()
    row, = (n for n in range(16) if (statistics["segment"][n], statistics["map"][n], statistics["phase (%)"][n]) == (
        "wall", "jacobian", "100"))
    assert float(statistics["mean"][row]) == pytest.approx(mean, rel=1e-5)

    # The plot marks ED and ES of each segment.
    chart = carried.measures.chart
    titles = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert titles[0] == "cavity" and titles[1].startswith("cavity: ED, ES (EF") and len(titles) == 4
    path = str(tmp_path / "volumes.csv")
    measures.writeCsv(carried.measures.volumes, path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and [float(row["volume_ml"]) for row in rows[:4]] == pytest.approx(
        [float(ml) for ml in table["cavity"]], abs=1e-3)


def test_the_volumes_are_those_of_slicers_segment_statistics(result, drawn):
    statistics = pytest.importorskip("SegmentStatistics", reason="the module Segment Statistics is in 3D Slicer only")
    carried = TTTInterpolationLogic().carry(result, drawn)
    segmentation, browser = carried.sequences[0], browsing.browserOf(result)
    table = columns_of(carried.measures.volumes)
    logic = statistics.SegmentStatisticsLogic()
    logic.getParameterNode().SetParameter("Segmentation", browser.GetProxyNode(segmentation).GetID())
    for n in range(4):
        browser.SetSelectedItemNumber(n)
        logic.computeStatistics()
        found = logic.getStatistics()
        volumes_ml = {found[identity, "Segment"]: found[identity, "LabelmapSegmentStatisticsPlugin.volume_cm3"]
                      for identity in found["SegmentIDs"]}
        assert volumes_ml == pytest.approx({name: float(table[name][n]) for name in ("cavity", "wall")}, rel=0.01)


def test_an_edit_in_one_frame_touches_no_other_and_a_second_carry_replaces_the_first(scene, result, drawn):
    logic = TTTInterpolationLogic()
    carried = logic.carry(result, drawn)
    segmentation, volume = carried.sequences[0], result.GetNthNodeReference(sequences.INPUT, 0)
    browser = browsing.browserOf(result)
    proxy = browser.GetProxyNode(segmentation)
    before = [voxels_of(segmentation.GetNthDataNode(n), "cavity", volume).copy() for n in range(4)]
    browser.SetSelectedItemNumber(1)
    identity = proxy.GetSegmentation().GetSegmentIdBySegmentName("cavity")
    edited = before[1].copy()
    edited[3, 2:6, 2:6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, proxy, identity, volume)
    browser.SetSelectedItemNumber(2)
    browser.SetSelectedItemNumber(1)
    assert np.array_equal(voxels_of(proxy, "cavity", volume), edited)
    for n in (0, 2, 3):
        browser.SetSelectedItemNumber(n)
        assert np.array_equal(voxels_of(proxy, "cavity", volume), before[n])
    # Volumes, plot and CSV are those of what the user has corrected.
    table, of = carry_transfer.measuredOf(result, drawn)
    assert of is segmentation and measures.isEdited(table, of) and measures.measureAgain(table, of)
    assert not measures.measureAgain(table, of) and measures.isEdited(table, of)
    voxel = float(np.prod(volume.GetSpacing())) / 1000
    columns, added = columns_of(table), int((edited > 0).sum() - (before[1] > 0).sum())
    assert added and float(columns["cavity"][1]) == pytest.approx((edited > 0).sum() * voxel, rel=1e-5)
    summary = columns_of(table.GetNodeReference(sequences.PREFIX + "Summary"))
    ml = [float(text) for text in columns["cavity"]]
    assert float(summary["ejection fraction (%)"][0]) == pytest.approx(100 * (1 - min(ml) / max(ml)), abs=0.01)
    marks = carried.measures.chart.GetNthPlotSeriesNode(1)
    assert marks.GetName() == f"cavity: ED, ES (EF {100 * (1 - min(ml) / max(ml)):.1f} %)"
    assert sorted(map(float, columns_of(marks.GetTableNode())["cavity at ED and ES"])) == pytest.approx(
        [min(ml), max(ml)], abs=1e-3)

    def kinds():
        return Counter(scene.GetNthNode(n).GetClassName() for n in range(scene.GetNumberOfNodes()))

    before = kinds()
    logic.carry(result, drawn)
    assert kinds() - before == before - kinds() == Counter(), "what was carried before is replaced"
    assert not measures.isEdited(*carry_transfer.measuredOf(result, drawn))


@pytest.mark.skipif(tools.IN_SLICER, reason="a second scene beside the application's is for the host")
def test_what_was_carried_comes_back_with_a_saved_scene(panels, scene, result, drawn, weights, tmp_path):
    panel = panels()
    panel.choices.outputSequence, panel.choices.carrySource = result, drawn
    panel.choices.carry.maps = MapChoice.jacobian
    carried = TTTInterpolationLogic().carry(result, drawn, models=True, maps=("jacobian",), weights=weights)
    table = columns_of(carried.measures.volumes)
    volume = result.GetNthNodeReference(sequences.INPUT, 0)
    voxels = [voxels_of(carried.sequences[0].GetNthDataNode(n), "cavity", volume).sum() for n in range(4)]
    points = carried.sequences[1].GetNthDataNode(2).GetPolyData().GetPoint(7)
    path = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(path)
    scene.Clear(0)
    assert scene.ReadFromMRB(path)
    choices, frames = panel.choices, panel.choices.outputSequence
    assert choices.carrySource.GetName() == "drawn" and choices.carry.maps is MapChoice.jacobian
    found = carry_transfer.carriedOf(frames, "vtkMRMLSequenceNode")
    kinds = Counter(sequence.GetNthDataNode(0).GetClassName() for sequence in found)
    assert kinds == {"vtkMRMLSegmentationNode": 1, "vtkMRMLModelNode": 2, "vtkMRMLScalarVolumeNode": 1}
    segmentation, = (node for node in found if node.GetNthDataNode(0).IsA("vtkMRMLSegmentationNode"))
    volume = frames.GetNthNodeReference(sequences.INPUT, 0)
    assert [voxels_of(segmentation.GetNthDataNode(n), "cavity", volume).sum() for n in range(4)] == voxels
    model = next(node for node in exports.modelSequencesOf(frames) if node.GetName().startswith("cavity"))
    assert np.allclose(model.GetNthDataNode(2).GetPolyData().GetPoint(7), points, atol=1e-3)
    assert browsing.displacementsOf(frames) is not None and panel.ui.volumePlotButton.enabled
    assert not measures.isEdited(*carry_transfer.measuredOf(frames, choices.carrySource))
    read = measures.volumesTableOf(carry_transfer.carriedOf(frames, "vtkMRMLTableNode"))
    assert list(map(float, columns_of(read)["cavity"])) == pytest.approx(list(map(float, table["cavity"])))


def test_models_and_markups_land_where_the_displacements_put_them(scene, result):
    volume = result.GetNthNodeReference(sequences.INPUT, 0)
    turned = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    turned.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(
        np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])))
    volume.SetAndObserveTransformNodeID(turned.GetID())
    points = [(4.0, 6.0, 2.0), (-10.0, 3.0, 5.0)]
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
    for point in points:
        markups.AddControlPoint(vtk.vtkVector3d(*point))
    markups.SetAndObserveTransformNodeID(turned.GetID())
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(-5, 10, 9)
    sphere.SetRadius(10)
    sphere.Update()
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "sphere")
    model.SetAndObservePolyData(sphere.GetOutput())  # in the world, not under the transform of the phases
    logic = TTTInterpolationLogic()
    moved = logic.carry(result, markups)
    displacement = moved.displacements.GetNthDataNode(3).GetTransformToParent()
    found = moved.sequences[0].GetNthDataNode(3)
    for n, point in enumerate(points):
        assert np.allclose(found.GetNthControlPointPosition(n), displacement.TransformPoint(point), atol=1e-3)
    carried = logic.carry(result, model)
    assert carried.displacements is moved.displacements, "computed once"
    surface = browsing.proxyOf(carried.sequences[0])
    browsing.browserOf(result).SetSelectedItemNumber(3)
    world = [0.0, 0.0, 0.0]
    for n in (0, 17):
        local = turned.GetTransformFromParent().TransformPoint(sphere.GetOutput().GetPoint(n))
        world = turned.GetTransformToParent().TransformPoint(displacement.TransformPoint(local))
        here = turned.GetTransformToParent().TransformPoint(surface.GetPolyData().GetPoint(n))
        assert surface.GetTransformNodeID() == turned.GetID() and np.allclose(here, world, atol=1e-3)


@pytest.mark.skipif("cardiac" not in packaged_weights(), reason="the cardiac weights are not there")
def test_volumes_ejection_fraction_and_jacobian_are_those_of_a_heart_whose_truth_is_known(scene):
    """At every frame of five phases and of those between them, though the pace is not the one that was learned."""
    heart = BeatingHeart.within(CARDIAC_STACK, s_curve=False)
    times = np.linspace(0, 1, 9)
    phases = [scene.AddNode(volumes.fromEngine(heart.frame(CARDIAC_STACK, time))) for time in times[::2]]
    node = segmented(scene, heart, phases[0])
    logic, voxel_ml = TTTInterpolationLogic(), np.prod(CARDIAC_STACK.spacing) / 1000
    cine = sequences.newSequence("phases")
    for phase, time in zip(phases, times[::2]):
        sequences.addItem(cine, phase, 100 * time, acquired=True)
    settings = InterpolationSettings(frames=1, device="cpu", adaptation=AdaptationSettings(auxiliary="none"))
    frames = logic.processSequence(browsing.place(scene, cine), settings=settings)
    carried = logic.carry(frames, node, maps=("jacobian",))
    found = np.asarray(columns_of(carried.measures.volumes)["LV"], float)
    # The truth is counted on a finer grid, so that its own rounding to voxels does not count.
    fine = finer(CARDIAC_STACK, 4)
    truth = np.array([ventricle(heart, fine, time).sum() for time in times])
    assert found / found[0] == pytest.approx(truth / truth[0], rel=0.02) and list(found) == sorted(found, reverse=True)
    fraction = float(columns_of(carried.measures.summary)["ejection fraction (%)"][0])
    assert fraction == pytest.approx(100 * (1 - truth[-1] / truth[0]), abs=1)
    for n in range(len(times)):
        inside = voxels_of(carried.sequences[0].GetNthDataNode(n), "LV", phases[0]).astype(bool)
        jacobian = slicer.util.arrayFromVolume(carried.maps["jacobian"].GetNthDataNode(n))[inside]
        assert (1 / jacobian).sum() * voxel_ml == pytest.approx(found[0], rel=0.02), "back to the volume of phase 0"


@pytest.mark.skipif("cardiac" not in packaged_weights(), reason="the cardiac weights are not there")
def test_from_two_phases_volumes_are_right_at_both_and_about_right_between(scene):
    """Two phases do not tell when between them the heart moves fastest: the pace is a learned one."""
    heart = BeatingHeart.within(CARDIAC_STACK, s_curve=False)
    pair = [scene.AddNode(volumes.fromEngine(heart.frame(CARDIAC_STACK, time))) for time in (0.0, 1.0)]
    logic, voxel_ml = TTTInterpolationLogic(), np.prod(CARDIAC_STACK.spacing) / 1000
    frames = logic.process(*pair, settings=InterpolationSettings(frames=3, device="cpu"))
    carried = logic.carry(frames, segmented(scene, heart, pair[0]))
    found = list(map(float, columns_of(carried.measures.volumes)["LV"]))
    truth = [ventricle(heart, CARDIAC_STACK, time).sum() * voxel_ml for time in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert [found[0], found[-1]] == pytest.approx([truth[0], truth[-1]], rel=0.02)
    assert found == pytest.approx(truth, rel=0.05) and found == sorted(found, reverse=True)


def segmented(scene, heart, phase):
    """Return a segmentation of the left ventricle on the first phase of a beating heart."""
    return tools.add_segmentation(scene, phase, {"LV": ventricle(heart, CARDIAC_STACK, 0.0)})


def ventricle(heart, geometry, time: float) -> np.ndarray:
    """Return where the left ventricle of a beating heart is at a time, on a grid."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    moved = heart.move(geometry.index_to_world(index), time, 0.0)
    z, y, x = np.moveaxis((moved - heart.center) @ np.asarray(heart.axes).T, -1, 0)
    along = z / heart.length
    return np.sqrt((y / heart.radius) ** 2 + (x / heart.radius) ** 2 + (0.5 * along) ** 2) + 0.1 * along < 0.55


def finer(geometry, times: int):
    """Return the grid that cuts each voxel into `times` ** 3."""
    first = geometry.index_to_world(np.full(3, 0.5 / times - 0.5))
    return dataclasses.replace(geometry, shape=tuple(times * n for n in geometry.shape),
                               spacing=tuple(s / times for s in geometry.spacing), origin=tuple(first.tolist()))


def test_segments_of_one_name_have_a_column_each():
    segments = [slicer.vtkSegment() for _n in range(3)]
    for segment, name in zip(segments, ("wall", "cavity", "wall")):
        segment.SetName(name)
    assert Segments(("a", "b", "c"), tuple(segments)).names == ["wall", "cavity", "wall (3)"]


def test_what_cannot_be_carried_is_said(scene, result, pair):
    logic, empty = TTTInterpolationLogic(), scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    for words, arguments in [("no frames yet", (None, empty)), ("empty has no segments", (result, empty)),
                             ("nothing that can be carried", (result, pair[0])), ("Choose a segmentation", (result,))]:
        with pytest.raises(InputError, match=words):
            logic.carry(*arguments)
    scene.RemoveNode(result.GetNthNodeReference(sequences.INPUT, 1))
    with pytest.raises(InputError, match="no longer in the scene"):
        logic.carry(result, maps=("jacobian",))
    scene.RemoveNode(browsing.browserOf(result))
    with pytest.raises(InputError, match="no sequence browser any more"):
        logic.carry(result, maps=("jacobian",))


def test_the_panel_carries_shows_progress_and_can_be_cancelled(panels, result, drawn, shown, tmp_path, monkeypatch):
    panel = panels()
    choices, ui = panel.choices, panel.ui
    assert not ui.carryButton.enabled and "press Apply first" in ui.carryButton.toolTip
    choices.outputSequence, choices.carrySource = result, drawn
    choices.carry.maps = MapChoice.confidence
    choices.advanced.temporaryFolder = str(tmp_path)
    before = tools.contents(slicer.mrmlScene)
    assert ui.carryButton.enabled and not ui.volumePlotButton.enabled
    ui.carryButton.click()
    assert panel.running and ui.applyButton.text == "Cancel" and not ui.carryButton.enabled
    ui.applyButton.click()
    tools.turn_until(lambda: not panel.running)
    assert tools.contents(slicer.mrmlScene) == before and not shown
    ui.carryButton.click()
    tools.turn_until(lambda: not panel.running)
    assert not shown and "drawn carried" in ui.statusLabel.text and os.listdir(tmp_path) == []
    assert ui.volumePlotButton.enabled and ui.saveTableButton.enabled
    assert choices.outputSequence is result
    assert carry_transfer.carriedOf(result, "vtkMRMLSequenceNode")

    # A correction of one frame: the plot is measured again, and it is not lost without a question.
    _table, segmentations_ = carry_transfer.measuredOf(result)
    edited = segmentations_.GetNthDataNode(2)
    edited.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap").GetPointData().GetScalars().Fill(0)
    asked, plotted = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text))
    monkeypatch.setattr(review, "showChart", plotted.append)
    ui.volumePlotButton.click()
    assert len(plotted) == 1 and float(columns_of(_table)["cavity"][2]) == 0
    ui.carryButton.click()
    assert len(asked) == 1 and "were edited" in asked[0] and not panel.running and not shown
