"""Reading phases and sequences, and writing frames one at a time.

SimpleITK reads (NRRD, NIfTI, MetaImage, DICOM); what it lets pass and a user would regret (a cut NIfTI file, a spacing
that is not above zero, slices missing from a series) is checked here. Writing is done here, because no library streams
a sequence. Geometry is carried through as it is, oblique and left-handed directions included.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import math
import os
import re
import shutil
import struct
import tempfile
import uuid
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import SimpleITK as sitk

from .errors import GeometryError, InputError, OutputError
from .volume import Geometry, Volume

READABLE = {
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
_FORMATS = "NRRD (.nrrd, .nhdr), NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd), or the folder of one DICOM series"

# A label map: few whole numbers, and most in-plane neighbours outside the background exactly equal. Measured on cine
# MR: expert labels 0.92, the images themselves 0.7 to 0.78 when cut down to 4 grey levels and 0.3 to 0.5 with 32.
_LABEL_VALUES = 256
_LABEL_EQUAL_NEIGHBOURS = 0.8
_LABEL_CERTAIN_VALUES = 4  # so few values are labels, however ragged


_NRRD_TYPES = {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
               "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double"}
_NIFTI_TYPES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512,
                "uint32": 768, "int64": 1024, "uint64": 1280}


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
        return _read_dicom(path)
    phases, _ = _read_file(path)
    if len(phases) > 1:
        raise InputError(f"{_name(path)} is a sequence of {len(phases)} phases, where one volume is needed: "
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
            raise InputError(f"The folder {_name(path)} holds no phases: give a folder with one image file a phase.")
        return _sequence([read_volume(entry) for entry in entries], {})
    phases, metadata = _read_file(path)
    return _sequence(phases, metadata)


def is_sequence(path) -> bool:
    """Whether a path holds more than one phase, from the header alone. Raises `InputError` for what cannot be read."""
    path = _existing(path)
    if os.path.isdir(path):
        return bool(_phase_entries(path))
    reader = _open(path)
    if reader.GetDimension() == 4:
        return reader.GetSize()[3] > 1
    return _list_axis(_metadata(reader)) is not None


def check_phases(volumes: Sequence[Volume]) -> None:
    """Raise `InputError` unless the volumes are images that can be interpolated, in the order given."""
    if len(volumes) < 2:
        raise InputError(f"At least two phases are needed, but there {'is one' if volumes else 'are none'}: "
                         "give two volumes or a sequence of two or more.")
    for number, volume in enumerate(volumes):
        _check_image(volume.array, f"Phase {number}")
    for number, (one, other) in enumerate(zip(volumes, volumes[1:])):
        if one.array.shape == other.array.shape and np.array_equal(one.array, other.array):
            raise InputError(f"Phases {number} and {number + 1} are the same image: give two different phases.")


def onto_grid(volume: Volume, geometry: Geometry) -> Volume:
    """The volume resampled onto another grid (linear, edge values outside its own), in its own scalar type.

    A volume whose grid already agrees keeps its voxels untouched. Raises `GeometryError` where the two share no space.
    """
    if not volume.geometry.differences(geometry):
        return Volume(volume.array, geometry)
    # The centres of up to 48 voxels an axis tell whether the grids meet; all of them would take gigabytes.
    axes = [np.unique(np.linspace(0, size - 1, min(size, 48)).round()) for size in geometry.size]
    index = volume.geometry.index(geometry.point(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)))
    if not np.any(np.all((index >= -0.5) & (index <= np.asarray(volume.geometry.size) - 0.5), axis=-1)):
        raise GeometryError("The phases do not overlap in space: check that both belong to one patient and one scan.")
    resample = sitk.ResampleImageFilter()
    resample.SetSize([int(size) for size in geometry.size[::-1]])
    resample.SetOutputSpacing(geometry.spacing[::-1])
    resample.SetOutputOrigin(geometry.origin)
    resample.SetOutputDirection(_sitk_direction(geometry))
    resample.SetInterpolator(sitk.sitkLinear)
    resample.UseNearestNeighborExtrapolatorOn()
    resample.SetOutputPixelType(sitk.sitkFloat64)  # ITK cuts the fraction off when it resamples to integers
    array = sitk.GetArrayFromImage(resample.Execute(to_sitk(volume)))
    dtype = volume.array.dtype
    if dtype.kind in "iu":
        array = np.clip(np.rint(array), volume.array.min(), volume.array.max())
    return Volume(array.astype(dtype), geometry)


def to_sitk(volume: Volume) -> sitk.Image:
    """The volume as a SimpleITK image (a copy)."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing[::-1])
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(_sitk_direction(volume.geometry))
    return image


