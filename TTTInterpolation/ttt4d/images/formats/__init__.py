"""The image formats: one file a format, one entry here.

This file imports the standard library only, so that the command line and Slicer know the names before any image library
is loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Optional, Tuple


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
        Endings of the outputs that it writes, in lower case.
    companions : tuple of str
        Endings, in lower case, of files that hold the voxels for the header in another file. They can be given as well,
        but are not counted as images of their own in a folder.
    """

    name: str
    suffixes: Tuple[str, ...]
    module: str
    outputs: Tuple[str, ...] = ()
    companions: Tuple[str, ...] = ()

    def load(self) -> ModuleType:
        """Import the format's module."""
        return import_module(f"{__name__}.{self.module}")


NRRD = ImageFormat("NRRD", (".nrrd", ".nhdr"), "nrrd", outputs=(".seq.nrrd",))
NIFTI = ImageFormat("NIfTI", (".nii", ".nii.gz", ".hdr", ".hdr.gz"), "nifti", outputs=(".nii.gz", ".nii"),
                    companions=(".img", ".img.gz"))
METAIMAGE = ImageFormat("MetaImage", (".mha", ".mhd"), "metaimage")
FORMATS = (NRRD, NIFTI, METAIMAGE)
DICOM = ImageFormat("DICOM", (), "dicom")  # told by being a folder, not by a suffix

READABLE = ", ".join(f"{f.name} ({', '.join(f.suffixes)})" for f in FORMATS) + ", or the folder of one DICOM series"


def format_of(path: str) -> Optional[ImageFormat]:
    """Return the format of a file by its name, or None where no format has its ending.

    >>> format_of("ES.NII.GZ").name
    'NIfTI'
    """
    name = os.path.basename(path).lower()
    return next((f for f in FORMATS if name.endswith(f.suffixes + f.companions)), None)


def output_format_of(path: str) -> Optional[ImageFormat]:
    """Return the format of an output by its name, or None.

    >>> output_format_of("heart.seq.nrrd").name
    'NRRD'
    """
    return next((f for f in FORMATS if f.outputs and os.path.basename(path).lower().endswith(f.outputs)), None)
