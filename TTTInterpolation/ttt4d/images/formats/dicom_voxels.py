"""The voxels of DICOM files: decoding, rescaling, and one scalar type for planes that differ in theirs."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from typing import TYPE_CHECKING, Iterator, Optional, Sequence, Tuple

import numpy as np

from ...errors import InputError, UserError
from ..files import name_for_itk, quoted, reading
from .dicom_headers import Plane

if TYPE_CHECKING:
    from pydicom.uid import UID

_PIXEL_ELEMENTS = ("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
                   "BitsStored", "HighBit", "PixelRepresentation", "PixelData")


@contextlib.contextmanager
def decoding(file: str) -> Iterator[None]:
    """Turn whatever the DICOM libraries raise for a damaged file into one sentence, and keep their warnings back."""
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (UserError, MemoryError, OSError):
            raise
        except Exception as error:  # pydicom raises errors of nearly every kind for elements that are not valid
            raise EOFError(str(error)) from error


class StoredValues:
    """The voxels of planes as they are stored, before rescaling. The last file stays in memory."""

    def __init__(self) -> None:
        self._file = ""
        self._frames = np.empty((0, 0, 0))

    def of(self, plane: Plane) -> np.ndarray:
        """Return the stored values of a plane, shape (rows, columns)."""
        if plane.file != self._file:
            with decoding(plane.file):
                self._frames = _without_unused_bits(_stored(plane.file), plane.header).reshape(-1, *plane.shape)
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


def _without_unused_bits(values: np.ndarray, header) -> np.ndarray:
    """Return voxels without what lies above their stored bits, such as an overlay, which pydicom 2 leaves there."""
    unused = 8 * values.itemsize - int(header.get("BitsStored") or 8 * values.itemsize)
    if values.dtype.kind not in "iu" or not 0 < unused < 8 * values.itemsize:
        return values
    return (values << unused) >> unused  # of a signed type the sign is drawn out


def _plain_syntax(dataset) -> UID:
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
        name = dataset.file_meta.TransferSyntaxUID.name
        raise InputError(f"{quoted(file)} is damaged, or compressed in a way that cannot be read here ({name}): save "
                         "it without compression.") from error


def _decompressed_by_itk(dataset) -> np.ndarray:
    """Return the stored values by GDCM, from a copy without the elements by which it would rescale them."""
    import SimpleITK as sitk
    from pydicom.dataset import Dataset

    copy = Dataset()
    for keyword in _PIXEL_ELEMENTS:
        if keyword in dataset:
            copy[keyword] = dataset[keyword]
    copy.SOPClassUID, copy.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"  # Secondary Capture
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "voxels.dcm")
        write_file(copy, path, dataset.file_meta.TransferSyntaxUID)
        return sitk.GetArrayFromImage(sitk.ReadImage(name_for_itk(path), imageIO="GDCMImageIO"))


def write_file(dataset, path: str, syntax: Optional[UID] = None) -> None:
    """Write a DICOM file, by default in explicit little endian byte order; pydicom 2 and 3 alike."""
    import pydicom
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax or pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta = meta
    if int(pydicom.__version__.split(".")[0]) >= 3:
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    else:
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.preamble = bytes(128)
        pydicom.dcmwrite(path, dataset, write_like_original=False)


def rescaled(plane: Plane, stored: np.ndarray) -> np.ndarray:
    """Return stored values * slope + intercept, in a type that holds them exactly where they are whole."""
    if (plane.slope, plane.intercept) == (1, 0):
        return stored
    if _is_whole(plane, stored):
        return stored.astype(np.int64) * int(plane.slope) + int(plane.intercept)
    return stored.astype(np.float64) * plane.slope + plane.intercept


def _is_whole(plane: Plane, stored: np.ndarray) -> bool:
    return stored.dtype.kind in "iu" and float(plane.slope).is_integer() and float(plane.intercept).is_integer()


def common_type(planes: Sequence[Tuple[Plane, np.ndarray]]) -> np.dtype:
    """Return the smallest type that holds the values of all planes exactly.

    Planes without rescaling and of one type keep it. Else int16 or int32 where all values are whole and fit, float32
    where it holds every value, float64.
    """
    types = {stored.dtype for _, stored in planes}
    if len(types) == 1 and all((plane.slope, plane.intercept) == (1, 0) for plane, _ in planes):
        return types.pop().newbyteorder("=")
    if all(_is_whole(plane, stored) for plane, stored in planes):
        extremes = [extreme for plane, stored in planes for extreme in (rescaled(plane, stored.min()[None]).item(),
                                                                        rescaled(plane, stored.max()[None]).item())]
        for dtype in (np.int16, np.int32):
            if np.iinfo(dtype).min <= min(extremes) and max(extremes) <= np.iinfo(dtype).max:
                return np.dtype(dtype)
        return np.dtype(np.float64)
    exact = all(np.array_equal(values, values.astype(np.float32)) for plane, stored in planes
                for values in [rescaled(plane, stored)])
    return np.dtype(np.float32 if exact else np.float64)
