"""Results as DICOM: one derived series in the study of the input, in a folder with a name that ends in .dcm.

Each frame is a stack of single-frame instances, or one multi-frame instance where the input was Enhanced MR or CT.
Values that 16 bits cannot hold are rescaled slice by slice.
"""

from __future__ import annotations

import contextlib
import copy
import os
from datetime import datetime
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np

from ... import __version__
from .. import marks
from ..frame_writer import FrameWriter
from ..output_paths import staged
from ..volume import Geometry
from .dicom_headers import Source
from .dicom_voxels import write_file

_NOTICE = "synthetic frames, not for clinical use"
_CT, _MR, _PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"
_ENHANCED = {"1.2.840.10008.5.1.4.1.1.2.1": "CT", "1.2.840.10008.5.1.4.1.1.4.1": "MR"}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Elements of the patient's study that a derived series shares, beside all of group 0010 (patient).
_STUDY = ("SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyDate", "StudyTime", "AccessionNumber",
          "ReferringPhysicianName", "StudyDescription", "StudyInstanceUID", "StudyID", "Modality", "BodyPartExamined",
          "Laterality", "PatientPosition", "FrameOfReferenceUID", "PositionReferenceIndicator", "WindowCenter",
          "WindowWidth", "WindowCenterWidthExplanation", "RescaleType", "LossyImageCompression",
          "LossyImageCompressionRatio", "LossyImageCompressionMethod")
# Elements that every image has, if need be empty.
_REQUIRED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
             "ReferringPhysicianName", "StudyID", "PositionReferenceIndicator")
# Elements of the acquisition (groups 0018 and 0054) that say when or where, which each frame says anew.
_OF_ONE_FRAME = ("TriggerTime", "NominalInterval", "LowRRValue", "HighRRValue", "IntervalsAcquired",
                 "IntervalsRejected", "CardiacNumberOfImages", "TemporalResolution", "FrameTime", "FrameTimeVector",
                 "SliceThickness", "SpacingBetweenSlices", "FrameReferenceTime", "ImageIndex")


class Writer(FrameWriter):
    """A folder of DICOM files, one series; it takes its place when the last frame is complete."""

    def _start(self) -> None:
        source = self.source if isinstance(self.source, Source) else None
        if source is None:
            self.messages.append("The phases do not come from DICOM files: the result is a new study without the "
                                 "elements of a patient.")
        self._series = _Series(source, self.geometry, self.dtype)
        if not self._series.holds(self.dtype):
            self.messages.append(f"DICOM holds 16 bits a voxel: the values ({self.dtype}) are rounded to 65536 levels "
                                 "for each slice, by less than half a level.")
        self._outputs = contextlib.ExitStack()
        self._folder = str(self._outputs.enter_context(staged(self.path, folder=True)))

    def _write(self, number: int, array: np.ndarray) -> None:
        elements = {**self._frame_elements(number), "ContributingEquipmentSequence": self._equipment()}
        if self._series.enhanced:
            dataset = self._series.multi_frame(number, array, elements)
            write_file(dataset, os.path.join(self._folder, f"frame_{number:03d}.dcm"))
            return
        for k, plane in enumerate(array):
            dataset = self._series.single_frame(number, k, plane, elements)
            write_file(dataset, os.path.join(self._folder, f"frame_{number:03d}_slice_{k:04d}.dcm"))

    def _finish(self) -> None:
        self._outputs.close()

    def _discard(self) -> None:
        error = RuntimeError("not complete")
        with contextlib.suppress(RuntimeError):
            self._outputs.__exit__(RuntimeError, error, None)

    def _frame_elements(self, number: int) -> Dict[str, Any]:
        """Return what a frame says of itself: its mark and its time."""
        name, unit, time = "", "%", self.index[number]  # percent of the sequence
        if self.times is not None:
            name, unit, time = self.times.name, self.times.unit, self.times.values[number]
        at = f", {time:.10g} {unit}" if unit else ""
        elements: Dict[str, Any] = {
            "TemporalPositionIdentifier": number + 1, "NumberOfTemporalPositions": len(self.index),
            "ImageComments": f"{marks.FRAME}={marks.mark(self.acquired[number])}{at}; not for clinical use",
        }
        if name in ("cardiac phase", "respiratory phase"):
            elements[f"NominalPercentageOf{name.title().replace(' ', '')}"] = float(time)
        elif name == "trigger time":
            elements["TriggerTime"] = _decimal(time)
        elif unit in ("ms", "s"):
            elements["TemporalPositionTimeOffset"] = time / 1000 if unit == "ms" else float(time)
        return elements

    def _equipment(self) -> List[Any]:
        """Return the item that names this program and keeps the provenance of the result."""
        return [_item(PurposeOfReferenceCodeSequence=[_item(CodeValue="109102", CodingSchemeDesignator="DCM",
                                                            CodeMeaning="Processing Equipment")],
                      Manufacturer="TTTInterpolation", ManufacturerModelName="ttt4d",
                      SoftwareVersions=self.provenance.get("ttt4d.version", ""),
                      ContributionDescription="; ".join(f"{key}={value}" for key, value in
                                                        self.provenance.items())[:1024])]


