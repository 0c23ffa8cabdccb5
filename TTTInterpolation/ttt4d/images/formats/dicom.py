"""DICOM: a folder of series in files of any name, or one file of one or many frames.

pydicom reads headers and voxels, with SimpleITK for compressions that it has no decoder for. `dicom_headers` makes one
list of image planes of whatever is there, `dicom_phases` arranges them in place and time.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, Counter as CounterType, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from ...errors import InputError, UserError
from ..checks import label_map_error
from ..files import name_for_itk, quoted, reading
from ..sequence import PhaseSequence
from ..volume import Volume
from . import READABLE
from .dicom_headers import Plane, planes_of
from .dicom_phases import Arrangement, arrange, stack_geometry, without_copies

_MAGIC_AT = 128
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_IMAGE_ELEMENTS = ("Rows", "Columns", "BitsAllocated")


@dataclass(frozen=True)
class Source:
    """What a result needs of the images that it was computed from (`Volume.source`).

    Parameters
    ----------
    header : pydicom.Dataset
        The header of the first slice of the first phase, without pixels.
    """

    header: Any


def read(path: str) -> PhaseSequence:
    """Read the phases in a folder or a file; a single volume is a sequence of one phase.

    Raises
    ------
    InputError, GeometryError
        For what is not one even stack or an even set of phases.
    """
    name = quoted(path)
    messages: List[str] = []
    stored = _StoredValues()
    planes = without_copies(_planes(path, messages), stored.of, name, messages)
    root = path if os.path.isdir(path) else os.path.dirname(path)
    arrangement = arrange(planes, root, name, messages)
    said = dict.fromkeys(words.format(name) for stack in arrangement.stacks for plane in stack for words in plane.assumed)
    messages.extend(said)
    phases = _phases(arrangement, stored, name, messages)
    return PhaseSequence(phases, arrangement.index, arrangement.name, arrangement.unit, tuple(dict.fromkeys(messages)))


def is_dicom(path: str) -> bool:
    """Whether a file begins as DICOM does, with or without its preamble."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        start = file.read(_MAGIC_AT + 4)
        # Without the preamble a file begins with an element of group 2 or 8, in one of the two byte orders.
        return start[_MAGIC_AT:] == b"DICM" or (start[:2] in (b"\2\0", b"\x08\0") and start[3:4] == b"\0"
                                                ) or start[:3] == b"\0\x08\0"
    return False


def _planes(path: str, messages: List[str]) -> List[Plane]:
    """Return the image planes of all DICOM files in a folder and below it, or of one file."""
    planes: List[Plane] = []
    others: Counter = Counter()
    for file in [path] if os.path.isfile(path) else _files(path):
        if not is_dicom(file):
            continue
        header = _header(file, must_be=file == path)
        if header is None or "DirectoryRecordSequence" in header:
            continue
        kind = _not_an_image(header)
        if kind:
            others[kind] += 1
            continue
        with _decoding(file):
            planes += planes_of(header, file)
    name = quoted(path)
    if not planes and others["segmentation"]:
        raise label_map_error(name)
    if not planes and others:
        raise InputError(f"{name} holds no DICOM image ({_counted(others)}): give the images themselves.")
    if not planes:
        raise InputError(f"{name} holds no DICOM series: give {READABLE}.")
    if others:
        messages.append(f"{name} holds other DICOM objects beside the images ({_counted(others)}): left out.")
    return planes


def _files(folder: str) -> Iterator[str]:
    """Yield the paths of all files in a folder and below it, in alphabetical order, without hidden ones."""
    with reading(folder):
        for parent, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    yield os.path.join(parent, name)


def _counted(kinds: Counter) -> str:
    return ", ".join(f"{count} of kind {kind}" for kind, count in sorted(kinds.items()))


def _header(file: str, must_be: bool):
    """Return the header of a file without its pixels; None for one that only begins as DICOM without a preamble does."""
    import pydicom

    try:
        with _decoding(file):
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            list(header)  # reads every element, so that a damaged one is found here
    except InputError:
        if must_be or _has_preamble(file):
            raise
        return None
    return header if must_be or "SOPClassUID" in header or "Rows" in header else None


def _has_preamble(file: str) -> bool:
    with open(file, "rb") as content:
        return content.read(_MAGIC_AT + 4)[_MAGIC_AT:] == b"DICM"


def _not_an_image(header) -> str:
    """Return the kind of an object that is no image, such as "SR"; "" for an image."""
    if header.get("SOPClassUID") == _SEGMENTATION:
        return "segmentation"
    if header.get("Modality") == "RTDOSE" or any(keyword not in header for keyword in _IMAGE_ELEMENTS):
        return str(header.get("Modality") or "unknown")
    return ""


@contextlib.contextmanager
def _decoding(file: str) -> Iterator[None]:
    """Turn whatever the DICOM libraries raise for a damaged file into one sentence, and keep their warnings back."""
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (UserError, MemoryError, OSError):
            raise
        except Exception as error:  # pydicom raises errors of nearly every kind for elements that are not valid
            raise EOFError(str(error)) from error


# -- voxels ------------------------------------------------------------------------------------------------------------


