"""DICOM headers as one flat list of image planes, whatever kind of object each plane comes from.

A classic file holds one plane. A multi-frame file holds many: its functional groups (Enhanced MR, CT and PET) or its
frame increment pointer (nuclear medicine, ultrasound, X-ray angiography) say where and when each frame was acquired.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Dict, Hashable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...errors import InputError
from ..files import quoted
from ..marks import FRAME

# The value of an element by its keyword, or by creator, group and offset of a private one; None where it is missing or
# empty.
Element = Callable[[Any], Any]


@dataclass(frozen=True)
class Source:
    """What a result needs of the images that it was computed from (`Volume.source`).

    Parameters
    ----------
    header : pydicom.Dataset
        The header of the first slice of the first phase, without pixels.
    slice_thickness, slice_spacing : float, optional
        Of the first phase, in mm; None where they are not known but from the header.
    """

    header: Any
    slice_thickness: Optional[float] = None
    slice_spacing: Optional[float] = None

    def thickness_at(self, spacing: float) -> float:
        """Return the thickness of slices of a result: that of the acquired ones where they lie as closely, in mm."""
        thickness = self.slice_thickness or _positive(self.header.get("SliceThickness"))
        same = self.slice_spacing is None or np.isclose(self.slice_spacing, spacing, rtol=1e-3)
        return thickness if thickness and same else spacing


@dataclass(frozen=True)
class Plane:
    """One two-dimensional image, its place, its scaling and what tells it from the others at its place.

    Parameters
    ----------
    file : str
        The path of its file.
    frame : int
        Its number in the file, counted from 0.
    header : pydicom.Dataset
        The header of the file, without pixels.
    series : str
        The UID of its series.
    mark : str
        "acquired" or "synthetic" in a result of this program, else "".
    is_localizer : bool
        Whether it was made to plan other images on.
    shape : tuple of int
        Rows and columns.
    spacing : tuple of float
        Millimetres between rows and between columns.
    orientation : numpy.ndarray of shape (2, 3)
        LPS unit vectors along a row (towards higher columns) and along a column.
    position : numpy.ndarray of shape (3,), optional
        LPS mm of the centre of the first voxel; None where the file does not tell.
    thickness : float, optional
        Slice thickness in mm.
    slope, intercept : float
        Value = stored value * slope + intercept.
    times : mapping of str to float
        When it was acquired, by the names of `CLOCKS`.
    contrasts : mapping of str to hashable
        What else may differ between planes at one place, such as the echo time.
    assumed : tuple of str
        What its file does not tell and was assumed, full sentences with {} for the name.
    """

    file: str
    frame: int
    header: Any
    series: str
    mark: str
    is_localizer: bool
    shape: Tuple[int, int]
    spacing: Tuple[float, float]
    orientation: np.ndarray
    position: Optional[np.ndarray]
    thickness: Optional[float]
    slope: float
    intercept: float
    times: Mapping[str, float] = field(default_factory=dict)
    contrasts: Mapping[str, Hashable] = field(default_factory=dict)
    assumed: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """One way in which headers tell when a plane was acquired.

    Parameters
    ----------
    name, unit : str
        As in `PhaseSequence`.
    explicit : bool
        Whether it numbers the phases themselves. A mere time of acquisition also differs between echoes, between
        diffusion directions and between slices.
    read : callable
        Takes an `Element` and returns the number, or None.
    described : bool
        Whether the number comes from a description that somebody wrote.
    """

    name: str
    unit: str
    explicit: bool
    read: Callable[[Element], Optional[float]]
    described: bool = False


def planes_of(header, path: str) -> List[Plane]:
    """Return the planes of one image file.

    Parameters
    ----------
    header : pydicom.Dataset
        The file's header, without pixels.
    path : str
        The file's path.

    Raises
    ------
    InputError
        For an image in colour, one whose spacing is not told, and frames that tell neither place nor time.
    """
    _check_voxels(header, path)
    count = int(header.get("NumberOfFrames") or 1)
    if header.get("PerFrameFunctionalGroupsSequence"):
        frames = _functional_groups(header, path, count)
    elif count > 1:
        frames = _vectors(header, path, count)
    else:
        frames = iter([{}])
    return [_plane(header, path, number, frame) for number, frame in enumerate(frames)]


def _check_voxels(header, path: str) -> None:
    if (header.get("SamplesPerPixel") or 1) != 1 or "PALETTE" in str(header.get("PhotometricInterpretation", "")):
        raise InputError(f"{quoted(path)} is a DICOM image in colour: give an image with one grey value a voxel.")
    if "MOSAIC" in [str(word).upper() for word in header.get("ImageType") or ()]:
        raise InputError(f"{quoted(path)} is a mosaic, all slices side by side in one image: convert it to an image a "
                         "slice, or to NIfTI.")
    if header.get("ModalityLUTSequence"):
        raise InputError(f"The values of {quoted(path)} go through a look-up table (Modality LUT Sequence): convert it "
                         "to an image with Rescale Slope and Intercept.")


def _plane(header, path: str, number: int, frame: Dict[str, Any]) -> Plane:
    """Return a plane from the header of its file and what the file says of this frame alone."""

    def element(keyword: Any) -> Any:
        value = frame.get(keyword, header.get(keyword)) if isinstance(keyword, str) else _private(header, *keyword)
        return None if hasattr(value, "__len__") and len(value) == 0 else value  # empty counts as missing

    assumed = []
    position = element("ImagePositionPatient") or element("ImagePositionVolume")
    axes = element("ImageOrientationPatient") or element("ImageOrientationVolume")
    if position is None or axes is None:
        assumed.append("{} does not tell where it lies in the patient: its first voxel is taken for the origin and its "
                       "rows for the axis from right to left.")
        position, axes = None, (1, 0, 0, 0, 1, 0)
    axes = np.asarray(axes, dtype=float).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    if not (np.isfinite(axes).all() and (lengths > 0.5).all()):
        raise InputError(f"The Image Orientation (Patient) of {quoted(path)} is not two directions: correct the file's "
                         "header.")
    spacing = _pixel_spacing(element, path, assumed)
    slope, intercept = element("RescaleSlope"), element("RescaleIntercept")
    slope = 1.0 if slope is None else float(slope)
    intercept = 0.0 if intercept is None else float(intercept)
    if slope == 0 or not np.isfinite((slope, intercept)).all():
        raise InputError(f"The Rescale Slope of {quoted(path)} is {slope:g} and its Intercept {intercept:g}, which "
                         "gives no image: correct the file's header.")
    times = {clock.name: clock.read(element) for clock in CLOCKS}
    contrasts = {name: _hashable(read(element)) for name, read in _CONTRASTS.items()}
    return Plane(path, number, header, str(header.get("SeriesInstanceUID", "")), _mark(header), _is_localizer(header),
                 (int(header.Rows), int(header.Columns)), spacing, axes / lengths,
                 None if position is None else np.asarray(position, dtype=float).reshape(3),
                 _positive(element("SliceThickness")), slope, intercept,
                 {name: time for name, time in times.items() if time is not None}, contrasts, tuple(assumed))


def _private(header, creator: str, group: int, offset: int) -> Any:
    with contextlib.suppress(KeyError):
        return header.private_block(group, creator)[offset].value
    return None


def _mark(header) -> str:
    match = re.match(rf"{re.escape(FRAME)}=(\w+)", str(header.get("ImageComments") or ""))
    return match.group(1) if match else ""


def _is_localizer(header) -> bool:
    kind = [str(word).upper() for word in header.get("ImageType") or ()]
    words = f"{header.get('SeriesDescription', '')} {header.get('ProtocolName', '')}"
    return "LOCALIZER" in kind or bool(re.search(r"locali[sz]er|scout|survey|topogram", words, re.IGNORECASE))


def _pixel_spacing(element: Element, path: str, assumed: List[str]) -> Tuple[float, float]:
    """Return millimetres between rows and between columns."""
    if element("PixelSpacing"):
        rows, columns = element("PixelSpacing")
    elif element("ImagerPixelSpacing"):
        rows, columns = element("ImagerPixelSpacing")
        assumed.append("The pixel spacing of {} is that at the detector: distances in the patient are shorter.")
    elif element("SequenceOfUltrasoundRegions"):
        region = element("SequenceOfUltrasoundRegions")[0]
        if {region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")} != {3}:  # centimetres
            raise InputError(f"The axes of {quoted(path)} are not both lengths: give a two-dimensional ultrasound "
                             "image.")
        rows, columns = 10 * abs(region.PhysicalDeltaY), 10 * abs(region.PhysicalDeltaX)
    else:
        raise InputError(f"{quoted(path)} does not tell the size of its pixels (Pixel Spacing): add it to the header.")
    if _positive(rows) is None or _positive(columns) is None:
        raise InputError(f"The Pixel Spacing of {quoted(path)} is {rows} x {columns} mm, which is not above zero: "
                         "correct the file's header.")
    return float(rows), float(columns)


def _functional_groups(header, path: str, count: int) -> Iterator[Dict[str, Any]]:
    """Yield what the functional groups say of each frame: the shared ones, overridden by its own."""
    groups = header.PerFrameFunctionalGroupsSequence
    if len(groups) != count:
        raise InputError(f"{quoted(path)} describes {len(groups)} frames but holds {count}: get the file again.")
    shared: Dict[str, Any] = {}
    for item in header.get("SharedFunctionalGroupsSequence") or ():
        _flatten(item, shared)
    for group in groups:
        frame = dict(shared)
        _flatten(group, frame)
        yield frame


def _flatten(item, found: Dict[str, Any], depth: int = 0) -> None:
    """Collect the elements in an item and in the first items of its sequences, without private ones."""
    for element in item:
        if element.tag.is_private:  # some hold a whole classic header, of another frame or another meaning
            continue
        if element.VR != "SQ":
            found[element.keyword] = element.value
        elif element.value and depth < 3:
            _flatten(element.value[0], found, depth + 1)


def _vectors(header, path: str, count: int) -> Iterator[Dict[str, Any]]:
    """Yield what the frame increment pointer says of each frame: its slice, time slot, frame time and the like."""
    from pydicom.datadict import keyword_for_tag

    pointer = header.get("FrameIncrementPointer")
    tags = [pointer] if isinstance(pointer, int) else list(pointer or ())
    vectors = {keyword: list(np.atleast_1d(header[keyword].value)) for keyword in map(keyword_for_tag, tags)
               if keyword.endswith("Vector") and header.get(keyword) is not None}
    if header.get("FrameTimeVector") is not None and "FrameTimeVector" in vectors:
        vectors["FrameTimeVector"] = np.cumsum(np.asarray(vectors["FrameTimeVector"], dtype=float)).tolist()
    elif not vectors and _positive(header.get("FrameTime")):
        vectors["FrameTimeVector"] = [float(header.FrameTime) * number for number in range(count)]
    if not vectors or any(len(vector) != count for vector in vectors.values()):
        raise InputError(f"{quoted(path)} holds {count} frames but does not tell the place or the time of each: save "
                         "each phase as a volume of its own.")
    slot_length = _slot_length(header)
    if "TimeSlotVector" in vectors and slot_length:
        vectors["FrameTimeVector"] = [(int(slot) - 1) * slot_length for slot in vectors["TimeSlotVector"]]
    place = _slice_positions(header, path) if "SliceVector" in vectors else None
    for number in range(count):
        frame = {keyword: vector[number] for keyword, vector in vectors.items()}
        if place is not None:
            frame["ImagePositionPatient"], frame["ImageOrientationPatient"] = place(int(frame["SliceVector"]))
        yield frame


def _slot_length(header) -> Optional[float]:
    """Return the milliseconds of a time slot of a gated nuclear medicine image, where it tells them."""
    for gated in header.get("GatedInformationSequence") or ():
        for data in gated.get("DataInformationSequence") or ():
            return _positive(data.get("FrameTime"))
    return None


def _slice_positions(header, path: str) -> Callable[[int], Tuple[List[float], List[float]]]:
    """Return the function that gives the position and orientation of slice 1, 2, ... of a nuclear medicine image."""
    detectors = header.get("DetectorInformationSequence") or [header]
    holder = detectors[0] if detectors[0].get("ImagePositionPatient") else header
    step = header.get("SpacingBetweenSlices") or header.get("SliceThickness")  # may be negative: against the normal
    axes = holder.get("ImageOrientationPatient") or header.get("ImageOrientationPatient")
    if not holder.get("ImagePositionPatient") or not axes or not step:
        raise InputError(f"{quoted(path)} does not tell where its slices lie (Image Position, Orientation and Spacing "
                         "Between Slices): save it as a volume with its place.")
    first, axes = np.asarray(holder.ImagePositionPatient, dtype=float), [float(x) for x in axes]
    normal = np.cross(axes[:3], axes[3:])
    return lambda number: ((first + (number - 1) * float(step) * normal).tolist(), axes)


# -- when a plane was acquired, and what else may tell it from others --------------------------------------------------


def _first(*keywords: str) -> Callable[[Element], Optional[float]]:
    """Return a function that reads the first of these elements that a plane has."""
    def read(element: Element) -> Optional[float]:
        value = next((element(keyword) for keyword in keywords if element(keyword) is not None), None)
        with contextlib.suppress(TypeError, ValueError):  # not a number, such as one with a decimal comma
            return None if value is None else float(value)
        return None
    return read


def _described(pattern: str) -> Callable[[Element], Optional[float]]:
    """Return a function that reads the one number in a plane's descriptions that the pattern finds."""
    def read(element: Element) -> Optional[float]:
        for keyword in ("FrameComments", "ImageComments", "SeriesDescription", "ProtocolName"):
            found = re.findall(pattern, _STRENGTH.sub("", str(element(keyword) or "")), re.IGNORECASE)
            if len(found) == 1:
                return float(found[0])
        return None
    return read


