"""Paths of outputs: whether they can be written, their temporary names until then, and errors in plain sentences."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from typing import BinaryIO, Iterator, Optional, Sequence, Tuple

from ..errors import OutputError
from .files import quoted
from .formats import WRITABLE

_TEMPORARY = ".ttt4d-"


def check_writable(path, inputs: Sequence, folder: bool, bytes_needed: int = 0) -> None:
    """Raise `OutputError` unless a file, or a new or empty folder, can be written at `path`.

    Parameters
    ----------
    path : str or path-like
        The output.
    inputs : sequence of str or path-like
        The files and folders of the phases, none of which may be overwritten.
    folder : bool
        Whether the output is a folder.
    bytes_needed : int
        An estimate of the output's size; refused where the disk has less free space.
    """
    path = os.fspath(path)
    if path == "-":
        raise OutputError("The output '-' would be standard output, which takes no files: give the name of a file or "
                          "a folder.")
    given = [os.fspath(entry) for entry in inputs]
    for parent in [entry for entry in given if os.path.isdir(entry)]:
        given += [os.path.join(parent, name) for name in os.listdir(parent)]
    if any(_same(path, entry) for entry in given):
        raise OutputError(f"The output {quoted(path)} is one of the inputs: choose another name.")
    real = os.path.realpath(path)
    parent = os.path.dirname(real)
    if not os.path.isdir(parent):
        raise OutputError(f"The folder {quoted(parent)} for the output does not exist: create it, or choose another.")
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OutputError(f"{quoted(path)} is a device or a pipe, which cannot be replaced: choose another name.")
    if os.path.isdir(path):
        if not folder:
            raise OutputError(f"{quoted(path)} is a folder, not a file: choose another name.")
        if any(not name.startswith(_TEMPORARY) for name in os.listdir(path)):
            raise OutputError(f"The folder {quoted(path)} is not empty: choose a new or an empty one.")
    elif folder and os.path.exists(path):
        raise OutputError(f"{quoted(path)} is a file, not a folder: end the output in {WRITABLE}, or choose a "
                          "new folder.")
    with writing(path):
        # What is written into a folder that is there asks nothing of the one around it.
        place = real if os.path.isdir(real) else parent
        temporary = temporary_name(place)
        file = open(temporary, "xb")
        try:
            with file:
                file.write(bytes(4096))
        finally:
            os.remove(temporary)
        free = shutil.disk_usage(place).free
    if free < bytes_needed:
        raise OutputError(f"The output may take {bytes_needed / 2**20:.0f} MiB, but the disk has only "
                          f"{free / 2**20:.0f} MiB free: make room, or choose another folder.")


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Raise errors of writing `path` as an `OutputError` with one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise OutputError(f"The disk is full: make room for {quoted(path)}, or choose another folder.") from error
        raise OutputError(f"{quoted(path)} cannot be written ({error.strerror}): choose another folder.") from error
    except RuntimeError as error:  # of SimpleITK and torch
        raise OutputError(f"{quoted(path)} cannot be written: make room, or choose another folder.") from error


def temporary_file(path: str) -> Tuple[BinaryIO, str]:
    """Return a new file, open for writing, in the folder of `path`, and its name, which says nothing of `path`."""
    temporary = temporary_name(os.path.dirname(os.path.abspath(path)))
    return open(temporary, "xb"), temporary


def temporary_name(folder: str) -> str:
    """Return the path of a file or folder that is renamed when it is complete."""
    return os.path.join(folder, f"{_TEMPORARY}{uuid.uuid4().hex}.part")


def _same(one: str, other: str) -> bool:
    """Return whether two paths lead to the same file or folder, whatever their spelling and links."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


@contextlib.contextmanager
def staged(path: Optional[str], folder: bool = False, within: Optional[str] = None) -> Iterator[Optional[str]]:
    """Yield a temporary path in the folder of `path`, or `within` another one of the same disk; None for None.

    On success it is renamed to `path`, on error it is removed. With `folder` and an existing empty folder, the
    temporary folder is created inside it, and its contents are moved up on success.
    """
    if path is None:
        yield None
        return
    real = os.path.realpath(path)
    there = folder and os.path.isdir(real)
    temporary = temporary_name(real if there else within or os.path.dirname(real))
    try:
        with writing(path):
            os.mkdir(temporary) if folder else open(temporary, "xb").close()
        yield temporary
        with writing(path):
            if there:
                _move_into(real, temporary)
            else:
                os.replace(temporary, real)
    finally:
        if os.path.isdir(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        elif os.path.exists(temporary):
            os.remove(temporary)


def _move_into(folder: str, temporary: str) -> None:
    """Move everything from the temporary folder into `folder`, or nothing."""
    names = os.listdir(temporary)
    try:
        for name in names:
            os.replace(os.path.join(temporary, name), os.path.join(folder, name))
    except BaseException:
        for name in names:
            with contextlib.suppress(OSError):
                os.remove(os.path.join(folder, name))
        raise
