"""What the readers of all formats share: file names in messages and for ITK, and errors in one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import zlib
from typing import Iterator

from ..errors import InputError


def quoted(path: str) -> str:
    """Return the last part of a path in quotes, for messages.

    Examples
    --------
    >>> quoted("cases/heart/ED.nii.gz")
    "'ED.nii.gz'"
    """
    return f"'{os.path.basename(os.path.normpath(path))}'"


def name_for_itk(path: str) -> str:
    """Return a path that ITK can open. On Windows it opens ASCII names only: others are replaced by their short name.

    Raises
    ------
    InputError
        The disk keeps no short names.
    """
    if sys.platform != "win32" or path.isascii():
        return path
    folder, name = os.path.split(os.path.abspath(path))
    # A short name has one dot: of x.nii.gz it leaves .gz, which is nothing to the NIfTI library.
    keep = name.isascii() or name.lower().endswith(".nii.gz")
    named = os.path.join(_short_name(folder), name) if keep else _short_name(path)
    if not named.isascii():
        raise InputError(f"The path of {quoted(path)} contains non-ASCII characters that ITK cannot open on Windows: "
                         "rename the file and its folders.")
    return named


def _short_name(path: str) -> str:
    """Return the short name of a file or folder on Windows; the path itself where the disk keeps none."""
    import ctypes

    name = ctypes.create_unicode_buffer(32768)
    ctypes.windll.kernel32.GetShortPathNameW(path, name, len(name))  # type: ignore[attr-defined]
    return name.value or path


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Raise the libraries' errors while `path` is read as an `InputError` with one sentence."""
    try:
        with quiet():
            yield
    except MemoryError:
        raise InputError(f"{quoted(path)} does not fit in memory: crop or resample it first.") from None
    except RuntimeError as error:
        raise _unreadable(path) from error
    except PermissionError as error:
        raise InputError(f"{quoted(path)} may not be opened: change its permissions, or copy it elsewhere.") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:  # of a temporary copy
            raise InputError(f"There is no room on the disk for a temporary copy of {quoted(path)}: make "
                             "room.") from error
        raise _unreadable(path) from error
    except (EOFError, LookupError, ValueError, zlib.error, struct.error) as error:  # of headers that make no sense
        raise _unreadable(path) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what ITK and its libraries print on standard error."""
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
