"""Folders of public data sets of 4D images, read as they are published, for training and measurement.

A `Case` is one patient (or scan) with its frames over time. No voxels are read before `Case.frames()`. A case is named
by its number in the public data set and by nothing else.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import InputError
from .volume import Triple

# Names the images of a folder, with what each is for.
INDEX = "index.csv"
LUNG_SIZE = 128
LUNG_WINDOW = (-1400.0, 200.0)
LUNG_BODY = -500.0
LUNG_PHASES = 10
LUNG_INHALE_TO_EXHALE = (0, 5)


@dataclass(frozen=True)
class Case:
    """One 4D image.

    Parameters
    ----------
    name : str
        Number of the case in the public data set.
    first, last : int
        The two frames, counted from 0, that are given to a method, such as ED and ES of a heart. The frames strictly
        between them are the truth.
    spacing : tuple of float, or None
        Voxel spacing in mm along (k, j, i). None if the spacing in the file is known to be wrong.
    read : callable
        Returns all frames as an array (T, k, j, i), in the intensities of the file.
    group : str
        Diagnosis or source of the case; empty if it is unknown.
    labels : tuple of path-like
        Files with the experts' label maps of the two given frames; empty if there are none.
    """

    name: str
    first: int
    last: int
    spacing: Optional[Triple]
    read: Callable[[], np.ndarray]
    group: str = ""
    labels: Tuple[Path, ...] = ()

    def frames(self) -> np.ndarray:
        """Read all frames.

        Returns
        -------
        ndarray of shape (T, k, j, i), float32
            The frames in the intensities of the file. They are read again at each call.

        Raises
        ------
        InputError
            If the file does not hold the two given frames.
        """
        frames = np.asarray(self.read(), dtype=np.float32)
        if frames.ndim != 4 or not 0 <= min(self.first, self.last) < max(self.first, self.last) < len(frames):
            raise InputError(f"Case {self.name} has frames of shape {frames.shape}, which do not hold the frames "
                             f"{self.first + 1} and {self.last + 1}: the file does not fit its description.")
        return frames

    def label_maps(self) -> Tuple[np.ndarray, ...]:
        """Read the experts' label maps (k, j, i) of the two given frames; none if there are none."""
        return tuple(_nifti(path) for path in self.labels)

    @property
    def between(self) -> Tuple[int, ...]:
        """Numbers of the frames strictly between the two given ones, in order of time."""
        step = 1 if self.last > self.first else -1
        return tuple(range(self.first + step, self.last, step))

    @property
    def times(self) -> Tuple[float, ...]:
        """Time of each frame of `between`: 0 at the first given frame, 1 at the last."""
        return tuple((n - self.first) / (self.last - self.first) for n in self.between)


@dataclass(frozen=True)
class DataSet:
    """The cases of a folder.

    Parameters
    ----------
    protocol : str
        The protocol of its figures, a key of `ttt4d.evaluation.protocol.PROTOCOLS`.
    splits : dict of str to tuple of Case
        The cases by split, such as "train", "validation" and "test".
    """

    protocol: str
    splits: Dict[str, Tuple[Case, ...]]

    def split(self, name: str) -> Tuple[Case, ...]:
        """Return the cases of a split. Raises InputError if there is no such split."""
        if name not in self.splits:
            raise InputError(f"There is no split '{name}': choose one of {', '.join(self.splits)}.")
        return self.splits[name]

    def cases(self, names: Sequence[str]) -> Tuple[Case, ...]:
        """Return cases by name, from any split. Raises InputError if one is missing."""
        known = {case.name: case for cases in self.splits.values() for case in cases}
        missing = [name for name in names if name not in known]
        if missing:
            raise InputError(f"There is no case '{missing[0]}': the names are {', '.join(sorted(known)[:5])}, ...")
        return tuple(known[name] for name in dict.fromkeys(names))


def unit_range(frame: np.ndarray) -> np.ndarray:
    """Scale a frame to [0, 1] by its own minimum and maximum.

    Parameters
    ----------
    frame : ndarray
        Any shape and real type.

    Returns
    -------
    ndarray of float32
        The scaled frame; zeros if the frame is constant.
    """
    low, high = float(frame.min()), float(frame.max())
    return ((frame - low) / (high - low or 1.0)).astype(np.float32)


