"""What ITK would mend in silence in the text headers of NRRD and MetaImage."""

from __future__ import annotations

import math
import re
from typing import List

from ..files import is_number


def spacing_in_header(path: str) -> List[float]:
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
