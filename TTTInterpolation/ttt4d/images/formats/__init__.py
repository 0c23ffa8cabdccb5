"""The image formats: one file a format, one entry here.

This file imports the standard library only, so that the command line and Slicer know the names before any image library
is loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Iterable, Optional, Tuple


@dataclass(frozen=True)
class ImageFormat:
    """One format: its names, and the module that reads and writes it.

    The module has a function `read(path) -> PhaseSequence`, and, where the format can be written, a subclass of
    `ttt4d.images.frame_writer.FrameWriter` called `Writer`.

    Parameters
    ----------
    name : str
        The format's name in messages.
    suffixes : tuple of str
        Endings of the files that it reads, in lower case.
    module : str
        Name of the module in `ttt4d.images.formats`.
    outputs : tuple of str
        Endings of the sequences that it writes, in lower case.
    volumes : tuple of str
        Endings of the single volumes that it writes, in lower case.
    companions : tuple of str
        Endings, in lower case, of files that hold the voxels for the header in another file. They can be given as well,
        but are not counted as images of their own in a folder.
    folder_output : bool
        Whether an output is a folder of files instead of one file.
    """

    name: str
    suffixes: Tuple[str, ...]
    module: str
    outputs: Tuple[str, ...] = ()
    volumes: Tuple[str, ...] = ()
    companions: Tuple[str, ...] = ()
    folder_output: bool = False

    def load(self) -> ModuleType:
        """Import the format's module."""
        return import_module(f"{__name__}.{self.module}")


NRRD = ImageFormat("NRRD", (".nrrd", ".nhdr"), "nrrd", outputs=(".seq.nrrd",), volumes=(".nrrd",))
NIFTI = ImageFormat("NIfTI", (".nii", ".nii.gz", ".hdr", ".hdr.gz"), "nifti", outputs=(".nii.gz", ".nii"),
                    volumes=(".nii.gz", ".nii"), companions=(".img", ".img.gz"))
METAIMAGE = ImageFormat("MetaImage", (".mha", ".mhd"), "metaimage")
FORMATS = (NRRD, NIFTI, METAIMAGE)
# Recognised by being a folder or by the first bytes of a file: its files have names of any kind.
DICOM = ImageFormat("DICOM", (), "dicom", outputs=(".dcm",), folder_output=True)

# For messages and help texts.
READABLE_FILES = ", ".join(f"{f.name} ({', '.join(f.suffixes)})" for f in FORMATS)
READABLE = f"{READABLE_FILES}, or DICOM (a file or a folder)"
WRITABLE, WRITABLE_VOLUMES = (
    " or ".join(", ".join(suffix for f in (*FORMATS, DICOM) for suffix in getattr(f, kind)).rsplit(", ", 1))
    for kind in ("outputs", "volumes"))


def format_of(path: str) -> Optional[ImageFormat]:
    """Return the format of a file by its name, or None where no format has its ending.

    Examples
    --------
    >>> format_of("ES.NII.GZ").name
    'NIfTI'
    """
    return next((f for f in FORMATS if _ending(path, (*f.suffixes, *f.companions))), None)


def is_image_file(path: str) -> bool:
    """Return whether a file in a folder counts as an image, by its name; the voxels of another file do not.

    Examples
    --------
    >>> is_image_file("ES.hdr"), is_image_file("ES.img"), is_image_file("notes.txt")
    (True, False, False)
    """
    return any(_ending(path, f.suffixes) for f in FORMATS)


def output_format_of(path: str, frames: int = 2) -> Optional[ImageFormat]:
    """Return the format of an output of one frame (a volume) or more (a sequence) by its name, or None.

    Examples
    --------
    >>> output_format_of("heart.seq.nrrd").name, output_format_of("heart.nrrd", frames=1).name
    ('NRRD', 'NRRD')
    >>> output_format_of("heart.nrrd"), output_format_of("heart.seq.nrrd", frames=1)
    (None, None)
    """
    if frames > 1:
        return next((f for f in (*FORMATS, DICOM) if _ending(path, f.outputs)), None)
    if _ending(path, NRRD.outputs):  # a sequence by its name
        return None
    return next((f for f in (*FORMATS, DICOM) if _ending(path, f.volumes)), None)


def stem_of(path: str) -> str:
    """Return the name of a file without its folder and its format's ending.

    Examples
    --------
    >>> stem_of("cine/beat.seq.nrrd"), stem_of("ES.NII.GZ"), stem_of("gated 0.5")
    ('beat', 'ES', 'gated 0.5')
    """
    name = os.path.basename(os.path.normpath(path))
    endings = [suffix for f in FORMATS for suffix in (*f.outputs, *f.suffixes, *f.companions)]
    return name[:len(name) - max(len(_ending(name, [ending])) for ending in endings)]


def _ending(path: str, endings: Iterable[str]) -> str:
    """Return the ending that a path has, or ""."""
    name = os.path.basename(os.path.normpath(path)).lower()
    return next((ending for ending in endings if name.endswith(ending)), "")