def _sitk_direction(geometry: Geometry) -> List[float]:
    return np.asarray(geometry.direction, dtype=float)[:, ::-1].ravel().tolist()


def _geometry(image) -> Geometry:
    """The grid of a SimpleITK image or reader of three or four dimensions (the fourth being the phases)."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, 2::-1]
    return Geometry(
        tuple(int(size) for size in image.GetSize()[2::-1]),
        tuple(float(spacing) for spacing in image.GetSpacing()[2::-1]),
        tuple(float(x) for x in image.GetOrigin()[:3]),
        tuple(tuple(row) for row in direction.tolist()),
    )


# -- files -------------------------------------------------------------------------------------------------------------


def _existing(path) -> str:
    path = os.fspath(path)
    if not os.path.exists(path):
        raise InputError(f"There is no file or folder {_name(path)}: check the path.")
    return path


def _name(path: str) -> str:
    return f"'{os.path.basename(os.path.normpath(path))}'"


def _suffix(path: str) -> str:
    """The image suffix of a name in lower case, or ''."""
    name = os.path.basename(path).lower()
    return next((suffix for suffix in sorted(READABLE, key=len, reverse=True) if name.endswith(suffix)), "")


def _unreadable(path: str) -> InputError:
    return InputError(f"{_name(path)} cannot be read as an image: it is damaged, cut short, or not the format its name "
                      "says; get the file again.")


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn the errors of the libraries into one sentence."""
    try:
        with _quiet():
            yield
    except MemoryError:
        raise InputError(f"{_name(path)} does not fit in memory: crop or resample it first.") from None
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise GeometryError(f"The axes of {_name(path)} are not at right angles: resample it to a rectangular grid "
                                "first.") from error
        raise _unreadable(path) from error
    except PermissionError as error:
        raise InputError(f"{_name(path)} may not be opened: change its permissions, or copy it elsewhere.") from error
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _unreadable(path) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what ITK and its libraries print off standard error: it would stand beside our one sentence."""
    try:
        saved = os.dup(2)
    except OSError:  # a program without a standard error
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def _open(path: str) -> sitk.ImageFileReader:
    """A reader that knows the header of an image file, once all that the header can tell has been checked."""
    suffix = _suffix(path)
    if not suffix:
        raise InputError(f"{_name(path)} is not in a format that can be read: give {_FORMATS}.")
    with _reading(path):
        spacing = _nifti_layout(path)[0] if suffix.startswith(".nii") else _text_spacing(path)
        for value in spacing:
            if not math.isfinite(value) or value <= 0:
                raise GeometryError(f"The voxel spacing of {_name(path)} holds {value:g}, which is not above zero: "
                                    "correct the file's header.")
        reader = sitk.ImageFileReader()
        reader.SetImageIO(READABLE[suffix])
        reader.SetFileName(path)
        reader.ReadImageInformation()
    if reader.GetDimension() < 3:
        raise InputError(f"{_name(path)} is an empty or two-dimensional image: give a volume.")
    metadata = _metadata(reader)
    components = reader.GetNumberOfComponents()
    if reader.GetDimension() > 4 or (components > 1 and (reader.GetDimension() == 4 or _list_axis(metadata) is None)):
        raise InputError(f"{_name(path)} has {components} values a voxel (a colour or vector image): give an image "
                         "with one grey value a voxel.")
    if metadata.get("intent_code") == "1002" or "LabelMap" in metadata.get("DataNodeClassName", ""):
        raise _label_map(_name(path))
    return reader


def _read_file(path: str) -> Tuple[List[Volume], Dict[str, str]]:
    """The phases of an image file and its header's words."""
    reader = _open(path)
    with _reading(path):
        image = _read_nifti(reader, path) if _suffix(path).startswith(".nii") else reader.Execute()
    metadata = _metadata(reader)
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{_name(path)} has complex voxels: give its magnitude image.")
    if image.GetDimension() == 4:
        frames = list(array)
    elif _list_axis(metadata) is not None and image.GetNumberOfComponentsPerPixel() > 1:
        frames = list(np.moveaxis(array, -1, 0))
    else:
        frames = [array]
    geometry = _geometry(image)
    return [Volume(np.array(frame, order="C"), geometry) for frame in frames], metadata