def _acquired(element: Element) -> Optional[float]:
    """Return the time of acquisition in seconds since some day."""
    for keyword in ("FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime"):
        if element(keyword):
            return _seconds(str(element(keyword)))
    if element("AcquisitionTime"):
        date = element("AcquisitionDate") or element("SeriesDate") or element("StudyDate") or "20000101"
        return _seconds(f"{date}{element('AcquisitionTime')}")
    return None


def _seconds(text: str) -> Optional[float]:
    """Return the seconds of a DICOM date and time, without its offset from UTC.

    >>> _seconds("20260101120001.5") - _seconds("20260101115959")
    2.5
    """
    match = re.match(r"(\d{8})(\d{2})(\d{2})?(\d{2})?(\.\d+)?", text.replace(":", ""))
    if match is None:
        return None
    date, hours, minutes, seconds, fraction = match.groups()
    try:
        day = (datetime.strptime(date, "%Y%m%d") - datetime(2000, 1, 1)).days
    except ValueError:  # no day, as some programs write to hide it
        return None
    return 86400.0 * day + 3600 * int(hours) + 60 * int(minutes or 0) + int(seconds or 0) + float(fraction or 0)


# The strength of an iterative or deep-learning reconstruction of CT: a number in a description that is no phase.
_STRENGTH = re.compile(r"\b(a?sir|asir|admire|safire|idose|aidr|imr|dlir|veo|mbir|iterative|blend|strength)"
                       r"[-\s_:=]*(v\b)?[-\s_:=]*\d+(\.\d+)? ?(%|percent)?", re.IGNORECASE)