class _Series:
    """The series of a result: what its instances share, and how a frame becomes one.

    Parameters
    ----------
    source : Source, optional
        What the input tells; None for an input of another format.
    geometry : Geometry
        The grid of the frames.
    dtype : numpy.dtype
        Their scalar type.
    """

    def __init__(self, source: Optional[Source], geometry: Geometry, dtype: np.dtype) -> None:
        header = source.header if source is not None else None
        measures = _measures(geometry, source)
        self._geometry, self._signed = geometry, dtype.kind == "i" and self.holds(dtype)
        source_class = str(header.get("SOPClassUID", "")) if header is not None else ""
        self.enhanced = source_class in _ENHANCED
        known = source_class if self.enhanced or source_class in (_CT, _MR, _PET) else _SECONDARY_CAPTURE
        self._common = _common_elements(header, known)
        if self.enhanced:
            self._common.update(_enhanced_elements(_ENHANCED[source_class], geometry, measures, header))
        else:
            _set(self._common, ImageOrientationPatient=_orientation(geometry), **measures,
                 **_class_elements(self._common))

    @staticmethod
    def holds(dtype: np.dtype) -> bool:
        """Whether 16 bits hold every value of a scalar type."""
        return dtype.kind in "iu" and dtype.itemsize <= 2

    def single_frame(self, number: int, k: int, plane: np.ndarray, elements: Dict[str, Any]):
        """Return the instance of slice k of a frame, shape (rows, columns)."""
        stored, slope, intercept = self._stored(plane)
        dataset = self._instance(number * self._geometry.shape[0] + k + 1, stored, elements)
        _set(dataset, ImagePositionPatient=_position(self._geometry, k), RescaleSlope=slope, RescaleIntercept=intercept)
        if dataset.SOPClassUID == _PET:
            _set(dataset, ImageIndex=dataset.InstanceNumber, FrameReferenceTime=elements.get("TriggerTime", "0"),
                 NumberOfSlices=self._geometry.shape[0])
        return dataset

    def multi_frame(self, number: int, array: np.ndarray, elements: Dict[str, Any]):
        """Return the instance of a whole frame, shape (k, j, i), with a functional group for each slice."""
        planes = [self._stored(plane) for plane in array]
        dataset = self._instance(number + 1, np.stack([stored for stored, _, _ in planes]), {
            name: value for name, value in elements.items()
            if name in ("ImageComments", "ContributingEquipmentSequence")})
        dataset.NumberOfFrames = len(array)
        dataset.PerFrameFunctionalGroupsSequence = [
            _functional_group(number, k, _position(self._geometry, k), elements, RescaleSlope=slope,
                              RescaleIntercept=intercept, RescaleType="HU" if dataset.Modality == "CT" else "US")
            for k, (_, slope, intercept) in enumerate(planes)]
        return dataset

    def _stored(self, plane: np.ndarray) -> Tuple[np.ndarray, str, str]:
        """Return the stored values, slope and intercept of a slice; value = stored * slope + intercept."""
        if self.holds(plane.dtype):
            return plane.astype(np.int16 if self._signed else np.uint16), "1", "0"
        values = plane.astype(np.float64)
        low, high = min(values.min(), 0.0), values.max()
        whole = plane.dtype.kind in "iu" and high - low <= 65535
        slope = "1" if whole or high == low else _decimal((high - low) / 65535)
        intercept = _decimal(low)
        stored = np.rint((values - float(intercept)) / float(slope))
        return np.clip(stored, 0, 65535).astype(np.uint16), slope, intercept

    def _instance(self, number: int, stored: np.ndarray, elements: Dict[str, Any]):
        """Return an instance with the elements of the series and its own voxels."""
        from pydicom.dataset import Dataset
        from pydicom.uid import generate_uid

        dataset = Dataset()
        dataset.update(self._common)
        now = datetime.now()
        _set(dataset, SOPInstanceUID=generate_uid(prefix=None), InstanceNumber=number,
             ContentDate=f"{now:%Y%m%d}", ContentTime=f"{now:%H%M%S}", Rows=stored.shape[-2], Columns=stored.shape[-1],
             SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15,
             PixelRepresentation=int(self._signed), **elements)
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        dataset["PixelData"].VR = "OW"
        return dataset


