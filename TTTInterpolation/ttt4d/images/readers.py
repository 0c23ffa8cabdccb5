"""Volumes and sequences out of files and folders of any kind, with the checks that all kinds share."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np
import SimpleITK as sitk

from ..errors import GeometryError, InputError
from .checks import label_map_error
from .dicom import read_dicom
from .files import FORMATS, READABLE, name_for_itk, quoted, reading, suffix_of
from .marks import FRAME, FRAMES, SYNTHETIC
from .nifti import nifti_layout, nifti_marks, read_nifti
from .nrrd import list_axis, text_spacing
from .phase_times import parse_increasing
from .resampling import geometry_of
from .volume import Volume


@dataclass(frozen=True)
class PhaseSequence:
    """The phases of one sequence, in order.

    index: one rising number a phase; index_name and index_unit say of what ("phase", "%"), or "frame" and "" where the
    file does not tell.
    """

    phases: Tuple[Volume, ...]
    index: Tuple[float, ...]
    index_name: str = "frame"
    index_unit: str = ""


def read_volume(path) -> Volume:
    """The volume in a file, or in the folder of one DICOM series, with its own grid and scalar type.

    A 4D file of one phase counts as a volume. Raises `InputError` or `GeometryError`.
    """
    path = _existing(path)
    if os.path.isdir(path):
        return read_dicom(path)
    phases, _ = _read_file(path)
    if len(phases) > 1:
        raise InputError(f"{quoted(path)} is a sequence of {len(phases)} phases, where one volume is needed: "
                         "give it alone, as a sequence.")
    return phases[0]


def read_sequence(path) -> PhaseSequence:
    """The phases in a 4D file (.seq.nrrd, 4D NIfTI, NRRD or MetaImage) or in a folder of phases.

    In a folder each image file, or each subfolder with one DICOM series, is a phase, in the natural order of their
    names (phase2 before phase10); other files are left alone. The phases of a folder keep their own grids.
    Raises `InputError` or `GeometryError`.
    """
    path = _existing(path)
    if os.path.isdir(path):
        entries = _phase_entries(path)
        if not entries:
            raise InputError(f"The folder {quoted(path)} holds no phases: give a folder with one image file a phase.")
        return _sequence([read_volume(entry) for entry in entries], {})
    phases, metadata = _read_file(path)
    return _sequence(phases, metadata)


def _existing(path) -> str:
    path = os.fspath(path)
    if not os.path.exists(path):
        raise InputError(f"There is no file or folder {quoted(path)}: check the path.")
    return path


def _phase_entries(folder: str) -> List[str]:
    """The image files, or else the subfolders, of a folder of phases, in natural order; none in a DICOM series."""
    def natural(name: str):
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name.lower())]

    with reading(folder):
        names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=natural)
    paths = [os.path.join(folder, name) for name in names]
    images = [path for path in paths if os.path.isfile(path) and suffix_of(path)]
    return images or [path for path in paths if os.path.isdir(path)]


def _open(path: str) -> sitk.ImageFileReader:
    """A reader that knows the header of an image file, once all that the header can tell has been checked."""
    suffix = suffix_of(path)
    if not suffix:
        raise InputError(f"{quoted(path)} is not in a format that can be read: give {FORMATS}.")
    with reading(path):
        spacing = nifti_layout(path)[0] if suffix.startswith(".nii") else text_spacing(path)
        for value in spacing:
            if not math.isfinite(value) or value <= 0:
                raise GeometryError(f"The voxel spacing of {quoted(path)} holds {value:g}, which is not above zero: "
                                    "correct the file's header.")
        reader = sitk.ImageFileReader()
        reader.SetImageIO(READABLE[suffix])
        reader.SetFileName(name_for_itk(path))
        reader.ReadImageInformation()
    if reader.GetDimension() < 3:
        raise InputError(f"{quoted(path)} is an empty or two-dimensional image: give a volume.")
    if reader.GetDimension() > 4:
        raise InputError(f"{quoted(path)} has {reader.GetDimension()} dimensions: give a volume, or a sequence of "
                         "volumes.")
    metadata = _metadata(reader)
    components = reader.GetNumberOfComponents()
    if components > 1 and (reader.GetDimension() == 4 or list_axis(metadata) is None):
        raise InputError(f"{quoted(path)} has {components} values a voxel (a colour or vector image): give an image "
                         "with one grey value a voxel.")
    if metadata.get("intent_code") == "1002" or "LabelMap" in metadata.get("DataNodeClassName", ""):
        raise label_map_error(quoted(path))
    return reader


def _read_file(path: str) -> Tuple[List[Volume], Dict[str, str]]:
    """The phases of an image file and its header's words."""
    reader = _open(path)
    with reading(path):
        nifti = suffix_of(path).startswith(".nii")
        image = read_nifti(reader, path) if nifti else reader.Execute()
        metadata = _metadata(reader)
        marks = nifti_marks(path) if nifti else _nrrd_marks(metadata)
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{quoted(path)} has complex voxels: give its magnitude image.")
    if image.GetDimension() == 4:
        frames = list(array)
    elif list_axis(metadata) is not None and image.GetNumberOfComponentsPerPixel() > 1:
        frames = list(np.moveaxis(array, -1, 0))
    else:
        frames = [array]
    geometry = geometry_of(image)
    if len(marks) > len(frames):  # of another file
        marks = []
    marks += [""] * (len(frames) - len(marks))
    return [Volume(np.array(frame, order="C"), geometry, mark == SYNTHETIC)
            for frame, mark in zip(frames, marks)], metadata


def _metadata(reader) -> Dict[str, str]:
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def _nrrd_marks(metadata: Dict[str, str]) -> List[str]:
    """Of the frames of a file whether they are acquired or synthetic: by their own words, which 3D Slicer keeps right
    where frames are taken out or added, else by the list of all.
    """
    items = {int(match.group(1)): value for key, value in metadata.items()
             for match in [re.fullmatch(rf"axis \d+ item (\d+) {re.escape(FRAME)}", key)] if match}
    if items:
        return [items.get(number, "") for number in range(max(items) + 1)]
    return metadata.get(FRAMES, metadata.get(FRAME, "")).split()


def _sequence(phases: List[Volume], metadata: Dict[str, str]) -> PhaseSequence:
    """The phases with the index of a .seq.nrrd header, where there is one that strictly_increasing."""
    words = next((value for key, value in metadata.items() if re.match(r"axis \d+ index values$", key)), "").split()
    index = parse_increasing(words)
    if len(index) != len(phases):
        return PhaseSequence(tuple(phases), tuple(float(number) for number in range(len(phases))))
    axis = list_axis(metadata)
    return PhaseSequence(tuple(phases), index, metadata.get(f"NRRD_labels[{axis}]", "frame"),
                         metadata.get(f"NRRD_units[{axis}]", ""))
