"""The stored voxels of NRRD and MetaImage files, checked to their end.

SimpleITK reads a cut or corrupt compressed file as if it were whole, so that the voxels are checked here before. The
same bytes let it read what it does not know: bzip2, and headers that have to be written anew.
"""

from __future__ import annotations

import bz2
import contextlib
import math
import os
import re
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Dict, Iterator, Sequence, Tuple

from ...errors import InputError
from ..files import quoted

_DECOMPRESSORS: Dict[str, Callable[[], Any]] = {
    "zlib": lambda: zlib.decompressobj(47),  # 47: gzip or zlib
    "bzip2": bz2.BZ2Decompressor,
}
_BLOCK = 1 << 16  # bytes read at a time; a thousand times as many may come out of them


@dataclass(frozen=True)
class VoxelData:
    """Where the voxels of an image are stored, and how.

    Parameters
    ----------
    image : str
        Path of the image, which is the header's file.
    files : tuple of str
        Paths of the files with the voxels, in order. Each holds the same number of them.
    encoding : str
        "raw", "zlib" (also gzip), "bzip2", or "text" (numbers in words).
    size : int
        Bytes of the voxels in each file, uncompressed; for text, the number of words.
    start : int
        Byte of each file at which the data begin.
    line_skip, byte_skip : int
        Lines, then bytes, between `start` and the voxels. Bytes are counted after decompression. -1 bytes: the voxels
        are the last bytes of the file.
    """

    image: str
    files: Tuple[str, ...]
    encoding: str
    size: int
    start: int = 0
    line_skip: int = 0
    byte_skip: int = 0

    def check(self) -> None:
        """Raise `InputError`, with the name of the file, unless every voxel is there."""
        for _ in self.blocks():
            pass

    def blocks(self) -> Iterator[bytes]:
        """Yield the voxels of all files, uncompressed, a block at a time. Raises `InputError` as `check` does."""
        for path in self.files:
            with self._errors(path), open(path, "rb") as file:
                file.seek(self.start)
                for _ in range(self.line_skip):
                    file.readline()
                if self.encoding == "text":
                    yield self._text(file)
                else:
                    yield from self._bytes(file)

    def _text(self, file: BinaryIO) -> bytes:
        text = file.read()
        if len(text.split(None, self.size)) < self.size:
            raise EOFError("too few numbers")
        return text + b"\n"  # without which ITK misses the last number

    def _bytes(self, file: BinaryIO) -> Iterator[bytes]:
        skip, missing = self.byte_skip, self.size
        if skip < 0:
            skip = max(os.fstat(file.fileno()).st_size - file.tell() - self.size, 0)
        blocks = self._raw(file) if self.encoding == "raw" else _decompressed(file, self.encoding)
        for block in blocks:  # to the end, where the checksum is
            skipped = min(skip, len(block))
            skip -= skipped
            block = block[skipped:skipped + missing]
            missing -= len(block)
            yield block
            if self.encoding == "raw" and not missing:
                break
        if missing:
            raise EOFError("too few voxels")

    @staticmethod
    def _raw(file: BinaryIO) -> Iterator[bytes]:
        return iter(lambda: file.read(1 << 20), b"")

    @contextlib.contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Name the file that is missing or damaged."""
        apart = path != self.image
        name = f"{quoted(path)}, a data file of {quoted(self.image)}," if apart else quoted(path)
        try:
            yield
        except FileNotFoundError:
            raise InputError(f"{name} is missing: put it beside its header.") from None
        except IsADirectoryError:
            raise InputError(f"{name} is a folder: correct the header.") from None
        except EOFError as error:
            raise InputError(f"{name} is damaged: it is cut short; get the file again.") from error
        except PermissionError:
            raise
        except (zlib.error, OSError, ValueError) as error:
            raise InputError(f"{name} is damaged: its compressed voxels are corrupt; get the file again.") from error


def data_files(image: str, value: str, sizes: Sequence[int]) -> Tuple[str, ...]:
    """Return the paths that the data-file entry of a header stands for.

    Parameters
    ----------
    image : str
        Path of the header's file.
    value : str
        One name; a pattern such as `slice%03d.raw 1 5 1`; or `LIST`, with a name in each line that follows. A pattern
        and `LIST` may end in the number of axes of the piece in each file; else it is one axis less than the image has.
    sizes : sequence of int
        Voxels along each axis, the fastest first.

    Raises
    ------
    InputError
        The list does not have as many files as the image has pieces.
    """
    first, *names = value.splitlines() or [""]
    folder = os.path.dirname(image)
    listed = re.fullmatch(r"LIST\s*(\d*)D?", first.strip(), re.IGNORECASE)
    pattern = re.fullmatch(r"(.*%\d*d.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)\s*(\d*)", first)
    if listed:
        names, axes = [name.strip() for name in names if name.strip()], listed.group(1)
    elif pattern:
        low, high, step = (int(number) for number in pattern.group(2, 3, 4))
        names = [pattern.group(1) % number for number in range(low, high + (1 if step > 0 else -1), step or 1)]
        axes = pattern.group(5)
    else:
        return (os.path.join(folder, first.strip()),)
    needed = math.prod(sizes[int(axes) if axes else len(sizes) - 1:])
    if len(names) != needed:
        raise InputError(f"{quoted(image)} is damaged: it lists {len(names)} data files, but {needed} hold its voxels; "
                         "get the files again.")
    return tuple(os.path.join(folder, name) for name in names)


def _decompressed(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Yield what a compressed stream holds; EOFError where it ends early, other errors where its checksum is wrong."""
    stream, block = _DECOMPRESSORS[encoding](), b""
    while True:
        block = block or file.read(_BLOCK)
        if not block:
            raise EOFError("the compressed stream ends early")
        yield stream.decompress(block)
        block = b""
        if stream.eof:
            block = stream.unused_data or file.read(_BLOCK)
            if not block.startswith((b"\x1f\x8b", b"BZh")):  # else a second stream follows the first
                return
            stream = _DECOMPRESSORS[encoding]()
