"""Files to take away: models of each frame, and the frames as a DICOM series. Each says which frames are synthetic."""

from __future__ import annotations

import json
import os
from typing import Optional

import slicer
from slicer.i18n import tr as _

from ttt4d.errors import InputError, OutputError
from ttt4d.report import NOTICE

from . import sequences, volumes
from .carry_transfer import carriedOf

MODEL_FORMATS = ("stl", "ply", "vtk")


def modelSequencesOf(frames) -> list:
    """Return the sequences of models that were carried with the motion of the frames, in the order of their making."""
    return [sequence for sequence in reversed(carriedOf(frames, "vtkMRMLSequenceNode"))
            if sequence.GetNumberOfDataNodes() and sequence.GetNthDataNode(0).IsA("vtkMRMLModelNode")]


def saveModels(modelSequences, folder: str, ending: str = "stl") -> list[str]:
    """Save models as one file a frame, with the frame's mark in its name, and return the paths.

    Parameters
    ----------
    modelSequences : sequence of vtkMRMLSequenceNode
        Sequences of models.
    folder : str
        An existing folder. A file `about.json` in it says how the models were made.
    ending : str
        One of `MODEL_FORMATS`.

    Raises
    ------
    OutputError
        If there are no models, or a file cannot be written.
    """
    if not modelSequences:
        raise OutputError(_("There are no models yet: carry a model, or a segmentation as models."))
    paths = []
    for sequence in modelSequences:
        for number, mark in enumerate(sequences.marksOf(sequence)):
            model = sequence.GetNthDataNode(number)
            path = os.path.join(folder, f"{_fileName(sequence.GetName())}_{number:03d}_{mark}.{ending}")
            storage = slicer.vtkMRMLModelStorageNode()
            storage.SetFileName(path)
            if not storage.WriteData(model):
                raise OutputError(_("{path} could not be written: choose another folder.").format(path=path))
            paths.append(path)
    about = {sequence.GetName(): provenanceOf(sequence) for sequence in modelSequences}
    with open(os.path.join(folder, "about.json"), "w", encoding="utf-8") as file:
        json.dump({"notice": NOTICE, "models": about}, file, indent=1)
    return paths


def saveDicom(frames, path: str) -> list[str]:
    """Save frames as one derived DICOM series in the study of their input, and return what was assumed.

    Where the application has a DICOM database, the series is added to it.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode
        A result between phases.
    path : str
        A folder that is made; its name ends in `.dcm`.

    Raises
    ------
    InputError, OutputError
        If the frames cannot be marked one by one in DICOM, or the series cannot be written.
    """
    # Here and not above: Slicer starts without NumPy, and pydicom is needed for this alone.
    from ttt4d.images.formats.dicom_headers import Source
    from ttt4d.images.writers import check_output, open_writer

    if sequences.acquiredSlicesOf(frames) is not None:
        raise InputError(_("{name} has computed slices, which cannot be marked one by one in DICOM: save it with the "
                           "scene, or as .seq.nrrd.").format(name=frames.GetName()))
    first = frames.GetNthDataNode(0)
    header = _dicomHeader(frames.GetNthNodeReference(sequences.INPUT, 0))
    check_output(path, [])
    index = [float(frames.GetNthIndexValue(n)) for n in range(frames.GetNumberOfDataNodes())]
    acquired = [mark == sequences.ACQUIRED for mark in sequences.marksOf(frames)]
    with open_writer(path, volumes.geometryOf(first), volumes.arrayOf(first).dtype, index, acquired,
                     provenanceOf(frames), header and Source(header)) as writer:
        messages = list(writer.messages)
        for number in range(len(index)):
            writer.write(number, volumes.arrayOf(frames.GetNthDataNode(number)))
    database = getattr(slicer, "dicomDatabase", None)
    if database is not None and database.isOpen:
        from DICOMLib import DICOMUtils

        DICOMUtils.importDicom(path, database)
    return messages


def provenanceOf(result) -> dict[str, str]:
    """Return how a result was made, for the headers of files. It holds no names of images."""
    names = ("Settings", "Seed", "Weights", "Versions", "Date", "Notice")
    found = {f"ttt4d.{name.lower()}": result.GetAttribute(sequences.PREFIX + name) or "" for name in names}
    versions = json.loads(found["ttt4d.versions"] or "{}")
    return {"ttt4d.version": versions.get("ttt4d", ""), **found}


def _dicomHeader(node) -> Optional[object]:
    """Return the header of the DICOM file that an input was loaded from; None where there is none."""
    database = getattr(slicer, "dicomDatabase", None)
    candidates = [node] if node is not None else []
    if node is not None and node.IsA("vtkMRMLSequenceNode"):
        candidates.append(node.GetNthDataNode(0))
    instances = " ".join(each.GetAttribute("DICOM.instanceUIDs") or "" for each in candidates).split()
    path = database.fileForInstance(instances[0]) if database is not None and instances else ""
    if not path:
        return None
    import pydicom

    return pydicom.dcmread(path, stop_before_pixels=True)


def _fileName(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