def _common_elements(header: Optional[Any], sop_class: str):
    """Return the elements that all instances of a result share."""
    from pydicom.datadict import keyword_for_tag
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    common = Dataset()
    header = Dataset() if header is None else header
    same_class = _value(header, "SOPClassUID") == sop_class and sop_class not in _ENHANCED
    for tag in header.keys():
        keyword = keyword_for_tag(tag)  # "" for private elements
        acquisition = same_class and tag.group in (0x0018, 0x0054) and keyword not in _OF_ONE_FRAME
        if keyword and (tag.group == 0x0010 or keyword in _STUDY or acquisition):
            with contextlib.suppress(Exception):  # an element whose value is not valid is not carried on
                common[tag] = copy.deepcopy(header[tag])
    for keyword in _REQUIRED:
        if keyword not in common:
            setattr(common, keyword, None)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if not common.get(keyword):
            setattr(common, keyword, generate_uid(prefix=None))
    kind = [str(word) for word in _value(header, "ImageType") or ()][2:]
    description = str(_value(header, "SeriesDescription") or "")[:62 - len(_NOTICE)]
    now = datetime.now()
    _set(common, SOPClassUID=sop_class, Modality=_value(header, "Modality") or "OT",
         SeriesInstanceUID=generate_uid(prefix=None), SeriesDate=f"{now:%Y%m%d}", SeriesTime=f"{now:%H%M%S}",
         SeriesNumber=10000 + int(_value(header, "SeriesNumber") or 0) % 10000,
         SeriesDescription=f"{description}: {_NOTICE}" if description else _NOTICE,
         ImageType=["DERIVED", "SECONDARY", *(kind or ["AXIAL" if sop_class == _CT else "OTHER"])],
         Manufacturer="TTTInterpolation", ManufacturerModelName="ttt4d", ContentCreatorName="ttt4d",
         DerivationDescription="Frames between acquired phases, computed by test-time training (ttt4d). Not for "
                               "clinical use. ImageComments or FrameComments mark each frame acquired or synthetic.")
    return common


def _class_elements(common) -> Dict[str, Any]:
    """Return the elements that an image of a class needs, where the input has none."""
    needed: Dict[str, Dict[str, Any]] = {
        _CT: {"KVP": None, "AcquisitionNumber": None},
        _MR: {"ScanningSequence": "RM", "SequenceVariant": "NONE", "ScanOptions": None, "MRAcquisitionType": None,
              "RepetitionTime": None, "EchoTime": None, "EchoTrainLength": None},
        _PET: {"AcquisitionDate": None, "AcquisitionTime": None},
        _SECONDARY_CAPTURE: {"ConversionType": "WSD"},
    }
    return {keyword: value for keyword, value in needed.get(str(common.SOPClassUID), {}).items()
            if keyword not in common}


