"""Volumes between the scene and the engine's files. The one place where Slicer's RAS meets the engine's LPS.

Files need no conversion here: NRRD says which space it is in, and MRML's own storage nodes convert.
"""

from __future__ import annotations

import os
from typing import Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from ttt4d.errors import InputError

# What NRRD storage and sequence storage both accept.
_SCALAR_TYPES = (vtk.VTK_UNSIGNED_CHAR, vtk.VTK_SHORT, vtk.VTK_UNSIGNED_SHORT, vtk.VTK_INT, vtk.VTK_UNSIGNED_INT,
                 vtk.VTK_FLOAT, vtk.VTK_DOUBLE)


def problemOf(node) -> str:
    """Why a node cannot be a phase, in one sentence that says what to do; empty when it can."""
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

    frameOf: a node whose parent transform the written volume shall share; the result is placed under that transform.
    Raises `InputError` where the two transforms cannot be reconciled, and where the file cannot be written.
    """
    written = slicer.vtkMRMLScalarVolumeNode()
    written.SetName(node.GetName())
    written.SetAndObserveImageData(node.GetImageData())
    written.SetIJKToRASMatrix(_ijkToRas(node, frameOf))
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(path)
    storage.SetUseCompression(0)
    if not storage.WriteData(written):
        raise InputError(_("{name} could not be written to the temporary folder {folder}: check that the disk is not "
                           "full, or choose another folder under Advanced.").format(
                               name=node.GetName(), folder=os.path.dirname(path)))


def readFrame(path: str, like) -> "slicer.vtkMRMLScalarVolumeNode":
    """A frame's file as a volume node outside any scene, with the very grid of `like`.

    Files round, and the engine may turn an axis that is not quite perpendicular; frames are on the first phase's grid
    by contract, so more than that is refused.
    """
    node = slicer.vtkMRMLScalarVolumeNode()
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(path)
    if not storage.ReadData(node):
        raise RuntimeError(f"The frame {os.path.basename(path)} could not be read.")
    matrix = vtk.vtkMatrix4x4()
    like.GetIJKToRASMatrix(matrix)
    if (node.GetImageData().GetDimensions() != like.GetImageData().GetDimensions()
            or _difference(_ijkToRas(node), matrix) > 1e-3 * min(like.GetSpacing())):
        raise RuntimeError(f"The frame {os.path.basename(path)} is not on the grid of {like.GetName()}.")
    node.CopyOrientation(like)
    return node


def readDisplacement(path: str) -> "slicer.vtkMRMLGridTransformNode":
    """A displacement file (vectors in LPS mm) as a grid transform from parent, outside any scene."""
    node = slicer.vtkMRMLGridTransformNode()
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(path)
    if not storage.ReadData(node):
        raise RuntimeError(f"The displacement {os.path.basename(path)} could not be read.")
    return node


def fromEngine(volume) -> "slicer.vtkMRMLScalarVolumeNode":
    """A volume of the engine (axes k, j, i; LPS mm) as a volume node outside any scene."""
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


def _ijkToRas(node, frameOf=None) -> vtk.vtkMatrix4x4:
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


def _difference(a: vtk.vtkMatrix4x4, b: vtk.vtkMatrix4x4) -> float:
    return max(abs(a.GetElement(i, j) - b.GetElement(i, j)) for i in range(4) for j in range(4))
