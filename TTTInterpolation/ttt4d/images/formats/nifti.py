"""NIfTI-1 and NIfTI-2, by nibabel: single files and pairs of .hdr and .img, compressed or not.

The header is used as the file holds it: nibabel's `load` would replace values that are not valid without a word.
References: https://nifti.nimh.nih.gov/nifti-1, https://nifti.nimh.nih.gov/nifti-2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, Iterator, List, Optional, Tuple, cast

import numpy as np

from ...errors import GeometryError, InputError
from .. import marks
from ..files import quoted, reading
from ..frame_writer import OneFileWriter, gzip_stream
from ..phase_times import strictly_increasing
from ..sequence import FrameTimes, PhaseSequence
from ..volume import Geometry, Triple, Volume, check_spacing, rectangular_geometry

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_OWN_DESCRIPTION = b"ttt4d, not for clinical use"
_COMMENT = 6  # code of an extension of plain text
_NIFTI1_LARGEST = 32767  # voxels along an axis
_LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0])
_MILLIMETRES = {1: 1000.0, 3: 0.001}  # of a metre and a micrometre, by the three low bits of xyzt_units
_UNITS_OF_TIME = {8: "s", 16: "ms", 24: "us"}  # by the next three bits
_ORIENTATION = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "qform_code",
                "srow_x", "srow_y", "srow_z", "sform_code")
_LABEL = 1002
# Intent codes of matrices, vectors, colours, and of the displacement fields of FSL's FNIRT and TOPUP.
_SEVERAL_VALUES = {1004, 1005, 1006, 1007, 1010, 2003, 2004, 2006, 2007, 2008, 2009, 2016, 2017}
_INTEGERS = [np.dtype(f"{kind}{size}") for size in (1, 2, 4, 8) for kind in "iu"]


# -- reading -----------------------------------------------------------------------------------------------------------


def read(path: str) -> PhaseSequence:
    """Read a volume, or a sequence along the fourth axis.

    The header is kept as the `source` of every volume, so that a NIfTI result carries on both orientations.
    """
    messages: List[str] = []
    with reading(path), _invalid_header(path):
        header_file, voxel_file = _files_of(path)
        header, comment = _read_header(path, header_file)
        _check_kind(path, header, messages)
        geometry = _geometry(quoted(path), header, messages)
        frames = _read_frames(voxel_file, header)
    own = comment.get("frames", [])
    synthetic = [len(own) == len(frames) and own[number].get(marks.FRAME) == marks.SYNTHETIC
                 for number in range(len(frames))]
    phases = [Volume(frame, geometry, computed, header) for frame, computed in zip(frames, synthetic)]
    times = _times(header, comment, len(frames))
    found = PhaseSequence.counted(phases, messages) if times is None else PhaseSequence(
        tuple(phases), times.values, times.name, times.unit, tuple(messages))
    return dataclasses.replace(found, is_label_map=int(header["intent_code"]) == _LABEL)


@contextlib.contextmanager
def _invalid_header(path: str) -> Iterator[None]:
    """Turn nibabel's errors about a header into one sentence."""
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except HeaderDataError as error:
        raise InputError(f"The header of {quoted(path)} is not valid ({error}): correct it, or get the file "
                         "again.") from error


def _files_of(path: str) -> Tuple[str, str]:
    """Return the file of the header and that of the voxels: one file, or a pair with endings in upper or lower case."""
    folder, name = os.path.split(path)
    lower = name.lower()
    ending = next((e for e in (".hdr.gz", ".img.gz", ".hdr", ".img") if lower.endswith(e)), None)
    if ending is None:
        return path, path
    stem, given, wanted = name[:-len(ending)], ending[:4], ".img" if ending.startswith(".hdr") else ".hdr"
    beside = {entry[len(stem):].lower(): entry for entry in os.listdir(folder or ".") if entry.startswith(stem)}
    found = next((beside[e] for e in (ending.replace(given, wanted), wanted, wanted + ".gz") if e in beside), None)
    if found is None:
        raise InputError(f"{quoted(path)} is one file of a pair, and '{stem + wanted}' is not beside it: put both into "
                         "one folder.")
    other = os.path.join(folder, found)
    return (path, other) if given == ".hdr" else (other, path)


def _open(path: str) -> BinaryIO:
    """Open a file for reading, compressed or not, by its content: names are sometimes wrong about it."""
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else open(path, "rb")


