"""The text headers of NRRD and MetaImage files, as far as SimpleITK does not report them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO, Dict, Iterator

_LONGEST_HEADER = 1 << 24  # bytes; the index of a thousand frames takes a hundredth
# Spellings of NRRD fields.
_SYNONYMS = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip",
             "spacedirections": "space directions", "spaceunits": "space units", "axismins": "axis mins"}


@dataclass(frozen=True)
class TextHeader:
    """A header of lines `name: value` (NRRD) or `name = value` (MetaImage).

    Parameters
    ----------
    fields : dict of str to str
        Values by the names of the fields, in lower case. `data file` and `elementdatafile` hold the rest of the header.
    metadata : dict of str to str
        Free entries: key/value pairs of NRRD, or all fields of MetaImage as they are spelled.
    data_start : int
        Byte of the file at which the voxels begin, if they are in the same file.
    ended : bool
        Whether the last line ends in a newline.
    """

    fields: Dict[str, str]
    metadata: Dict[str, str]
    data_start: int
    ended: bool = True


def read_nrrd_header(path: str) -> TextHeader:
    """Read the header of an NRRD file. Raises `EOFError` where there is none."""
    fields: Dict[str, str] = {}
    metadata: Dict[str, str] = {}
    with open(path, "rb") as file:
        if not file.readline(16).startswith(b"NRRD"):
            raise EOFError("no NRRD header")
        for line in _lines(file):
            if not line:  # what follows is voxels
                break
            if line.startswith("#"):
                continue
            entry = re.match(r"(.*?)(:=|: )(.*)", line)
            if fields.get("data file", "").upper().startswith("LIST"):
                fields["data file"] += "\n" + line
            elif entry and entry.group(2) == ":=":
                metadata[entry.group(1)] = _unescaped(entry.group(3))
            elif entry:
                name = entry.group(1).strip().lower()
                fields[_SYNONYMS.get(name, name)] = entry.group(3).strip()
        start = file.tell()
        file.seek(start - 1)
        return TextHeader(fields, metadata, start, file.read(1) == b"\n")


def read_metaimage_header(path: str) -> TextHeader:
    """Read the header of a MetaImage file. Raises `EOFError` where there is none."""
    fields: Dict[str, str] = {}
    metadata: Dict[str, str] = {}
    with open(path, "rb") as file:
        for line in _lines(file):
            key, separator, value = (part.strip() for part in line.partition("="))
            if not separator and line.strip():
                raise EOFError("no MetaImage header")
            name = key.lower()
            fields[name] = metadata[key] = value
            if name == "elementdatafile":
                start = file.tell()
                if value.upper().startswith("LIST"):
                    fields[name] = "\n".join([value, *_lines(file)])
                return TextHeader(fields, metadata, start)
    raise EOFError("no MetaImage header")


def _unescaped(value: str) -> str:
    """Return the value of a key/value pair of NRRD, in which a backslash precedes n (a new line) and a backslash."""
    return re.sub(r"\\([\\n])", lambda found: "\n" if found.group(1) == "n" else "\\", value)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file as text, without their ends."""
    while file.tell() < _LONGEST_HEADER:
        line = file.readline(_LONGEST_HEADER)
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip("\r\n")