def _metadata(reader) -> Dict[str, str]:
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def _list_axis(metadata: Dict[str, str]):
    """ITK's name for the axis of an NRRD file that counts its phases (as 3D Slicer writes it), or None."""
    return next((match.group(1) for key, value in metadata.items() if value == "list"
                 for match in [re.match(r"NRRD_kinds\[(\w+)\]$", key)] if match), None)


def _sequence(phases: List[Volume], metadata: Dict[str, str]) -> PhaseSequence:
    """The phases with the index of a .seq.nrrd header, where there is one that rises."""
    words = next((value for key, value in metadata.items() if re.match(r"axis \d+ index values$", key)), "").split()
    try:
        index = tuple(float(word) for word in words)
    except ValueError:  # an index of words, such as the names of the phases
        index = ()
    if len(index) != len(phases) or any(b <= a for a, b in zip(index, index[1:])):
        return PhaseSequence(tuple(phases), tuple(float(number) for number in range(len(phases))))
    axis = _list_axis(metadata)
    return PhaseSequence(tuple(phases), index, metadata.get(f"NRRD_labels[{axis}]", "frame"),
                         metadata.get(f"NRRD_units[{axis}]", ""))


def _phase_entries(folder: str) -> List[str]:
    """The image files, or else the subfolders, of a folder of phases, in natural order; none in a DICOM series."""
    def natural(name: str):
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name.lower())]

    with _reading(folder):
        names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=natural)
    paths = [os.path.join(folder, name) for name in names]
    files = [path for path in paths if os.path.isfile(path)]
    images = [path for path in files if _suffix(path)]
    return images or ([] if files else [path for path in paths if os.path.isdir(path)])


# -- what SimpleITK lets pass ------------------------------------------------------------------------------------------


def _nifti_layout(path: str) -> Tuple[List[float], int]:
    """The spacing in a NIfTI header, where SimpleITK would replace zero or NaN by one; the bytes of a whole file."""
    with _nifti_file(path) as file:
        head = file.read(540)
    for order, size in ((order, size) for order in "<>" for size in (348, 540)):
        if struct.unpack_from(order + "i", head)[0] == size:
            break
    else:
        raise EOFError("no NIfTI header")
    first = size == 348  # NIfTI-1, else NIfTI-2
    dims = struct.unpack_from(order + ("8h" if first else "8q"), head, 40 if first else 16)
    bits = struct.unpack_from(order + "h", head, 72 if first else 14)[0]
    spacing = struct.unpack_from(order + ("8f" if first else "8d"), head, 76 if first else 104)
    start = struct.unpack_from(order + ("f" if first else "q"), head, 108 if first else 168)[0]
    return list(spacing[1:min(dims[0], 3) + 1]), int(start) + math.prod(dims[1:dims[0] + 1]) * bits // 8