class _StoredValues:
    """The voxels of planes as they are stored, before rescaling. The last file stays in memory."""

    def __init__(self) -> None:
        self._file = ""
        self._frames = np.empty(0)

    def of(self, plane: Plane) -> np.ndarray:
        """Return the stored values of a plane, shape (rows, columns)."""
        if plane.file != self._file:
            with _decoding(plane.file):
                frames = _stored(plane.file)
                self._frames = frames.reshape(-1, *plane.shape)
            self._file = plane.file
        return self._frames[plane.frame]


def _stored(file: str) -> np.ndarray:
    """Return the stored values of a file."""
    import pydicom

    dataset = pydicom.dcmread(file, force=True)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:  # without a file meta header the voxels are not compressed
        dataset.file_meta.TransferSyntaxUID = _plain_syntax(dataset)
    elif syntax.is_compressed and syntax != pydicom.uid.DeflatedExplicitVRLittleEndian:
        return _decompressed(dataset, file)
    return dataset.pixel_array


def _plain_syntax(dataset) -> str:
    """Return the transfer syntax that a data set without a file meta header was read with."""
    from pydicom import uid

    implicit, little = getattr(dataset, "original_encoding", None) or (dataset.is_implicit_VR, dataset.is_little_endian)
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _decompressed(dataset, file: str) -> np.ndarray:
    """Return the stored values of a compressed file, by pydicom's decoders or else by those of SimpleITK."""
    try:
        return dataset.pixel_array
    except Exception:  # no decoder for this compression is installed; pydicom's versions raise different errors
        pass
    try:
        return _decompressed_by_itk(dataset)
    except RuntimeError as error:
        raise InputError(f"{quoted(file)} is compressed ({dataset.file_meta.TransferSyntaxUID.name}) in a way that cannot "
                         "be read here, or is damaged: save it without compression.") from error


def _decompressed_by_itk(dataset) -> np.ndarray:
    """Return the stored values by GDCM, from a copy without the elements by which it would rescale them."""
    import SimpleITK as sitk
    from pydicom.dataset import Dataset, FileDataset

    copy = Dataset()
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
                    "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        if keyword in dataset:
            copy[keyword] = dataset[keyword]
    copy.SOPClassUID, copy.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"  # Secondary Capture
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "voxels.dcm")
        whole = FileDataset(path, copy, preamble=bytes(_MAGIC_AT), file_meta=dataset.file_meta)
        whole.is_little_endian, whole.is_implicit_VR = True, False
        whole.save_as(path)
        return sitk.GetArrayFromImage(sitk.ReadImage(name_for_itk(path), imageIO="GDCMImageIO"))


def _phases(arrangement: Arrangement, stored: _StoredValues, name: str, messages: List[str]) -> Tuple[Volume, ...]:
    """Return the volumes, all of one scalar type that holds every value exactly."""
    geometries = [stack_geometry(stack, name, messages) for stack in arrangement.stacks]
    raw: Dict[Tuple[str, int], np.ndarray] = {}
    for plane in sorted((plane for stack in arrangement.stacks for plane in stack), key=lambda p: (p.file, p.frame)):
        raw[plane.file, plane.frame] = stored.of(plane)  # a file after the other: each is decoded once
    dtype = _value_type([(plane, raw[plane.file, plane.frame]) for stack in arrangement.stacks for plane in stack])
    source = Source(arrangement.stacks[0][0].header)
    phases = []
    for number, (stack, geometry) in enumerate(zip(arrangement.stacks, geometries)):
        array = np.empty(geometry.shape, dtype)
        for k, plane in enumerate(stack):
            array[k] = _values(plane, raw.pop((plane.file, plane.frame)))
        phases.append(Volume(array, geometry, stack[0].synthetic, source if number == 0 else None))
    return tuple(phases)


def _values(plane: Plane, stored: np.ndarray) -> np.ndarray:
    """Return stored values * slope + intercept, in a type that holds them exactly where they are whole."""
    if (plane.slope, plane.intercept) == (1, 0):
        return stored
    if _is_whole(plane, stored):
        return stored.astype(np.int64) * int(plane.slope) + int(plane.intercept)
    return stored.astype(np.float64) * plane.slope + plane.intercept


def _is_whole(plane: Plane, stored: np.ndarray) -> bool:
    return stored.dtype.kind in "iu" and float(plane.slope).is_integer() and float(plane.intercept).is_integer()


def _value_type(planes: Sequence[Tuple[Plane, np.ndarray]]) -> np.dtype:
    """Return the smallest type that holds the values of all planes exactly.

    Planes without rescaling and of one type keep it. Else int16 or int32 where all values are whole and fit, float32
    where it holds every value, float64.
    """
    types = {stored.dtype for _, stored in planes}
    if len(types) == 1 and all((plane.slope, plane.intercept) == (1, 0) for plane, _ in planes):
        return types.pop().newbyteorder("=")
    if all(_is_whole(plane, stored) for plane, stored in planes):
        extremes = [extreme for plane, stored in planes for extreme in (_values(plane, stored.min()[None]).item(),
                                                                        _values(plane, stored.max()[None]).item())]
        for dtype in (np.int16, np.int32):
            if np.iinfo(dtype).min <= min(extremes) and max(extremes) <= np.iinfo(dtype).max:
                return np.dtype(dtype)
        return np.dtype(np.float64)
    exact = all(np.array_equal(values, values.astype(np.float32)) for plane, stored in planes
                for values in [_values(plane, stored)])
    return np.dtype(np.float32 if exact else np.float64)