def _read_header(path: str, header_file: str) -> Tuple[Nifti1Header, Dict[str, Any]]:
    """Return the header as the file holds it, and the comment in it where the file is a result of this program."""
    import nibabel
    from nibabel.nifti1 import Nifti1PairHeader
    from nibabel.nifti2 import Nifti2PairHeader

    pair = ".hdr" in os.path.basename(header_file).lower()[-7:]
    kinds = (Nifti1PairHeader, Nifti2PairHeader) if pair else (nibabel.Nifti1Header, nibabel.Nifti2Header)
    with _open(header_file) as file:
        start = file.read(max(kind.sizeof_hdr for kind in kinds))
        kind = next((kind for kind in kinds if kind.may_contain_header(start)), None)
        if kind is None:
            if nibabel.AnalyzeHeader.may_contain_header(start):
                raise InputError(f"{quoted(path)} is an Analyze 7.5 image, which does not tell its orientation: "
                                 "convert it to NIfTI first.")
            raise EOFError("no NIfTI header")
        header = kind(start[:kind.sizeof_hdr], check=False)
        if not pair and header.get_data_offset() < header.single_vox_offset:
            raise EOFError("the voxels begin inside the header")
        file.seek(header.sizeof_hdr)
        return header, _own_comment(header, file)


def _own_comment(header: Nifti1Header, file: BinaryIO) -> Dict[str, Any]:
    """Return what a result of this program says of its frames.

    Empty for any other file, such as a copy by a program that drops the comment.
    """
    from nibabel.spatialimages import HeaderDataError
    from nibabel.volumeutils import native_code

    if not header["descrip"].item().startswith(_OWN_DESCRIPTION) or file.read(4)[:1] != b"\1":
        return {}
    try:
        extensions = header.exts_klass.from_fileobj(file, header.get_data_offset() - file.tell(),
                                                    header.endianness != native_code)
        found = json.loads(next(e.get_content() for e in extensions if e.get_code() == _COMMENT))
        return found if all(isinstance(frame, dict) for frame in found["frames"]) else {}
    except (HeaderDataError, StopIteration, ValueError, KeyError, TypeError):
        return {}


def _check_kind(path: str, header: Nifti1Header, messages: List[str]) -> None:
    """Raise `InputError` unless the file holds volumes of one real value per voxel."""
    shape, dtype = header.get_data_shape(), _voxel_type(path, header)
    if len(shape) < 3 or min(shape) < 1:
        raise InputError(f"{quoted(path)} is an empty or two-dimensional image: give a volume.")
    if dtype.names:
        raise InputError(f"{quoted(path)} has colours ({', '.join(dtype.names)}) as voxels: give an image with one "
                         "grey value a voxel.")
    if dtype.kind == "c":
        raise InputError(f"{quoted(path)} has complex voxels: give its magnitude image.")
    several = [size for size in shape[3:] if size > 1]
    if several and int(header["intent_code"]) in _SEVERAL_VALUES:
        raise InputError(f"{quoted(path)} has {several[-1]} values a voxel (a vector or matrix image): give an image "
                         "with one grey value a voxel.")
    if len(several) > 1:
        raise InputError(f"{quoted(path)} has {len(shape)} dimensions: give a volume, or a sequence of volumes.")
    if several and several[0] != shape[3]:
        messages.append(f"Axis {shape.index(several[0], 3) + 1} of {quoted(path)} is taken for its phases.")


def _voxel_type(path: str, header: Nifti1Header) -> np.dtype:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):  # a code that is known but cannot be read; one that is not known
        dtype = np.dtype("V")
    if dtype.kind == "V" and not dtype.names:
        raise InputError(f"{quoted(path)} has voxels of a type that cannot be read (NIfTI code {header['datatype']}): "
                         "convert it to int16 or float32 first.")
    return dtype


def _geometry(name: str, header: Nifti1Header, messages: List[str]) -> Geometry:
    """Return the grid in LPS mm by the sform, else the qform, as nibabel takes them; else by the spacing alone.

    What is assumed is appended to the messages. Spacing and `pixdim[0]` in the header are made valid.
    """
    shape = header.get_data_shape()[2::-1]
    _check_spacing(name, header, messages)
    grids: Dict[str, Tuple[Geometry, str]] = {}
    refusals: List[GeometryError] = []
    for form in ("sform", "qform"):
        try:
            if header[f"{form}_code"] > 0:
                grids[form] = rectangular_geometry(name, shape, *_lps(header, _affine(name, header, form)))
        except GeometryError as error:
            refusals.append(error)
    if not grids:
        if refusals:
            raise refusals[0]
        messages.append(f"{name} does not tell its orientation (its qform and sform codes are 0): its first axis is "
                        "taken to run from right to left, the second to the front, the third to the head.")
        return rectangular_geometry(name, shape, *_lps(header, header.get_base_affine()))[0]
    used, (geometry, message) = next(iter(grids.items()))
    if message:
        messages.append(message)
    if refusals:
        messages.append(f"The {'qform' if used == 'sform' else 'sform'} of {name} is not a valid rectangular grid: its "
                        f"{used} is used.")
    by_spacing = dataclasses.replace(geometry, spacing=_spacing(header))
    other, what = (grids["qform"][0], "qform") if len(grids) > 1 else (by_spacing, "spacing in pixdim")
    differences = geometry.differences(other)
    if differences:
        messages.append(f"The {used} and the {what} of {name} disagree ({differences}): the {used} is used.")
    return geometry


def _check_spacing(name: str, header: Nifti1Header, messages: List[str]) -> None:
    """Make the spacing positive, and refuse what is not a length."""
    spacing, scale = np.abs(header["pixdim"][1:4]), _to_millimetres(header)
    check_spacing(name, spacing)
    if (header["pixdim"][1:4] < 0).any():
        messages.append(f"The voxel spacing of {name} is negative along an axis: its absolute value is used.")
        header["pixdim"][1:4] = spacing
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1  # what 0 stands for
    if scale != 1:
        messages.append(f"The lengths in {name} are in {'metres' if scale > 1 else 'micrometres'}: they are converted "
                        "to millimetres.")


def _to_millimetres(header: Nifti1Header) -> float:
    return _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)


def _spacing(header: Nifti1Header) -> Triple:
    """Return the mm along (k, j, i) of `pixdim`."""
    k, j, i = (float(value) * _to_millimetres(header) for value in header["pixdim"][3:0:-1])
    return k, j, i


def _affine(name: str, header: Nifti1Header, form: str) -> np.ndarray:
    """Return the affine of the sform or the qform, (4, 4), from (i, j, k) to RAS in the file's unit of length."""
    try:
        affine = header.get_sform() if form == "sform" else header.get_qform()
    except ValueError:  # a quaternion longer than 1
        affine = np.full((4, 4), np.nan)
    if not np.isfinite(affine).all():
        raise GeometryError(f"The {form} of {name} holds values that are not valid: correct the file's header.")
    return affine


