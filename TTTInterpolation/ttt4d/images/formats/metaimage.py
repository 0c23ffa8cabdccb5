"""MetaImage: volumes, and sequences as four-dimensional images."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import ContextManager, List, Sequence

from ..files import reading
from ..phase_times import parse_numbers
from ..sequence import PhaseSequence
from . import itk
from .text_header import TextHeader, read_metaimage_header
from .voxel_data import VoxelData, data_files

_BYTES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "long": 4, "ulong": 4, "long_long": 8,
          "ulong_long": 8, "float": 4, "double": 8}
# Entries of which a temporary copy, with its voxels uncompressed behind the header, has its own.
_STORAGE = ("elementdatafile", "compresseddata", "compresseddatasize", "headersize", "elementspacing", "elementsize")


def read(path: str) -> PhaseSequence:
    """Read a volume or a sequence from a .mha or .mhd file. The time step of a sequence has no unit and is left out."""
    messages: List[str] = []
    with reading(path):
        header = read_metaimage_header(path)
        sizes = [int(word) for word in header.fields["dimsize"].split()]
        channels = int(header.fields.get("elementnumberofchannels", 1))
    itk.check_dimension(path, sizes)
    if channels > 1:
        raise itk.vector_error(path, channels)
    spacing = header.fields.get("elementspacing", header.fields.get("elementsize", "")).split()
    itk.check_spacing_words(path, spacing[:3], messages)
    with reading(path), _standard_image(path, header, sizes, spacing) as standard:
        image = itk.read_image(standard, path, "MetaImageIO")
    phases = itk.phases_of(path, image, itk.marks_of(header.metadata), messages)
    return dataclasses.replace(PhaseSequence.counted(phases, messages), is_label_map=itk.is_label_map(header.metadata))


def _standard_image(path: str, header: TextHeader, sizes: Sequence[int], spacing: Sequence[str]) -> ContextManager[str]:
    """Return the path of a file that ITK reads right, its voxels checked: the file itself, or a temporary copy.

    ITK misreads lists without an end of line and compressed voxels without a size, and refuses a time step of zero.
    """
    fields = header.fields
    voxels = _voxel_data(path, header, sizes)
    listed = len(voxels.files) > 1
    unsized = voxels.encoding == "zlib" and "compresseddatasize" not in fields
    bad_step = len(sizes) == 4 and not all(step > 0 for step in parse_numbers(spacing[3:]) or (0,))
    if not (listed or unsized or bad_step or voxels.encoding == "text"):
        voxels.check()
        return contextlib.nullcontext(path)
    lines = [f"{key} = {value}" for key, value in header.metadata.items() if key.lower() not in _STORAGE]
    steps = [*(spacing[:3] or ["1"] * 3), "1"][:len(sizes)]
    lines += [f"ElementSpacing = {' '.join(steps)}", "ElementDataFile = LOCAL"]
    return itk.temporary_image(".mha", "\n".join(lines) + "\n", voxels.blocks())


def _voxel_data(path: str, header: TextHeader, sizes: Sequence[int]) -> VoxelData:
    fields = header.fields

    def says(name: str) -> bool:
        return fields.get(name, "").lower() in ("true", "1", "yes")

    local = fields["elementdatafile"].upper() == "LOCAL"
    files = (path,) if local else data_files(path, fields["elementdatafile"], sizes)
    text = fields.get("binarydata", "true").lower() in ("false", "0", "no")
    encoding = "text" if text else "zlib" if says("compresseddata") else "raw"
    count = math.prod(sizes) // len(files)
    size = count if text else count * _BYTES[fields["elementtype"].lower().replace("met_", "")]
    skip = int(fields.get("headersize", 0))
    return VoxelData(path, files, encoding, size, start=header.data_start if local else 0, byte_skip=skip)
