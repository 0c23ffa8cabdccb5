"""`ttt4d slices` on DICOM series: slices that are not evenly spaced, or not of one stack."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from shell import thick_volume
from test_dicom import series
from test_slices_command import fill, in_the_users_folder, label_map, refused  # noqa: F401
from ttt4d.commands import cli

HEIGHTS = [0.0, 4.0, 12.0, 16.0, 20.0, 24.0]  # of six slices, one missing


def uneven_series(folder, heights, volume: np.ndarray, **elements) -> str:
    """A DICOM series whose slices lie at given heights."""
    return series(folder, volume, each=lambda k: {"ImagePositionPatient": [-30.0, 20.0, 5.0 + heights[k]]}, **elements)


def test_slices_that_are_not_evenly_spaced_are_each_taken_where_they_lie(fill, capfd):
    volume = thick_volume((6, 20, 22), (4.0, 1.5, 1.25)).array
    uneven_series("in", HEIGHTS, volume, SliceThickness=1)
    fill("in", "-o", "out.nrrd", "--spacing", "2", "--auxiliary", "none", "--report", "r.json")
    assert "not evenly spaced (from 4 to 8 mm): each is taken where it lies" in capfd.readouterr().err
    image = sitk.ReadImage("out.nrrd")
    assert image.GetSize()[2] == 13 and image.GetSpacing()[2] == pytest.approx(2)
    acquired = [int(n) for n in image.GetMetaData("ttt4d.slices").split()]
    assert acquired == [0, 2, 6, 8, 10, 12] == json.load(open("r.json"))["slices"]["acquired"]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[acquired], volume)
    for number, height in zip(acquired, HEIGHTS):
        place = image.TransformIndexToPhysicalPoint((0, 0, number))
        np.testing.assert_allclose(place, (-30.0, 20.0, 5.0 + height), atol=1e-4)


def test_what_lies_between_uneven_slices_is_a_straight_line_where_the_volume_is_one(fill):
    """A ramp along the slices comes out as a ramp, which it would not if the slices counted as even."""
    texture = np.random.default_rng(0).integers(0, 300, (20, 22))
    ramp = (np.array([10 * h for h in HEIGHTS])[:, None, None] + texture).astype(np.int16)
    uneven_series("in", HEIGHTS, ramp, SliceThickness=1)
    fill("in", "-o", "out.nii.gz", "--factor", "5", "--slices", "gap", "--auxiliary", "none")
    result = sitk.GetArrayFromImage(sitk.ReadImage("out.nii.gz"))
    truth = np.linspace(0, 240, len(result)) + texture[10, 10]
    error = np.abs(result[:, 10, 10] - truth).max()
    even = np.abs(np.interp(np.linspace(0, 5, len(result)), np.arange(6), ramp[:, 10, 10]) - truth).max()
    assert len(result) == 26 and error < 0.5 * even


def test_interpolate_refuses_slices_that_are_not_evenly_spaced_and_names_the_way(capfd, slice_weights):
    uneven_series("in", HEIGHTS, thick_volume((6, 20, 22)).array)
    assert cli.run(["interpolate", "in", "in", "-o", "out.nii.gz"]) == 2
    assert "not evenly spaced (from 4 to 8 mm, as if a slice is missing)" in capfd.readouterr().err


@pytest.mark.parametrize("heights, words", [([0, 4, 8, 12, 36, 40], "not of one stack"),
                                            ([0, 4, 12, 16, 20, 24], "leave out the labels")])
def test_blocks_apart_and_labels_on_uneven_slices_are_refused(heights, words, capfd, slice_weights):
    uneven_series("in", [float(h) for h in heights], thick_volume((6, 20, 22)).array)
    label_map("organs.nrrd")
    refused(capfd, slice_weights, words, "in", "-o", "out.nrrd", "--factor", "2", "--labels", "organs.nrrd",
            "--labels-out", "new.nrrd")


def test_phases_with_slices_at_other_places_are_refused(capfd, slice_weights):
    for number, heights in enumerate((HEIGHTS, [0.0, 4.0, 8.0, 16.0, 20.0, 24.0])):
        uneven_series(f"in/{number}", heights, thick_volume((6, 20, 22)).array, series=f"1.2.826.{number}")
    refused(capfd, slice_weights, "lie elsewhere in some of its phases", "in", "-o", "out.seq.nrrd", "--factor", "2")


def test_slices_that_are_not_parallel_are_refused(capfd, slice_weights):
    series("in", thick_volume((6, 20, 22)).array, each=lambda k: {
        "ImageOrientationPatient": [1, 0, 0, 0, *((0.8, 0.6) if k % 2 else (1, 0))]})
    refused(capfd, slice_weights, "2 different sizes or orientations", "in", "-o", "out.nrrd", "--factor", "2")
