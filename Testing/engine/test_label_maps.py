"""A label map lies where the image lies whose header it shares, in every format and with every oddity of a header."""

from __future__ import annotations

import bz2

import numpy as np
import pytest
import SimpleITK as sitk

from shell import thick_volume
from ttt4d.errors import InputError
from ttt4d.images.label_maps import read_label_map
from ttt4d.images.readers import read_volume
from ttt4d.images.resampling import to_sitk

nibabel = pytest.importorskip("nibabel")

LABELS = np.random.default_rng(0).integers(0, 4, (6, 7, 8)).astype(np.uint8)  # (i, j, k), as nibabel counts
AFFINE = np.array([[1.5, 0.2, 0, -20], [-0.2, 1.5, 0, -30], [0, 0, 5, -40], [0, 0, 0, 1.0]])


def disagreeing(made) -> None:
    moved = AFFINE.copy()
    moved[0, 3] += 6
    made.set_qform(moved, 1)
    made.set_sform(AFFINE, 2)


def without_codes(made) -> None:
    made.set_qform(None, 0)
    made.set_sform(None, 0)


def rounded(made) -> None:
    made.set_qform(None, 0)
    made.set_sform(np.round(AFFINE @ np.diag([1, 1, 1.0004, 1]), 3), 1)


def in_metres(made) -> None:
    made.set_sform(np.diag([0.001, 0.001, 0.001, 1]) @ AFFINE, 1)
    made.set_qform(None, 0)
    made.header.set_xyzt_units("meter")


@pytest.mark.parametrize("header", [disagreeing, without_codes, rounded, in_metres], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind, name", [
    (nibabel.Nifti1Image, "{}.nii.gz"), (nibabel.Nifti2Image, "{}.nii"), (nibabel.Nifti1Pair, "{}.hdr")])
def test_a_label_map_with_the_header_of_an_image_lies_where_the_image_lies(tmp_path, kind, name, header):
    for what, voxels in (("image", 100 * LABELS.astype(np.int16) + 7), ("labels", LABELS)):
        made = kind(voxels, AFFINE)
        header(made)
        nibabel.save(made, tmp_path / name.format(what))
    drawn, volume = read_label_map(str(tmp_path / name.format("labels"))), read_volume(tmp_path / name.format("image"))
    assert drawn.geometry == volume.geometry and np.array_equal(drawn.array, LABELS.T)


def test_a_nifti_file_that_says_that_it_is_a_label_map_is_one_and_no_image(tmp_path):
    made = nibabel.Nifti1Image(LABELS, AFFINE)
    made.header.set_intent("label")
    nibabel.save(made, tmp_path / "labels.nii")
    assert np.array_equal(read_label_map(str(tmp_path / "labels.nii")).array, LABELS.T)
    with pytest.raises(InputError, match="is a label map"):
        read_volume(tmp_path / "labels.nii")


@pytest.mark.parametrize("units, encoding", [("mm", "bzip2"), ("cm", "raw")])
def test_labels_in_nrrd_have_the_units_and_encodings_of_images(tmp_path, units, encoding):
    voxels = LABELS.T.tobytes()
    for name, extra in (("image", ""), ("labels", "Segment0_LabelValue:=1\nSegment0_Name:=wall\n")):
        text = (f"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 7 8\n"
                f"space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (4,5,6)\nencoding: {encoding}\n"
                f"space units: \"{units}\" \"{units}\" \"{units}\"\n{extra}\n")
        stored = bz2.compress(voxels) if encoding == "bzip2" else voxels
        (tmp_path / f"{name}.nrrd").write_bytes(text.encode() + stored)
    drawn = read_label_map(str(tmp_path / "labels.nrrd"))
    assert drawn.geometry == read_volume(tmp_path / "image.nrrd").geometry and np.array_equal(drawn.array, LABELS.T)
    assert drawn.geometry.spacing[0] == pytest.approx(30 if units == "cm" else 3)
    assert drawn.metadata["Segment0_Name"] == "wall"


@pytest.mark.parametrize("name", ["labels.mha", "labels.mhd", "labels.nrrd", "labels.nhdr", "labels.nii"])
def test_every_format_of_images_is_one_of_label_maps_and_no_other_is(tmp_path, name):
    volume = thick_volume(dtype="uint8")
    sitk.WriteImage(to_sitk(volume), str(tmp_path / name))
    drawn = read_label_map(str(tmp_path / name))
    assert np.array_equal(drawn.array, volume.array) and not drawn.geometry.differences(volume.geometry)
    sitk.WriteImage(to_sitk(volume), str(tmp_path / "labels.vtk"))
    with pytest.raises(InputError, match="no format of a label map: give NRRD"):
        read_label_map(str(tmp_path / "labels.vtk"))


def test_several_label_maps_in_one_file_are_refused(tmp_path):
    sitk.WriteImage(sitk.JoinSeries([to_sitk(thick_volume(dtype="uint8"))] * 2), str(tmp_path / "two.nii"))
    with pytest.raises(InputError, match="more than one label map"):
        read_label_map(str(tmp_path / "two.nii"))