def _enhanced_elements(kind: str, geometry: Geometry, measures: Dict[str, Any], header):
    """Return what the multi-frame instances of a series share: dimensions and shared functional groups."""
    from pydicom.uid import generate_uid

    organization = generate_uid(prefix=None)
    image_type = ["DERIVED", "SECONDARY", *([str(word) for word in _value(header, "ImageType") or ()][2:]
                                            or ["VOLUME", "NONE"])]
    described = {"PixelPresentation": "MONOCHROME", "VolumetricProperties": "VOLUME",
                 "VolumeBasedCalculationTechnique": "NONE"}
    if kind == "MR":
        described.update(ComplexImageComponent=_value(header, "ComplexImageComponent") or "MAGNITUDE",
                         AcquisitionContrast=_value(header, "AcquisitionContrast") or "UNKNOWN")
    dimensions = [_item(DimensionOrganizationUID=organization, DimensionIndexPointer=pointer,
                        FunctionalGroupPointer=0x00209111) for pointer in (0x00209128, 0x00209057)]
    shared = _item(
        PixelMeasuresSequence=[_item(**measures)],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=_orientation(geometry))],
        **{f"{kind}ImageFrameTypeSequence": [_item(FrameType=image_type, **described)]})
    return _item(ImageType=image_type, DeviceSerialNumber="none", SoftwareVersions=__version__,
                 AcquisitionContextSequence=[], ContentQualification="RESEARCH", PresentationLUTShape="IDENTITY",
                 BurnedInAnnotation="NO", LossyImageCompression=_value(header, "LossyImageCompression") or "00",
                 DimensionOrganizationSequence=[_item(DimensionOrganizationUID=organization)],
                 DimensionIndexSequence=dimensions, SharedFunctionalGroupsSequence=[shared], **described)


def _functional_group(number: int, k: int, position: List[str], elements: Dict[str, Any], **rescaling: str):
    """Return what slice k of a frame says of itself in a multi-frame instance."""
    group = _item(
        FrameContentSequence=[_item(StackID="1", InStackPositionNumber=k + 1, TemporalPositionIndex=number + 1,
                                    DimensionIndexValues=[number + 1, k + 1],
                                    FrameComments=elements["ImageComments"])],
        PlanePositionSequence=[_item(ImagePositionPatient=position)],
        PixelValueTransformationSequence=[_item(**rescaling)])
    if "NominalPercentageOfCardiacPhase" in elements:
        group.CardiacSynchronizationSequence = [
            _item(NominalPercentageOfCardiacPhase=elements["NominalPercentageOfCardiacPhase"])]
    if "NominalPercentageOfRespiratoryPhase" in elements:
        group.RespiratorySynchronizationSequence = [
            _item(NominalPercentageOfRespiratoryPhase=elements["NominalPercentageOfRespiratoryPhase"])]
    if "TriggerTime" in elements:
        group.CardiacSynchronizationSequence = [_item(NominalCardiacTriggerDelayTime=float(elements["TriggerTime"]))]
    if "TemporalPositionTimeOffset" in elements:
        group.TemporalPositionSequence = [_item(TemporalPositionTimeOffset=elements["TemporalPositionTimeOffset"])]
    return group


def _value(header, keyword: str) -> Any:
    """Return the value of an element of the input; None where it is missing, empty or not valid."""
    with contextlib.suppress(Exception):  # pydicom raises errors of nearly every kind
        return header.get(keyword)
    return None


def _measures(geometry: Geometry, source: Optional[Source]) -> Dict[str, Any]:
    between, rows, columns = geometry.spacing
    thickness = between if source is None else source.thickness_at(between)
    return {"PixelSpacing": [_decimal(rows), _decimal(columns)], "SliceThickness": _decimal(thickness),
            "SpacingBetweenSlices": _decimal(between)}


def _orientation(geometry: Geometry) -> List[str]:
    direction = np.asarray(geometry.direction)
    return _decimals([*direction[:, 2], *direction[:, 1]])


def _position(geometry: Geometry, k: int) -> List[str]:
    return _decimals(geometry.index_to_world((k, 0, 0)))


def _decimal(value: float) -> str:
    """Return a number in the at most 16 characters of a decimal string."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))


def _decimals(values: Iterable[float]) -> List[str]:
    return [_decimal(value) for value in values]


def _item(**elements: Any):
    """Return a data set of these elements."""
    from pydicom.dataset import Dataset

    return _set(Dataset(), **elements)


def _set(dataset, **elements: Any):
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset
