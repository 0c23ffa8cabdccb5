"""What every format shares: the names that can be read, and what goes wrong with a file said in one sentence."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from typing import Iterator

from ..errors import GeometryError, InputError


def quoted(path: str) -> str:
    """The last part of a path, in quotes: a whole path would drown the sentence that names it."""
    return f"'{os.path.basename(os.path.normpath(path))}'"


def name_for_itk(path: str) -> str:
    """The path as ITK takes it. On Windows it takes ASCII alone from Python, so that what lies under the name of a user
    or a patient is named by its short name there.
    """
    if sys.platform != "win32" or path.isascii():
        return path
    folder, name = os.path.split(os.path.abspath(path))
    # A short name has one dot: of x.nii.gz it leaves .gz, which is nothing to the NIfTI library.
    keep = name.isascii() or name.lower().endswith(".nii.gz")
    named = os.path.join(_short_name(folder), name) if keep else _short_name(path)
    if not named.isascii():
        raise InputError(f"The path of {quoted(path)} has letters that images cannot be read under on this disk: name "
                         "its file and folders in plain letters.")
    return named


def _short_name(path: str) -> str:
    """Of a file or folder on Windows; where the disk keeps none, the path itself."""
    import ctypes

    name = ctypes.create_unicode_buffer(32768)
    ctypes.windll.kernel32.GetShortPathNameW(path, name, len(name))
    return name.value or path





def is_number(word: str) -> bool:
    """Whether a word of a header can be taken for a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn the errors of the libraries into one sentence."""
    try:
        with quiet():
            yield
    except MemoryError:
        raise InputError(f"{quoted(path)} does not fit in memory: crop or resample it first.") from None
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise GeometryError(f"The axes of {quoted(path)} are not at right angles: resample it to a rectangular "
                                "grid first.") from error
        if "domain axes" in str(error):
            raise InputError(f"The fourth axis of {quoted(path)} is not marked as a list of phases (kind \"list\"): "
                             "save it as a sequence from 3D Slicer, or as a 4D NIfTI file.") from error
        raise _unreadable(path) from error
    except PermissionError as error:
        raise InputError(f"{quoted(path)} may not be opened: change its permissions, or copy it elsewhere.") from error
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _unreadable(path) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what ITK and its libraries print off standard error: it would stand beside our one sentence."""
    try:
        saved = os.dup(2)
    except OSError:  # a program without a standard error
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def _unreadable(path: str) -> InputError:
    return InputError(f"{quoted(path)} cannot be read as an image: it is damaged, cut short, or not the format its "
                      "name says; get the file again.")
