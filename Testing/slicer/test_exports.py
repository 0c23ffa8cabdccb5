"""What is taken away: films, models of each frame, and DICOM series. Pillow, VTK and pydicom are the judges."""

from __future__ import annotations

import os
import sys
import types

import numpy as np
import pytest
import qt
import slicer
import vtk

import tools
from ttt4d.errors import InputError, OutputError
from ttt4d.images.formats.dicom_voxels import write_file
from TTTInterpolationLib import browsing, exports, films, sequences
from TTTInterpolationLib.carry_transfer import FRAMES, SOURCE

pydicom = pytest.importorskip("pydicom")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def frames(scene):
    """Three frames in a browser: acquired, synthetic, acquired."""
    (first, *_others), frames = tools.built(scene, tools.SMALL)
    browsing.browse(frames, like=first)
    return frames


@pytest.fixture
def models(scene, frames):
    """A carried model of each frame."""
    sequence = sequences.newSequence("wall (LV)")
    for n, radius in enumerate((5, 4, 3)):
        sphere = vtk.vtkSphereSource()
        sphere.SetRadius(radius)
        sphere.Update()
        node = slicer.vtkMRMLModelNode()
        node.SetAndObservePolyData(sphere.GetOutput())
        sequences.addItem(sequence, node, 50 * n, acquired=n == 0)
    sequence = browsing.place(scene, sequence)
    sequences.annotate(sequence, tools.REPORT, [])
    sequence.SetNodeReferenceID(FRAMES, frames.GetID())
    sequence.SetNodeReferenceID(SOURCE, frames.GetID())
    return sequence


def capture_of(frames):
    """Saves the middle slice of the frame that is shown, as Screen Capture saves a view."""
    def capture(path: str) -> None:
        array = slicer.util.arrayFromVolume(browsing.proxyOf(frames))
        Image.fromarray(np.clip(array[len(array) // 2] / 4, 0, 255).astype(np.uint8)).save(path)

    return capture


def test_a_film_has_one_picture_a_frame_each_with_its_caption_and_leaves_the_browser_as_it_was(frames, tmp_path):
    browser = browsing.browserOf(frames)
    browser.SetSelectedItemNumber(2)
    path = str(tmp_path / "film.gif")
    assert films.save(frames, path, capture=capture_of(frames)) == 3
    assert browser.GetSelectedItemNumber() == 2
    height, width = slicer.util.arrayFromVolume(browsing.proxyOf(frames)).shape[1:]
    with Image.open(path) as film:
        assert film.n_frames == 3 and film.size == (width, height + 24)
        film.seek(1)
        captions = np.asarray(film.convert("L"))[height:]
        assert captions.max() > 200, "the caption is there"
        assert film.info["duration"] == pytest.approx(1000 / browser.GetPlaybackRateFps(), abs=10)


def test_a_film_of_a_kind_that_cannot_be_made_is_refused_before_anything_is_captured(frames, tmp_path):
    for name, words in (("film.avi", "end it in .gif or .mp4"), ("film.mp4", "ffmpeg")):
        with pytest.raises(OutputError, match=words):
            films.save(frames, str(tmp_path / name), capture=lambda path: pytest.fail("captured"))


@pytest.mark.parametrize("ending, reader", [("stl", vtk.vtkSTLReader), ("ply", vtk.vtkPLYReader),
                                            ("vtk", vtk.vtkPolyDataReader)])
def test_models_are_saved_one_file_a_frame_with_equal_vertex_counts_and_marks(frames, models, tmp_path, ending, reader):
    assert exports.modelSequencesOf(frames) == [models]
    paths = exports.saveModels([models], str(tmp_path), ending)
    assert [os.path.basename(path) for path in paths] == [
        f"wall__LV__00{n}_{mark}.{ending}" for n, mark in enumerate(("acquired", "synthetic", "synthetic"))]
    counts = set()
    for path in paths:
        read = reader()
        read.SetFileName(path)
        read.Update()
        counts.add(read.GetOutput().GetNumberOfPoints())
    assert len(counts) == 1 and counts.pop() > 10
    assert "Not for clinical use" in (tmp_path / "about.json").read_text(encoding="utf-8")


def test_the_dicom_series_is_in_the_study_in_order_marked_and_added_to_the_database(frames, tmp_path, monkeypatch):
    source = pydicom.Dataset()
    source.SOPClassUID, source.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"
    source.StudyInstanceUID, source.PatientID, source.PatientName, source.Modality = "1.2.3", "p66", "A^B", "MR"
    source.SliceThickness = 6
    given = str(tmp_path / "given.dcm")
    write_file(source, given)
    imported = []
    database = types.SimpleNamespace(isOpen=True, fileForInstance={"1.2.3.4": given}.get)
    utilities = types.SimpleNamespace(importDicom=lambda folder, database: imported.append(folder))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    monkeypatch.setitem(sys.modules, "DICOMLib", types.SimpleNamespace(DICOMUtils=utilities))
    frames.GetNthNodeReference(sequences.INPUT, 0).SetAttribute("DICOM.instanceUIDs", "1.2.3.4 1.2.3.5")
    path = str(tmp_path / "frames.dcm")
    exports.saveDicom(frames, path)
    assert imported == [path]
    assert all(pydicom.dcmread(os.path.join(path, name)).SliceThickness == 6 for name in os.listdir(path))
    read = [pydicom.dcmread(os.path.join(path, name)) for name in sorted(os.listdir(path))]
    slices = slicer.util.arrayFromVolume(frames.GetNthDataNode(0)).shape[0]
    assert len(read) == 3 * slices
    assert {dataset.StudyInstanceUID for dataset in read} == {"1.2.3"} and read[0].PatientID == "p66"
    assert len({dataset.SeriesInstanceUID for dataset in read}) == 1
    for number, mark in enumerate(("acquired", "synthetic", "acquired")):
        of_frame = [dataset for dataset in read if dataset.TemporalPositionIdentifier == number + 1]
        assert all(f"ttt4d.frame={mark}" in dataset.ImageComments for dataset in of_frame)
        stack = np.stack([dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
                          for dataset in sorted(of_frame, key=lambda dataset: int(dataset.InstanceNumber))])
        assert np.array_equal(stack, slicer.util.arrayFromVolume(frames.GetNthDataNode(number)))


def test_computed_slices_are_not_saved_as_dicom(frames, tmp_path):
    frames.SetAttribute("ttt4d.slices", "0 2 4")
    frames.SetAttribute("ttt4d.slices.axis", "k")
    with pytest.raises(InputError, match="cannot be marked one by one"):
        exports.saveDicom(frames, str(tmp_path / "frames.dcm"))


def test_the_panel_saves_what_there_is_and_disables_what_there_is_not(panels, frames, shown, tmp_path, monkeypatch):
    panel = panels()
    ui = panel.ui
    assert not (ui.saveFilmButton.enabled or ui.saveModelsButton.enabled or ui.saveDicomButton.enabled)
    panel.choices.outputSequence = frames
    assert ui.saveFilmButton.enabled and ui.saveDicomButton.enabled and not ui.saveModelsButton.enabled
    monkeypatch.setattr(films, "_captureOf", lambda view: capture_of(frames))
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(tmp_path / "film.gif"))
    ui.saveFilmButton.click()
    assert not shown and "3 pictures saved" in ui.statusLabel.text and (tmp_path / "film.gif").is_file()
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(tmp_path / "frames.dcm"))
    ui.saveDicomButton.click()
    assert not shown and "new study without the elements of a patient" in ui.statusLabel.text
