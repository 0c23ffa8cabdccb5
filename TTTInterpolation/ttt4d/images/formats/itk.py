"""What SimpleITK reads: images of three or four dimensions, as phases."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from typing import Dict, Iterable, Iterator, List, Sequence

import numpy as np
import SimpleITK as sitk

from ...errors import GeometryError, InputError
from ..files import name_for_itk, quoted, reading
from ..marks import FRAME, FRAMES, SYNTHETIC
from ..volume import Volume, check_spacing, rectangular_geometry


def read_image(path: str, name: str, image_io: str) -> sitk.Image:
    """Read an image of three or four dimensions.

    Parameters
    ----------
    path : str
        The file to read; a temporary copy of the user's file, where its header had to be written anew.
    name : str
        Path of the user's file, for messages.
    image_io : str
        ITK's name of the format.
    """
    with reading(name):
        reader = sitk.ImageFileReader()
        reader.SetImageIO(image_io)
        reader.SetFileName(name_for_itk(path))
        reader.ReadImageInformation()
        check_dimension(name, reader.GetSize())
        return reader.Execute()


def check_dimension(path: str, sizes: Sequence[int]) -> None:
    """Raise `InputError` for an image that is neither a volume nor a sequence of volumes."""
    dimension = len(sizes)
    if dimension < 3 or 0 in sizes:
        raise InputError(f"{quoted(path)} is an empty or two-dimensional image: give a volume.")
    if dimension > 4:
        raise InputError(f"{quoted(path)} has {dimension} dimensions: give a volume, or a sequence of volumes.")


def check_spacing_words(path: str, words: Sequence[str], messages: List[str]) -> None:
    """Raise `GeometryError` for a spacing that is missing or not above zero.

    Parameters
    ----------
    path : str
        Of the file, for messages.
    words : sequence of str
        The spacing along the columns, rows and slices as the header holds it, in mm. None at all is said in
        `messages`, and ITK takes 1 mm.
    messages : list of str
        What was assumed is appended.
    """
    if not words:
        messages.append(f"{quoted(path)} gives no voxel spacing: 1 mm is assumed along every axis.")
    for axis, word in zip(("columns", "rows", "slices"), words):
        if word.lower() == "nan":
            raise GeometryError(f"The spacing of the {axis} in {quoted(path)} is missing (NaN): correct the file's "
                                "header.")
    with reading(path):
        check_spacing(quoted(path), map(float, words))


@contextlib.contextmanager
def temporary_image(suffix: str, header: str, blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield the path of a temporary image with its own header; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix=".ttt4d-") as folder:
        path = os.path.join(folder, "phase" + suffix)
        with open(path, "wb") as file:
            file.write(header.encode())
            file.writelines(blocks)
        yield path


def is_label_map(metadata: Dict[str, str]) -> bool:
    """Return whether a file of 3D Slicer says that it is a label map."""
    return "LabelMap" in metadata.get("DataNodeClassName", "")


def vector_error(path: str, components: int) -> InputError:
    """Return the refusal of an image with several values per voxel that are no phases."""
    return InputError(f"{quoted(path)} has {components} values per voxel (a colour or vector image): give an image "
                      "with one grey value a voxel.")


def phases_of(path: str, image: sitk.Image, marks: Sequence[str], messages: List[str]) -> List[Volume]:
    """Return the phases of an image: one, or its frames along a fourth axis, or its components.

    Parameters
    ----------
    path : str
        Of the user's file, for messages.
    image : SimpleITK.Image
        Of three or four dimensions.
    marks : sequence of str
        Whether each frame is acquired or synthetic, see `marks_of`; empty where the file does not tell.
    messages : list of str
        What was assumed is appended.

    Raises
    ------
    GeometryError
        The grid is sheared, or its spacing is not above zero.
    """
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{quoted(path)} has complex voxels: give its magnitude image.")
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    frames = list(array) if array.ndim == 4 else [array]
    dimension = image.GetDimension()
    matrix = np.reshape(image.GetDirection(), (dimension, dimension)) * image.GetSpacing()
    geometry, message = rectangular_geometry(quoted(path), frames[0].shape, matrix[:3, 2::-1], image.GetOrigin()[:3])
    messages += [message] * bool(message)
    if len(marks) > len(frames):  # of another file
        marks = []
    marks = [*marks, *[""] * (len(frames) - len(marks))]
    return [Volume(np.array(frame, order="C"), geometry, mark == SYNTHETIC) for frame, mark in zip(frames, marks)]


def marks_of(metadata: Dict[str, str]) -> Sequence[str]:
    """Return for each frame of a file whether it is acquired or synthetic, by its header's entries.

    The entries of the frames come first: 3D Slicer keeps them right where frames are removed or added. Else the list
    of all frames is taken.
    """
    items = {int(match.group(1)): value for key, value in metadata.items()
             for match in [re.fullmatch(rf"axis \d+ item (\d+) {re.escape(FRAME)}", key)] if match}
    if items:
        return [items.get(number, "") for number in range(max(items) + 1)]
    return metadata.get(FRAMES, metadata.get(FRAME, "")).split()