def _lps(header: Nifti1Header, affine: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the steps along (k, j, i) and the origin, in LPS mm."""
    lps = _to_millimetres(header) * _LPS_OF_RAS @ affine[:3]
    return lps[:, 2::-1], lps[:, 3]


def _read_frames(voxel_file: str, header: Nifti1Header) -> List[np.ndarray]:
    """Return the frames (k, j, i), scaled as the header says."""
    from nibabel.arrayproxy import ArrayProxy

    with _open(voxel_file) as file:
        stored = ArrayProxy(file, header, mmap=False).get_unscaled()
        for _ in iter(lambda: file.read(1 << 20), b""):  # to the end, where a compressed file has its checksum
            pass
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    slope, inter = header.get_slope_inter()
    slope, inter = (1.0, 0.0) if slope is None else (slope, inter)  # a slope of 0 stands for no scaling
    dtype = stored.dtype if (slope, inter) == (1, 0) else _scaled_type(stored, slope, inter)
    return [_scaled(frame, slope, inter, dtype) for frame in stored.T.reshape(-1, *stored.shape[2::-1])]


def _scaled_type(stored: np.ndarray, slope: float, inter: float) -> np.dtype:
    """Return the smallest type that holds the scaled voxels.

    Whole numbers stay whole where slope and intercept are. The type depends on the stored one where possible, and not
    on the values, so that the phases of one series get the same.
    """
    if stored.dtype.kind == "f":
        return stored.dtype
    limits = np.iinfo(stored.dtype)
    if slope.is_integer() and inter.is_integer():
        of_type, of_voxels = (sorted(int(slope) * int(value) + int(inter) for value in ends)
                              for ends in ((limits.min, limits.max), (stored.min(), stored.max())))
        same_size = [dtype for dtype in _INTEGERS if dtype.itemsize in (stored.itemsize, max(stored.itemsize, 2))]
        for (low, high), dtypes in ((of_type, same_size), (of_voxels, same_size), (of_voxels, _INTEGERS)):
            for dtype in dtypes:
                if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                    return dtype
        return np.dtype(np.float64)
    largest = max(abs(slope * value + inter) for value in (limits.min, limits.max))
    with np.errstate(over="ignore"):
        precise = np.spacing(np.float32(largest)) <= abs(slope) / 64  # of one grey level
    return np.dtype(np.float32 if precise else np.float64)


def _scaled(frame: np.ndarray, slope: float, inter: float, dtype: np.dtype) -> np.ndarray:
    if (slope, inter) == (1, 0):
        return frame.astype(dtype, copy=False)
    if dtype.kind == "f":
        return (frame.astype(np.float64) * slope + inter).astype(dtype)
    # The result fits, and so it is exact although sums may wrap around on the way.
    unsigned, values = np.dtype(f"u{dtype.itemsize}"), 2 ** (8 * dtype.itemsize)
    factor, term = (unsigned.type(int(number) % values) for number in (slope, inter))
    return (frame.astype(unsigned) * factor + term).view(dtype)


def _times(header: Nifti1Header, comment: Dict[str, Any], frames: int) -> Optional[FrameTimes]:
    """Return when the phases were acquired, where the file tells.

    The comment of a result of this program tells, else the time step in `pixdim[4]` with its unit.
    """
    kept = comment.get("times")
    if kept and len(kept["values"]) == frames:
        return FrameTimes(tuple(kept["values"]), kept["name"], kept["unit"])
    unit = _UNITS_OF_TIME.get(int(header["xyzt_units"]) & 56)
    if unit is None or frames < 2 or header.get_data_shape()[3] != frames:
        return None
    start, step = (float(str(number)) for number in (header["toffset"], header["pixdim"][4]))
    values = tuple(start + step * number for number in range(frames))
    return FrameTimes(values, "time", unit) if strictly_increasing(values) else None


# -- writing -----------------------------------------------------------------------------------------------------------


class Writer(OneFileWriter):
    """A 4D NIfTI file, or a 3D one of a single frame, gzipped by its name.

    Its header tells the same orientation as the input's, where that was a NIfTI file, and the time step. A comment
    extension holds percent, marks and provenance of the frames as JSON. NIfTI-1 is written, and NIfTI-2 where the input
    was NIfTI-2 or an axis is too long for NIfTI-1.
    """

    def _begin(self, file: BinaryIO) -> BinaryIO:
        from nibabel import Nifti2Header
        from nibabel.nifti1 import Nifti1Extension

        frames = [{"index": index, marks.FRAME: marks.mark(acquired)}
                  for index, acquired in zip(self.index, self.acquired)]
        comment: Dict[str, Any] = {"index": "phase (%)", "frames": frames, "provenance": self.provenance}
        header = _new_header(self.geometry, self.dtype, len(frames), self.source)
        if isinstance(header, Nifti2Header) and not isinstance(self.source, Nifti2Header):
            self.messages.append(f"{quoted(self.path)} is written as NIfTI-2, because an axis has more than "
                                 f"{_NIFTI1_LARGEST} voxels; many programs cannot read that.")
        if self.times is not None:
            comment["times"] = dataclasses.asdict(self.times)
            _set_times(header, self.times)
        header.extensions.append(Nifti1Extension(_COMMENT, json.dumps(comment).encode()))
        stream = gzip_stream(file) if self.path.lower().endswith(".gz") else file
        header.write_to(stream)
        return stream


def _new_header(geometry: Geometry, dtype: np.dtype, frames: int, source: Optional[object]) -> Nifti1Header:
    """Return the header of so many frames on a grid.

    It tells the orientation as the input's header does where that is one of NIfTI, and as much as that on another grid.
    """
    import nibabel

    too_long = max(*geometry.shape, frames) > _NIFTI1_LARGEST
    second = too_long or isinstance(source, nibabel.Nifti2Header)
    header = (nibabel.Nifti2Header if second else nibabel.Nifti1Header)(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(geometry.shape[::-1] if frames == 1 else (*geometry.shape[::-1], frames))
    header.set_slope_inter(1, 0)
    header["descrip"] = _OWN_DESCRIPTION
    if not isinstance(source, nibabel.Nifti1Header):
        codes = {"qform": 0, "sform": 1}
    elif _geometry("", source, []).differences(geometry):
        codes = {form: int(source[f"{form}_code"]) for form in ("qform", "sform")}
    else:
        for field in _ORIENTATION:
            header[field] = source[field]
        header["pixdim"][:4] = source["pixdim"][:4]
        header["xyzt_units"] = int(source["xyzt_units"]) & 7
        return header
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = _LPS_OF_RAS @ geometry.matrix[:, ::-1], _LPS_OF_RAS @ geometry.origin
    header.set_qform(affine, codes["qform"])
    header.set_sform(affine, codes["sform"])
    header.set_xyzt_units("mm")
    return header


def _set_times(header: Nifti1Header, times: FrameTimes) -> None:
    """Write the time step and its unit, where the frames are evenly spaced in a unit that NIfTI knows."""
    code = next((code for code, unit in _UNITS_OF_TIME.items() if unit == times.unit), None)
    steps = np.diff(times.values)
    if code is None or not len(steps) or not np.allclose(steps, steps.mean(), rtol=1e-4, atol=0):
        return
    header["pixdim"][4], header["toffset"] = steps.mean(), times.values[0]
    header["xyzt_units"] = (int(header["xyzt_units"]) & 7) | code
