"""MetaImage: volumes, and sequences as four-dimensional images."""

from __future__ import annotations

from ..files import reading
from ..sequence import PhaseSequence
from . import itk
from .text_header import spacing_in_header


def read(path: str) -> PhaseSequence:
    """Read a volume or a sequence."""
    with reading(path):
        itk.check_spacing(path, spacing_in_header(path))
        reader = itk.open_header(path, "MetaImageIO")
    components = reader.GetNumberOfComponents()
    if components > 1:
        raise itk.colour_error(path, components)
    metadata = itk.metadata_of(reader)
    itk.check_kind(path, metadata)
    with reading(path):
        image = reader.Execute()
    return PhaseSequence.counted(itk.phases_of(path, image, marks=itk.marks_of(metadata)))
