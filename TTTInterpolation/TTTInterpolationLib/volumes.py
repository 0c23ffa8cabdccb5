"""Volumes between the scene and the engine's files. Only here, Slicer's RAS is converted from the engine's LPS.

Files need no conversion: a NRRD file says which of the two it uses, and MRML's storage nodes convert.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

import slicer
import vtk
from slicer.i18n import tr as _

from ttt4d.errors import InputError

if TYPE_CHECKING:
    from ttt4d.images.volume import Geometry

# What NRRD storage and sequence storage both accept.
_SCALAR_TYPES = (vtk.VTK_UNSIGNED_CHAR, vtk.VTK_SHORT, vtk.VTK_UNSIGNED_SHORT, vtk.VTK_INT, vtk.VTK_UNSIGNED_INT,
                 vtk.VTK_FLOAT, vtk.VTK_DOUBLE)


def problemOf(node) -> str:
    """Return why a node cannot be a phase, in one sentence that says what to do; an empty text if it can."""
    name = node.GetName()
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        return _("{name} is not a scalar volume: choose a grey-scale image.").format(name=name)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return _("{name} is a label map: choose the image it was drawn on.").format(name=name)
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        return _("{name} holds no image: load it again or choose another volume.").format(name=name)
    if image.GetNumberOfScalarComponents() != 1:
        return _("{name} has {n} components a voxel: choose a grey-scale image.").format(
            name=name, n=image.GetNumberOfScalarComponents())
    if image.GetScalarType() not in _SCALAR_TYPES:
        return _("{name} is stored as {type}, which image files of sequences cannot hold: convert it to 16-bit "
                 "integers or to floats with the Cast Scalar Volume module.").format(
                     name=name, type=image.GetScalarTypeAsString())
    return ""


def writePhase(node, path: str, frameOf=None) -> None:
    """Write a scalar volume node to a NRRD file, voxels untouched and uncompressed.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        The volume.
    path : str
        Path of the file.
    frameOf : vtkMRMLScalarVolumeNode, optional
        A volume under another parent transform. The file then holds the positions as seen from under that transform.

    Raises
    ------
    InputError
        If one of the two transforms is not linear, or if the file cannot be written.
    """
    written = slicer.vtkMRMLScalarVolumeNode()
    written.SetName(node.GetName())
    written.SetAndObserveImageData(node.GetImageData())
    written.SetIJKToRASMatrix(ijkToRas(node, frameOf))
    write(written, path)


def write(node, path: str) -> None:
    """Write the voxels and grid of a volume node for the engine; InputError if the file cannot be written."""
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(path)
    storage.SetUseCompression(0)
    if not storage.WriteData(node):
        raise InputError(_("{name} could not be written to the temporary folder {folder}: check that the disk is not "
                           "full, or choose another folder under Advanced.").format(
                               name=node.GetName(), folder=os.path.dirname(path)))


def readFrame(path: str, like) -> "slicer.vtkMRMLScalarVolumeNode":
    """Read a frame as a volume node outside any scene, with exactly the grid of the volume `like`.

    Along one axis it may have more slices between the first and the last one of `like`.

    The engine writes frames on the grid of the first phase. Small differences come from rounding in the file, and from
    axes that are not quite perpendicular. Larger ones raise a RuntimeError.
    """
    node = slicer.vtkMRMLScalarVolumeNode()
    _read(node, slicer.vtkMRMLNRRDStorageNode(), path, "frame")
    old, new = like.GetImageData().GetDimensions(), node.GetImageData().GetDimensions()
    more = [b > a for a, b in zip(old, new)]
    spacing = [step * (a - 1) / (b - 1) if isMore else step
               for step, a, b, isMore in zip(like.GetSpacing(), old, new, more)]
    read = ijkToRas(node)
    node.CopyOrientation(like)
    node.SetSpacing(spacing)
    if (sum(more) > 1 or any(b < a for a, b in zip(old, new))
            or _difference(ijkToRas(node), read) > 1e-3 * min(spacing)):
        raise RuntimeError(f"The frame {os.path.basename(path)} is not on the grid of {like.GetName()}.")
    return node


def _read(node, storage, path: str, kind: str) -> None:
    """Read a file of the engine into a node; RuntimeError if it cannot be read."""
    storage.SetFileName(path)
    if not storage.ReadData(node):
        raise RuntimeError(f"The {kind} {os.path.basename(path)} could not be read.")


def readDisplacement(path: str) -> "slicer.vtkMRMLGridTransformNode":
    """Read a displacement file (vectors in LPS, mm) as a grid transform from parent, outside any scene."""
    node = slicer.vtkMRMLGridTransformNode()
    _read(node, slicer.vtkMRMLTransformStorageNode(), path, "displacement")
    return node


def readLabelMap(path: str) -> "slicer.vtkMRMLLabelMapVolumeNode":
    """Read a label map outside any scene."""
    node = slicer.vtkMRMLLabelMapVolumeNode()
    _read(node, slicer.vtkMRMLNRRDStorageNode(), path, "label map")
    return node


def arrayOf(volume):
    """Return the voxels of a volume node as an array (k, j, i), not a copy."""
    # Here and not above: Slicer starts without NumPy.
    from vtk.util.numpy_support import vtk_to_numpy

    image = volume.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def fromEngine(volume) -> "slicer.vtkMRMLScalarVolumeNode":
    """Return a volume of the engine as a volume node outside any scene.

    Parameters
    ----------
    volume : ttt4d.images.volume.Volume
        Array of shape (k, j, i), with its geometry in LPS, mm.
    """
    # Here and not above: Slicer starts without NumPy.
    import numpy as np
    from vtk.util.numpy_support import numpy_to_vtk

    lps = np.eye(4)
    lps[:3, :3] = volume.geometry.matrix[:, ::-1]
    lps[:3, 3] = volume.geometry.origin
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    image = vtk.vtkImageData()
    image.SetDimensions(volume.array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(volume.array).ravel(), deep=True))
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(ras.ravel().tolist())
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(matrix)
    return node


def geometryOf(volume) -> Geometry:
    """Return the grid of a volume node as the engine has it, in LPS, without its parent transform."""
    # Here and not above: Slicer starts without NumPy.
    from ttt4d.images.volume import Geometry

    directions = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(directions)
    lps = (-1, -1, 1)
    return Geometry(volume.GetImageData().GetDimensions()[::-1], volume.GetSpacing()[::-1],
                    tuple(sign * x for sign, x in zip(lps, volume.GetOrigin())),
                    tuple(tuple(lps[row] * directions.GetElement(row, column) for column in (2, 1, 0))
                          for row in range(3)))


def ijkToRas(node, frameOf=None) -> vtk.vtkMatrix4x4:
    """Return the grid of a volume, as seen from under the parent transform of `frameOf`.

    Raises `InputError` if one of the transforms between them is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    source = node.GetParentTransformNode()
    target: Optional[object] = frameOf.GetParentTransformNode() if frameOf else source
    if source is target:
        return matrix
    between = vtk.vtkMatrix4x4()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(source, target, between):
        raise InputError(_("{first} and {second} are under different transforms, one of them not linear: harden the "
                           "transforms first.").format(first=frameOf.GetName(), second=node.GetName()))
    vtk.vtkMatrix4x4.Multiply4x4(between, matrix, matrix)
    return matrix


def sliceThicknessOf(volume, axis: Optional[str] = "k") -> Optional[float]:
    """Return the slice thickness that the DICOM header of a volume tells, in mm; None where there is none.

    The header is looked up in the application's DICOM database. It tells of the acquired slices alone: along another
    `axis` (i, j, k, or None for the coarsest) nothing is told.
    """
    if axis != "k":
        from ttt4d.through_plane.grid import slice_axis  # needs NumPy, without which Slicer starts

        if slice_axis(geometryOf(volume), axis) != 0:
            return None
    database = getattr(slicer, "dicomDatabase", None)
    instances = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not instances:
        return None
    try:
        return float(database.instanceValue(instances[0], "0018,0050")) or None
    except ValueError:
        return None


def _difference(a: vtk.vtkMatrix4x4, b: vtk.vtkMatrix4x4) -> float:
    return max(abs(a.GetElement(i, j) - b.GetElement(i, j)) for i in range(4) for j in range(4))