# In the order in which they are asked for an order in time.
CLOCKS = (
    Clock("temporal position", "", True, _first("TemporalPositionIndex", "TemporalPositionIdentifier")),
    Clock("time slot", "", True, _first("TimeSlotVector", "TimeSliceVector", "PhaseVector")),
    Clock("cardiac phase", "%", True, _first("NominalPercentageOfCardiacPhase")),
    Clock("respiratory phase", "%", True, _first("NominalPercentageOfRespiratoryPhase")),
    Clock("gate", "%", True, _described(r"(\d+(?:\.\d+)?) ?(?:%|percent)"), described=True),  # "Gated, 30.0%"
    Clock("phase", "", True, _described(r"(?:\b|_)(?:gated?|phase|bin)[\W_]{0,3}(\d+(?:\.\d+)?)"), described=True),
    Clock("frame time", "ms", True, _first("FrameTimeVector")),
    Clock("trigger time", "ms", False, _first("NominalCardiacTriggerDelayTime", "ActualCardiacTriggerDelayTime",
                                              "CardiacTriggerDelayTime", "TriggerTime")),
    Clock("time offset", "s", False, _first("TemporalPositionTimeOffset")),
    Clock("frame reference time", "ms", False, _first("FrameReferenceTime")),
    Clock("acquisition time", "s", False, _acquired),
)