def open_data(folder: Optional[Union[str, Path]]) -> DataSet:
    """Open a folder of a known layout: ACDC, 4D-Lung as TCIA publishes it, or 4D NIfTI files.

    Parameters
    ----------
    folder : path-like, or None
        A folder in the ACDC layout (with an `index.csv`, or a full download with or without its `training` folder); a
        folder that holds such a folder under the name `acdc`; a folder of 4D NIfTI files; or a download of 4D-Lung.
        None if the user named no folder.

    Returns
    -------
    DataSet
        The cases. Their voxels are not read yet.

    Raises
    ------
    InputError
        If no folder was named, it does not exist or its layout is unknown.
    """
    if folder is None:
        raise InputError("No data folder was named: give --data DIR, or set the environment variable TTT4D_DATA.")
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"The data folder {folder.name} does not exist: give a folder in the ACDC or 4D-Lung layout.")
    for inside in (folder, folder / "acdc", folder / "training", folder / "database" / "training"):
        if any(inside.glob("patient*/Info.cfg")):
            return _acdc(inside)
    sequences = sorted(image for image in folder.glob("*.nii.gz") if not image.name.endswith("_seg.nii.gz"))
    if sequences:
        return _sequences(sequences)
    scans = _lung_scans(folder)
    if scans:
        return _lung(scans)
    raise InputError(f"The data folder {folder.name} is in no layout known here: give an ACDC or 4D-Lung folder.")


def index_rows(folder: Path, split: str = "", names: Sequence[str] = ()) -> List[Dict[str, str]]:
    """Return the rows of a folder's index.csv, or those of one split, or of some names; InputError if it has none."""
    path = folder / INDEX
    if not path.is_file():
        raise InputError(f"The folder {folder.name} has no {INDEX}: give a folder of images with their {INDEX}.")
    with open(path, newline="") as lines:
        return [row for row in csv.DictReader(lines)
                if (not split or row["split"] == split) and (not names or row["name"] in names)]


# ACDC


def _acdc(folder: Path) -> DataSet:
    patients = sorted(path.parent for path in folder.glob("patient*/Info.cfg"))
    if not (folder / INDEX).is_file():
        cases = tuple(_acdc_case(patient, None) for patient in patients)
        held_out = round(len(cases) * 0.9)
        return DataSet("acdc-paper", {"train": cases[:held_out], "test": cases[held_out:]})
    splits: Dict[str, List[Case]] = {}
    for row in index_rows(folder):
        patient = folder / f"patient{row['patient']}"
        known = row["spacing_known"] == "yes"
        spacing = (float(row["sz"]), float(row["sy"]), float(row["sx"])) if known else None
        splits.setdefault(row["split"], []).append(_acdc_case(patient, spacing))
    return DataSet("crop", {name: tuple(cases) for name, cases in splits.items()})


def _acdc_case(patient: Path, spacing: Optional[Triple]) -> Case:
    info = dict(re.findall(r"^\s*(\w+)\s*:\s*(\S+)", (patient / "Info.cfg").read_text(), re.MULTILINE))
    if "ED" not in info or "ES" not in info:
        raise InputError(f"Info.cfg of {patient.name} names no ED and ES frame: restore the file of the data set.")
    image = patient / f"{patient.name}_4d.nii.gz"
    number = patient.name[len("patient"):]
    labels = tuple(patient / f"{patient.name}_frame{int(info[phase]):02d}_gt.nii.gz" for phase in ("ED", "ES"))
    return Case(number, int(info["ED"]) - 1, int(info["ES"]) - 1, spacing or _spacing(image), partial(_nifti, image),
                info.get("Group", ""), labels if all(path.is_file() for path in labels) else ())