def _read_nifti(reader: sitk.ImageFileReader, path: str) -> sitk.Image:
    """The image of a NIfTI file; EOFError where it is cut short, which SimpleITK fills with anything.

    Where x.nii lies beside x.nii.gz, the NIfTI library takes the header of the one and the voxels of the other.
    """
    missing = _nifti_layout(path)[1]
    with _nifti_file(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):  # to the end, where a compressed file has its checksum
            missing -= len(block)
    if missing > 0:
        raise EOFError("cut short")
    if not (path.lower().endswith(".gz") and os.path.exists(path[:-3])):
        return reader.Execute()
    with tempfile.TemporaryDirectory() as folder:
        reader.SetFileName(shutil.copy(path, os.path.join(folder, "phase.nii.gz")))
        return reader.Execute()


def _nifti_file(path: str):
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else open(path, "rb")


def _text_spacing(path: str) -> List[float]:
    """The spacing in an NRRD or MetaImage header, where ITK would turn a negative one into a mirrored axis."""
    with open(path, "rb") as file:
        text = re.split(rb"\r?\n\r?\n|ElementDataFile", file.read(1 << 20))[0].decode("latin-1")
    line = re.search(r"^(?:spacings:|ElementSpacing\s*=)(.*)$", text, re.MULTILINE | re.IGNORECASE)
    if line:
        values = [float(word) for word in re.findall(r"[^\s]+", line.group(1)) if _is_number(word)]
        return [value for value in values if not math.isnan(value)]  # NaN: an axis without spacing, such as the phases
    line = re.search(r"^space directions:(.*)$", text, re.MULTILINE | re.IGNORECASE)
    vectors = re.findall(r"\(([^)]*)\)", line.group(1)) if line else []
    values = [[float(word) for word in vector.split(",") if _is_number(word)] for vector in vectors]
    return [math.sqrt(sum(x * x for x in vector)) for vector in values]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_dicom(folder: str) -> Volume:
    """The volume of the one DICOM series in a folder, once its slices are known to be evenly spaced."""
    with _reading(folder):
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(folder)
    if not series:
        raise InputError(f"The folder {_name(folder)} holds no DICOM series: give {_FORMATS}.")
    if len(series) > 1:
        raise InputError(f"The folder {_name(folder)} holds {len(series)} DICOM series: put the one to be used in a "
                         "folder of its own.")
    with _reading(folder):
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder, series[0])
        if len(files) > 1:
            _check_slices(files, folder)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        image = reader.Execute() if len(files) > 1 else _read_single_slice(files[0])
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"The DICOM series in {_name(folder)} is in colour: give an image with one grey value a "
                         "voxel.")
    if image.GetDimension() != 3:
        raise InputError(f"The DICOM series in {_name(folder)} is not a volume: give a volume.")
    return Volume(sitk.GetArrayFromImage(image), _geometry(image))


def _read_single_slice(file: str) -> sitk.Image:
    """The image of a series of one file; a single slice is as thick as it says, which ITK leaves at 1 mm."""
    image = sitk.ReadImage(file, imageIO="GDCMImageIO")
    thickness = next((image.GetMetaData(tag) for tag in ("0018|0050", "0018|0088") if image.HasMetaDataKey(tag)), "")
    if image.GetDimension() == 3 and image.GetSize()[2] == 1 and _is_number(thickness) and float(thickness) > 0:
        image.SetSpacing((*image.GetSpacing()[:2], float(thickness)))
    return image


def _check_slices(files: Sequence[str], folder: str) -> None:
    """Raise `InputError` unless the slices of a series lie side by side, evenly spaced along one normal."""
    places = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(file)
        reader.ReadImageInformation()
        places.append((reader.GetOrigin(), reader.GetDirection()))
    origins = np.asarray([origin for origin, _ in places])
    directions = np.asarray([direction for _, direction in places])
    heights = origins @ directions[0].reshape(3, 3)[:, 2]
    steps = np.diff(heights)
    if np.diff(np.sort(heights)).min() < 1e-3:
        raise InputError(f"The DICOM series in {_name(folder)} holds several images at one place (a series over time): "
                         "put each phase in a folder of its own, or save it from 3D Slicer as a .seq.nrrd file.")
    if np.ptp(directions, axis=0).max() > 1e-3 or np.ptp(steps) > 0.05 * np.abs(np.median(steps)):
        raise InputError(f"The slices of the DICOM series in {_name(folder)} are not evenly spaced (a slice is "
                         "missing, or it is not one stack): complete the series.")