def _kind_of_image(element: Element) -> Hashable:
    kind = element("FrameType") or element("ImageType") or ()
    return tuple(str(word).upper() for word in ([kind] if isinstance(kind, str) else list(kind))[2:])


# Where Siemens, GE and Philips write the b-value of classic images.
_B_VALUES = (("SIEMENS MR HEADER", 0x0019, 0x0C), ("GEMS_PARM_01", 0x0043, 0x39), ("Philips Imaging DD 001", 0x2001, 3))

_CONTRASTS: Dict[str, Callable[[Element], Any]] = {
    "echo times": lambda e: e("EffectiveEchoTime") or e("EchoTime"),
    "echo numbers": lambda e: e("EchoNumbers"),
    "inversion times": lambda e: e("InversionTimes") or e("InversionTime"),
    "diffusion weightings": lambda e: next(
        (e(key) for key in ("DiffusionBValue", *_B_VALUES) if e(key) is not None), None),
    "sequence names": lambda e: e("SequenceName"),  # tells b-values and the directions of flow encoding
    "diffusion directions": lambda e: e("DiffusionGradientOrientation"),
    "complex components": lambda e: e("ComplexImageComponent"),
    "image types": _kind_of_image,
    "metabolite maps": lambda e: e("MetaboliteMapDescription"),
    "flip angles": lambda e: e("FlipAngle"),
    "tube voltages": lambda e: e("KVP"),
    "reconstruction kernels": lambda e: e("ConvolutionKernel"),
    "stacks": lambda e: e("StackID"),
    "energy windows": lambda e: e("EnergyWindowVector"),
    "detectors": lambda e: e("DetectorVector"),
    "rotations": lambda e: e("RotationVector"),
    "angular views": lambda e: e("AngularViewVector"),
    "beat intervals": lambda e: e("RRIntervalVector"),
    "gantry positions": lambda e: e("FrameTimeVector") if e("PositionerMotion") == "DYNAMIC" else None,
    "series descriptions": lambda e: re.sub(r"[\d.\s%]+", "#", str(e("SeriesDescription") or "")),
}


def _hashable(value: Any) -> Hashable:
    """Return a value of an element in a form that can be compared and counted."""
    if isinstance(value, (str, bytes, int, float, tuple, type(None))):
        return value
    return tuple(value) if hasattr(value, "__iter__") else str(value)


def _positive(value: Any) -> Optional[float]:
    """Return a length above zero, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def varying_contrasts(planes: Sequence[Plane]) -> List[str]:
    """Return what differs among planes apart from place and time, such as "2 echo times"."""
    counts = {name: len({plane.contrasts[name] for plane in planes}) for name in _CONTRASTS}
    return [f"{count} {name}" for name, count in counts.items() if count > 1]