def _spacing(image: Path) -> Optional[Triple]:
    """Read the spacing (k, j, i) of a 4D file. None for 1 x 1 x 1 mm: in these data sets it means that it was lost."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(image))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{image.name} cannot be read: fetch the file of the data set again.") from error
    i, j, k = reader.GetSpacing()[:3]
    return None if np.allclose((k, j, i), 1) else (k, j, i)


def _nifti(image: Path) -> np.ndarray:
    import SimpleITK as sitk

    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(image)))
    except RuntimeError as error:
        raise InputError(f"{image.name} cannot be read: fetch the file of the data set again.") from error


# One 4D file for each subject; no file says which frames are the phases (3D+t echocardiography)


def _sequences(images: Sequence[Path]) -> DataSet:
    """Make two cases of each file: from the first frame to the one least like it, and from there to the last frame.

    (The labels beside the echocardiography cover some 50 voxels, too few to tell the fullest heart from the emptiest.)
    """
    cases = []
    for number, image in enumerate(images, 1):
        frames = [unit_range(frame) for frame in _nifti(image)]
        turn = int(np.argmax([np.mean((frame - frames[0]) ** 2) for frame in frames]))
        for name, first, last in (("out", 0, turn), ("back", turn, len(frames) - 1)):
            if last - first > 1:
                cases.append(Case(f"{number}-{name}", first, last, _spacing(image), partial(_nifti, image)))
    return DataSet("crop", {"test": tuple(cases)})


# 4D-Lung: <patient>/<study>/<series of one gated phase>/*.dcm


def _lung_scans(folder: Path) -> Dict[str, List[Path]]:
    """Find the ten phase folders of every scan, by its name: patient number, and number of the scan in time."""
    scans: Dict[str, List[Path]] = {}
    for patient in sorted(path for path in folder.glob("*_*") if path.is_dir()):
        number = patient.name.split("_")[0]
        found = 0
        for study in sorted(path for path in patient.iterdir() if path.is_dir()):
            phases = _gated_phases(study)
            if len(phases) == LUNG_PHASES:
                scans[f"{number}_{found}"] = phases
                found += 1
    return scans


def _gated_phases(study: Path) -> List[Path]:
    """Find the fan-beam CT series of a study (folders 1.000000-...), one for each gated phase from 0 to 90 %."""
    phases = {}
    for series in study.glob("1.000000-*"):
        gate = re.search(r"Gated[\s,]*(\d+(?:\.\d+)?)", series.name)
        if gate and any(series.glob("*.dcm")):
            phases[float(gate.group(1))] = series
    return [phases[gate] for gate in sorted(phases)]


def _lung(scans: Dict[str, List[Path]]) -> DataSet:
    cases = []
    for name in sorted(scans):
        phases = scans[name]
        inhale, exhale = LUNG_INHALE_TO_EXHALE
        cases.append(Case(name, inhale, exhale, None, partial(_lung_phases, phases)))
    held_out = round(len(cases) * 68 / 82)
    return DataSet("lung-paper", {"train": tuple(cases[:held_out]), "test": tuple(cases[held_out:])})


def _lung_phases(phases: Sequence[Path]) -> np.ndarray:
    return np.stack([_lung_phase(series) for series in phases])


def _lung_phase(series: Path) -> np.ndarray:
    """Read a phase and apply the published preprocessing: 128^3, lung window, no bed, the body in the middle."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    try:
        image = sitk.Cast(reader.Execute(), sitk.sitkFloat32)
    except RuntimeError as error:
        raise InputError("A phase of 4D-Lung cannot be read as a DICOM series: fetch the data set again.") from error
    size = np.array(image.GetSize())
    spacing = np.array(image.GetSpacing()) * size / LUNG_SIZE
    origin = image.TransformContinuousIndexToPhysicalPoint((size / LUNG_SIZE - 1) / 2)
    image = sitk.Resample(image, [LUNG_SIZE] * 3, sitk.Transform(), sitk.sitkLinear, origin, spacing.tolist(),
                          image.GetDirection(), LUNG_WINDOW[0])
    image = sitk.Clamp(image, sitk.sitkFloat32, *LUNG_WINDOW)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(image > LUNG_BODY, True), sortByObjectSize=True)
    body = sitk.GetArrayFromImage(sitk.BinaryDilate(_filled_slices(pieces == 1), [3, 3, 3])) > 0
    array = np.where(body, sitk.GetArrayFromImage(image), LUNG_WINDOW[0])
    return _centred(array, array > LUNG_BODY)


def _filled_slices(mask):
    """Fill the holes of each slice of a mask: lungs and bowel belong to the body."""
    import SimpleITK as sitk

    slices = [sitk.BinaryFillhole(mask[:, :, k]) for k in range(mask.GetDepth())]
    filled = sitk.JoinSeries(slices)
    filled.CopyInformation(mask)
    return filled


def _centred(array: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Move the array within its slices so that the box around the body lies in the middle; air fills the rest."""
    out = array
    for axis in (1, 2):
        occupied = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(occupied):
            size = array.shape[axis]
            inside = np.take(out, range(occupied[0], occupied[-1] + 1), axis=axis)
            before = (size - inside.shape[axis]) // 2
            pad = [(0, 0)] * 3
            pad[axis] = (before, size - inside.shape[axis] - before)
            out = np.pad(inside, pad, constant_values=LUNG_WINDOW[0])
    return out