# -- what an image is --------------------------------------------------------------------------------------------------


def _label_map(name: str) -> InputError:
    return InputError(f"{name} is a label map (a segmentation), not an image: give the image it was drawn on.")


def _check_image(array: np.ndarray, name: str) -> None:
    if array.ndim != 3 or 0 in array.shape or min(array.shape[1:]) < 2:
        raise InputError(f"{name} is an empty or two-dimensional image: give a volume.")
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} has voxels of type {array.dtype}: give whole or decimal numbers.")
    low, high = array.min(), array.max()  # NaN and infinity show in them
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name} has voxels that are not numbers (NaN or infinite): replace them first.")
    if low == high:
        raise InputError(f"{name} has the same value in every voxel: give an image with content.")
    if _is_label_map(array):
        raise _label_map(name)


def _is_label_map(array: np.ndarray) -> bool:
    """Whether an image holds labels: few whole numbers, in regions of exactly equal values. See the constants above."""
    sample = array.ravel()[::max(1, array.size // 50000)]
    if len(np.unique(sample)) > _LABEL_VALUES:
        return False
    values, counts = np.unique(array, return_counts=True)
    if len(values) > _LABEL_VALUES or np.any(values != np.rint(values)):
        return False
    inside = array != values[counts.argmax()]
    equal = pairs = 0
    for axis in (1, 2):
        a, b = [slice(None)] * 3, [slice(None)] * 3
        a[axis], b[axis] = slice(1, None), slice(None, -1)
        either = inside[tuple(a)] | inside[tuple(b)]
        pairs += np.count_nonzero(either)
        equal += np.count_nonzero(either & (array[tuple(a)] == array[tuple(b)]))
    return len(values) <= _LABEL_CERTAIN_VALUES or equal > _LABEL_EQUAL_NEIGHBOURS * pairs


# -- writing -----------------------------------------------------------------------------------------------------------


def open_writer(path, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                provenance: Dict[str, str]) -> "FrameWriter":
    """The writer of a result, by the output's name: `.seq.nrrd`, `.nii.gz` or `.nii`, or a folder of .nrrd files.

    index: percent of the phase, one a frame, rising; acquired: whether each frame is a given phase (else synthetic);
    provenance: words kept in every header, such as {"ttt4d.seed": "0"}. Raises `OutputError` for any other name.

    >>> with open_writer("beat.seq.nrrd", geometry, np.int16, [0, 50, 100], [True, False, True], {}) as writer:
    ...     for number, frame in enumerate(frames):
    ...         writer.write(number, frame)
    """
    path = os.fspath(path)
    return _writer_class(path)(path, geometry, dtype, index, acquired, provenance)


def check_output(path, inputs: Sequence, bytes_needed: int = 0) -> None:
    """Raise `OutputError` for an output that cannot be written, before any work is done for it; see `check_place`."""
    check_place(path, inputs, _writer_class(os.fspath(path)) is _Folder, bytes_needed)


def check_place(path, inputs: Sequence, folder: bool, bytes_needed: int = 0) -> None:
    """Raise `OutputError` unless a file, or a new or empty folder, can be written at `path`.

    inputs: the files and folders of the phases, none of which may be overwritten.
    bytes_needed: an estimate of the output's size, refused where the disk has less free.
    """
    path = os.fspath(path)
    given = [os.fspath(entry) for entry in inputs]
    for parent in [entry for entry in given if os.path.isdir(entry)]:
        given += [os.path.join(parent, name) for name in os.listdir(parent)]
    if any(_same(path, entry) for entry in given):
        raise OutputError(f"The output {_name(path)} is one of the inputs: choose another name.")
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        raise OutputError(f"The folder {_name(parent)} for the output does not exist: create it, or choose another.")
    if os.path.isdir(path):
        if not folder:
            raise OutputError(f"{_name(path)} is a folder, not a file: choose another name.")
        if os.listdir(path):
            raise OutputError(f"The folder {_name(path)} is not empty: choose a new or an empty one.")
    elif folder and os.path.exists(path):
        raise OutputError(f"{_name(path)} is a file: name the output .seq.nrrd, .nii.gz or .nii, or choose a new "
                          "folder.")
    with writing(path):
        file, temporary = _temporary_file(path)
        try:
            with file:
                file.write(bytes(4096))
        finally:
            os.remove(temporary)
        free = shutil.disk_usage(parent).free
    if free < bytes_needed:
        raise OutputError(f"The output may take {bytes_needed / 2**20:.0f} MiB, but the disk has only "
                          f"{free / 2**20:.0f} MiB free: make room, or choose another folder.")


def write_displacement(path, geometry: Geometry, displacement: np.ndarray) -> None:
    """Write a displacement (k, j, i, 3), in voxels along (k, j, i), as an .nrrd vector image of float32 LPS mm.

    Raises `OutputError`.
    """
    path = os.fspath(path)
    vectors = (np.asarray(displacement, dtype=float) @ geometry.matrix.T).astype(np.float32)
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.CopyInformation(to_sitk(Volume(np.zeros(geometry.size, np.uint8), geometry)))
    with writing(path):
        file, temporary = _temporary_file(path)
        file.close()
        try:
            with _quiet():
                sitk.WriteImage(image, temporary, True, imageIO="NrrdImageIO")
            os.replace(temporary, path)
        except BaseException:
            os.remove(temporary)
            raise


def _writer_class(path: str) -> type:
    name = os.path.basename(path).lower()
    if name.endswith(".seq.nrrd"):
        return _SequenceNrrd
    if name.endswith((".nii", ".nii.gz")):
        return _SequenceNifti
    if os.path.isdir(path) or not os.path.splitext(name)[1]:
        return _Folder
    raise OutputError(f"The output {_name(path)} has a name that tells no kind: end it in .seq.nrrd, .nii.gz or .nii, "
                      "or give a folder (a name without a dot).")


def _same(one: str, other: str) -> bool:
    """Whether two paths are one place, links and spellings aside."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn what goes wrong while `path` is written into an `OutputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise OutputError(f"The disk is full: make room for {_name(path)}, or choose another folder.") from error
        raise OutputError(f"{_name(path)} cannot be written ({error.strerror}): choose another folder.") from error
    except RuntimeError as error:  # SimpleITK
        raise OutputError(f"{_name(path)} cannot be written: make room, or choose another folder.") from error


def _temporary_file(path: str) -> Tuple[BinaryIO, str]:
    """A new file beside `path`, with a name that says nothing of it."""
    temporary = os.path.join(os.path.dirname(os.path.abspath(path)), f".ttt4d-{uuid.uuid4().hex}.part")
    return open(temporary, "xb"), temporary


def _gzip(file: BinaryIO) -> gzip.GzipFile:
    """A fast compressing stream; no name and no time in it, so that equal frames give equal files."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)


def _write_voxels(stream: BinaryIO, array: np.ndarray, dtype: np.dtype) -> None:
    for plane in array:  # a plane at a time, so that no second copy of the frame is made
        stream.write(np.ascontiguousarray(plane, dtype=dtype.newbyteorder("<")))


def _nrrd_header(geometry: Geometry, dtype: np.dtype, keys: Dict[str, str], frames: Optional[int] = None) -> bytes:
    """The header of a gzipped NRRD file: of one volume, or of so many frames along the last axis."""
    def vector(values) -> str:
        return "(" + ",".join(repr(float(value)) for value in values) + ")"

    listed = frames is not None
    lines = [
        "NRRD0004",
        f"type: {_NRRD_TYPES[dtype.name]}",
        f"dimension: {4 if listed else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(size) for size in [*geometry.size[::-1], *([frames] if listed else [])]),
        "space directions: " + " ".join(vector(step) for step in geometry.matrix.T[::-1]) + (" none" if listed else ""),
        "kinds: domain domain domain" + (" list" if listed else ""),
        *(['labels: "" "" "" "phase"', 'units: "" "" "" "%"'] if listed else []),
        "endian: little",
        "encoding: gzip",
        f"space origin: {vector(geometry.origin)}",
    ]
    for key, value in keys.items():
        escaped = str(value).replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"{key}:={escaped}")
    return ("\n".join(lines) + "\n\n").encode()


class FrameWriter(contextlib.AbstractContextManager):
    """Writes the frames of a result one at a time; see `open_writer`.

    Use it in a `with` statement: leaving it puts the output in place, and leaving it through any error (a cancel or
    Ctrl-C too) leaves nothing behind. Frames are given in order; no more than one is held. `OutputError` says that the
    disk is full or refuses.
    """

    def __init__(self, path: str, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                 provenance: Dict[str, str]) -> None:
        if len(index) != len(acquired):
            raise ValueError(f"{len(index)} index values for {len(acquired)} marks")
        self.path, self.geometry, self.dtype = path, geometry, np.dtype(dtype)
        if self.dtype.name not in _NRRD_TYPES:
            raise OutputError(f"Voxels of type {self.dtype} cannot be written: convert the phases to int16 or float32.")
        self.index, self.acquired, self.provenance = tuple(index), tuple(acquired), dict(provenance)
        self.written = 0

    def write(self, number: int, array: np.ndarray) -> Optional[str]:
        """Write frame `number` (k, j, i), the next one. Returns the path of its file where each frame has its own."""
        if number != self.written or number >= len(self.index):
            raise ValueError(f"frame {number} was given, but the next is {self.written} of {len(self.index)}")
        if array.shape != tuple(self.geometry.size) or array.dtype != self.dtype:
            raise ValueError(f"a frame of {array.shape} {array.dtype}, but {self.geometry.size} {self.dtype} is due")
        with writing(self.path):
            path = self._write(number, array)
        self.written += 1
        return path

    def __enter__(self) -> "FrameWriter":
        with writing(self.path):
            self._start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        finished = False
        try:
            if kind is None:
                if self.written != len(self.index):
                    raise ValueError(f"{self.written} frames were written of {len(self.index)}")
                with writing(self.path):
                    self._finish()
                finished = True
        finally:
            if not finished:
                self._discard()

    def _start(self) -> None:
        raise NotImplementedError

    def _write(self, number: int, array: np.ndarray) -> Optional[str]:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        raise NotImplementedError

    def _keys(self, number: int) -> Dict[str, str]:
        """What a frame's own header says of it."""
        return {"ttt4d.frame": "acquired" if self.acquired[number] else "synthetic"}


class _OneFile(FrameWriter):
    """All frames in one file, one after the other: a temporary file beside the output, renamed at the end."""

    def _start(self) -> None:
        self._file, self._temporary = _temporary_file(self.path)
        try:
            self._stream = self._begin(self._file)
        except BaseException:
            self._stream = self._file
            self._discard()
            raise

    def _begin(self, file) -> BinaryIO:
        """Write the header; returns the stream that takes the voxels."""
        raise NotImplementedError

    @property
    def _voxel_type(self) -> np.dtype:
        """The scalar type in the file."""
        return self.dtype

    def _write(self, number: int, array: np.ndarray) -> None:
        _write_voxels(self._stream, array, self._voxel_type)

    def _finish(self) -> None:
        self._stream.close()
        self._file.close()
        os.replace(self._temporary, self.path)

    def _discard(self) -> None:
        for stream in (self._stream, self._file):
            with contextlib.suppress(OSError):  # closing writes what is left, which may be what failed
                stream.close()
        with contextlib.suppress(OSError):
            os.remove(self._temporary)


class _SequenceNrrd(_OneFile):
    """A .seq.nrrd file that 3D Slicer opens as a sequence.

    The phases lie along the last axis, as Slicer 5.10 and later write it; older ones read it too, but call the index
    "frame". Slicer has no 64-bit integers, so those are written as float64, which holds them exactly up to 2^53.
    """

    @property
    def _voxel_type(self) -> np.dtype:
        return np.dtype(np.float64) if self.dtype.name in ("int64", "uint64") else self.dtype

    def _begin(self, file) -> BinaryIO:
        index = " ".join(f"{value:.10g}" for value in self.index)
        keys = {"DataNodeClassName": "vtkMRMLScalarVolumeNode"}
        for axis in (0, 3):  # Slicer before 5.10 looks for the index under axis 0, wherever it lies
            keys.update({f"axis {axis} index type": "numeric", f"axis {axis} index values": index})
        for number in range(len(self.index)):
            keys.update({f"axis 3 item {number:04d} {key}": value for key, value in self._keys(number).items()})
        keys.update(self.provenance)
        file.write(_nrrd_header(self.geometry, self._voxel_type, keys, len(self.index)))
        return _gzip(file)


class _SequenceNifti(_OneFile):
    """A 4D NIfTI-1 file, gzipped by its name. Index, marks and provenance lie in a comment extension, as JSON."""

    def _begin(self, file) -> BinaryIO:
        stream = _gzip(file) if self.path.lower().endswith(".gz") else file
        stream.write(self._header())
        return stream

    def _header(self) -> bytes:
        frames = [dict(index=index, **self._keys(number)) for number, index in enumerate(self.index)]
        comment = json.dumps({"index": "phase (%)", "frames": frames, "provenance": self.provenance}).encode()
        comment += bytes(-(len(comment) + 8) % 16)
        header = bytearray(352)
        size, spacing = self.geometry.size[::-1], self.geometry.spacing[::-1]
        struct.pack_into("<i", header, 0, 348)
        struct.pack_into("<8h", header, 40, 4, *size, len(self.index), 1, 1, 1)
        struct.pack_into("<hh", header, 70, _NIFTI_TYPES[self.dtype.name], 8 * self.dtype.itemsize)
        struct.pack_into("<8f", header, 76, 1, *spacing, 1, 1, 1, 1)
        struct.pack_into("<3f", header, 108, len(header) + 8 + len(comment), 1, 0)  # voxels' start; slope, intercept
        struct.pack_into("<B", header, 123, 2)  # millimetres; percent has no code
        struct.pack_into("<80s", header, 148, b"ttt4d, not for clinical use")
        struct.pack_into("<hh", header, 252, 0, 1)  # sform alone: a quaternion could not hold every grid
        lps_to_ras = np.diag([-1.0, -1.0, 1.0])
        affine = lps_to_ras @ np.column_stack([self.geometry.matrix[:, ::-1], self.geometry.origin])
        struct.pack_into("<12f", header, 280, *affine.ravel())
        struct.pack_into("<4s", header, 344, b"n+1\0")
        struct.pack_into("<B", header, 348, 1)  # an extension follows
        return bytes(header) + struct.pack("<ii", 8 + len(comment), 6) + comment


class _Folder(FrameWriter):
    """A folder of NRRD files frame_000.nrrd, ...; each is complete, under its own name, as soon as `write` returns."""

    def _start(self) -> None:
        self._made = not os.path.isdir(self.path)
        self._frames: List[str] = []
        if self._made:
            os.mkdir(self.path)

    def _write(self, number: int, array: np.ndarray) -> str:
        keys = {"ttt4d.index": f"{self.index[number]:.10g}", **self._keys(number), **self.provenance}
        path = os.path.join(self.path, f"frame_{number:03d}.nrrd")
        file, temporary = _temporary_file(path)
        self._frames.append(temporary)
        with file:
            file.write(_nrrd_header(self.geometry, self.dtype, keys))
            with _gzip(file) as stream:
                _write_voxels(stream, array, self.dtype)
        os.replace(temporary, path)
        self._frames[-1] = path
        return path

    def _finish(self) -> None:
        pass

    def _discard(self) -> None:
        for path in self._frames:
            with contextlib.suppress(OSError):
                os.remove(path)
        if self._made:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
