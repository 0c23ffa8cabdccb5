"""Headers of text: what ITK would mend in silence in those of NRRD and MetaImage, and one of NRRD to be written."""

from __future__ import annotations

import math
import re
from typing import Dict, List, Optional

import numpy as np

from .files import is_number
from .volume import Geometry

NRRD_TYPES = {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
              "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double"}


def text_spacing(path: str) -> List[float]:
    """The spacing in an NRRD or MetaImage header, where ITK would turn a negative one into a mirrored axis."""
    with open(path, "rb") as file:
        text = re.split(rb"\r?\n\r?\n|ElementDataFile", file.read(1 << 20))[0].decode("latin-1")
    line = re.search(r"^(?:spacings:|ElementSpacing\s*=)(.*)$", text, re.MULTILINE | re.IGNORECASE)
    if line:
        values = [float(word) for word in re.findall(r"[^\s]+", line.group(1)) if is_number(word)]
        return [value for value in values if not math.isnan(value)]  # NaN: an axis without spacing, such as the phases
    line = re.search(r"^space directions:(.*)$", text, re.MULTILINE | re.IGNORECASE)
    vectors = re.findall(r"\(([^)]*)\)", line.group(1)) if line else []
    values = [[float(word) for word in vector.split(",") if is_number(word)] for vector in vectors]
    return [math.sqrt(sum(x * x for x in vector)) for vector in values]


def list_axis(metadata: Dict[str, str]):
    """ITK's name for the axis of an NRRD file that counts its phases (as 3D Slicer writes it), or None."""
    return next((match.group(1) for key, value in metadata.items() if value == "list"
                 for match in [re.match(r"NRRD_kinds\[(\w+)\]$", key)] if match), None)


def nrrd_header(geometry: Geometry, dtype: np.dtype, keys: Dict[str, str], frames: Optional[int] = None) -> bytes:
    """The header of a gzipped NRRD file: of one volume, or of so many frames along the last axis."""
    def vector(values) -> str:
        return "(" + ",".join(repr(float(value)) for value in values) + ")"

    listed = frames is not None
    lines = [
        "NRRD0004",
        f"type: {NRRD_TYPES[dtype.name]}",
        f"dimension: {4 if listed else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(size) for size in [*geometry.shape[::-1], *([frames] if listed else [])]),
        "space directions: " + " ".join(vector(step) for step in geometry.matrix.T[::-1]) + (" none" if listed else ""),
        "kinds: domain domain domain" + (" list" if listed else ""),
        *(['labels: "" "" "" "phase"', 'units: "" "" "" "%"'] if listed else []),
        "endian: little",
        "encoding: gzip",
        f"space origin: {vector(geometry.origin)}",
    ]
    for key, value in keys.items():
        escaped = str(value).replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"{key}:={escaped}")
    return ("\n".join(lines) + "\n\n").encode()
