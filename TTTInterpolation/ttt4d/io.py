"""Reading phases and sequences, and writing frames one at a time.

SimpleITK reads (NRRD, NIfTI, MetaImage, DICOM); what it lets pass and a user would regret (a cut NIfTI file, a spacing
that is not above zero, slices missing from a series) is checked here. Writing is done here, because no library streams
a sequence. Geometry is carried through as it is, oblique and left-handed directions included.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import re
import struct
import zlib
from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
import SimpleITK as sitk

from .errors import GeometryError, InputError
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

# A label map: few whole numbers, and most in-plane neighbours outside the background exactly equal. Measured on cine MR:
# expert labels 0.92, the images themselves 0.7 to 0.78 when cut down to 4 grey levels and 0.3 to 0.5 with 32.
_LABEL_VALUES = 256
_LABEL_EQUAL_NEIGHBOURS = 0.8


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

    In a folder each image file, or each subfolder with one DICOM series, is a phase, in the natural order of their names
    (phase2 before phase10); other files are left alone. The phases of a folder keep their own grids.
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
    """Turn the errors of the libraries into one sentence, and keep their own words off standard error."""
    try:
        saved = os.dup(2)
    except OSError:  # a program without a standard error
        saved = None
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        if saved is not None:
            os.dup2(sink, 2)
        yield
    except MemoryError:
        raise InputError(f"{_name(path)} does not fit in memory: crop or resample it first.") from None
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise GeometryError(f"The axes of {_name(path)} are not at right angles: resample it to a rectangular grid "
                                "first.") from error
        raise _unreadable(path) from error
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _unreadable(path) from error
    finally:
        os.close(sink)
        if saved is not None:
            os.dup2(saved, 2)
            os.close(saved)


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
        raise InputError(f"{_name(path)} has {components} values a voxel (a colour or vector image): give an image with "
                         "one grey value a voxel.")
    if metadata.get("intent_code") == "1002" or "LabelMap" in metadata.get("DataNodeClassName", ""):
        raise _label_map(_name(path))
    return reader


def _read_file(path: str) -> Tuple[List[Volume], Dict[str, str]]:
    """The phases of an image file and its header's words."""
    reader = _open(path)
    with _reading(path):
        if _suffix(path).startswith(".nii"):
            _check_whole_nifti(path)
        image = reader.Execute()
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
    """The spacing in a NIfTI header, where SimpleITK would replace zero or NaN by one; and the bytes of a whole file."""
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


def _check_whole_nifti(path: str) -> None:
    """Raise EOFError where a NIfTI file is cut short: SimpleITK fills what is missing with anything."""
    missing = _nifti_layout(path)[1]
    with _nifti_file(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):  # to the end, where a compressed file has its checksum
            missing -= len(block)
    if missing > 0:
        raise EOFError("cut short")


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
        raise InputError(f"The folder {_name(folder)} holds {len(series)} DICOM series: put the one to be used in a folder "
                         "of its own.")
    with _reading(folder):
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder, series[0])
        if len(files) > 1:
            _check_slices(files, folder)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        image = reader.Execute() if len(files) > 1 else _read_single_slice(files[0])
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"The DICOM series in {_name(folder)} is in colour: give an image with one grey value a voxel.")
    if image.GetDimension() != 3:
        raise InputError(f"The DICOM series in {_name(folder)} is not a volume: give a volume.")
    return Volume(sitk.GetArrayFromImage(image), _geometry(image))


def _read_single_slice(file: str) -> sitk.Image:
    """The image of a series of one file; a single slice is as thick as it says, which ITK leaves at 1 mm."""
    image = sitk.ReadImage(file, imageIO="GDCMImageIO")
    thickness = next((image.GetMetaData(tag) for tag in ("0018|0088", "0018|0050") if image.HasMetaDataKey(tag)), "")
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
        raise InputError(f"The slices of the DICOM series in {_name(folder)} are not evenly spaced (a slice is missing, or "
                         "it is not one stack): complete the series.")


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
    return len(values) == 2 or equal > _LABEL_EQUAL_NEIGHBOURS * pairs
