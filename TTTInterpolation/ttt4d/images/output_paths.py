"""The place of an output: whether it can be written there, under which name meanwhile, and what to say if it cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from typing import BinaryIO, Iterator, Optional, Sequence, Tuple

from ..errors import OutputError
from .files import quoted

_TEMPORARY = ".ttt4d-"


def check_writable(path, inputs: Sequence, folder: bool, bytes_needed: int = 0) -> None:
    """Raise `OutputError` unless a file, or a new or empty folder, can be written at `path`.

    inputs: the files and folders of the phases, none of which may be overwritten.
    bytes_needed: an estimate of the output's size, refused where the disk has less free.
    """
    path = os.fspath(path)
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
        raise OutputError(f"{quoted(path)} is a file: name the output .seq.nrrd, .nii.gz or .nii, or choose a new "
                          "folder.")
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
    """Turn what goes wrong while `path` is written into an `OutputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise OutputError(f"The disk is full: make room for {quoted(path)}, or choose another folder.") from error
        raise OutputError(f"{quoted(path)} cannot be written ({error.strerror}): choose another folder.") from error
    except RuntimeError as error:  # of SimpleITK and torch
        raise OutputError(f"{quoted(path)} cannot be written: make room, or choose another folder.") from error


def temporary_file(path: str) -> Tuple[BinaryIO, str]:
    """A new file beside `path`, with a name that says nothing of it."""
    temporary = temporary_name(os.path.dirname(os.path.abspath(path)))
    return open(temporary, "xb"), temporary


def temporary_name(folder: str) -> str:
    """A name in a folder for what gets its own when it is complete."""
    return os.path.join(folder, f"{_TEMPORARY}{uuid.uuid4().hex}.part")


def _same(one: str, other: str) -> bool:
    """Whether two paths are one place, links and spellings aside."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


@contextlib.contextmanager
def staged(path: Optional[str], folder: bool = False) -> Iterator[Optional[str]]:
    """A temporary file beside `path`, which takes its name when all went well and else is gone; or a temporary folder,
    inside an empty one that is there already, which takes what is in it.
    """
    if path is None:
        yield None
        return
    real = os.path.realpath(path)
    there = folder and os.path.isdir(real)
    temporary = temporary_name(real if there else os.path.dirname(real))
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
    """All that is in the temporary folder, or nothing."""
    names = os.listdir(temporary)
    try:
        for name in names:
            os.replace(os.path.join(temporary, name), os.path.join(folder, name))
    except BaseException:
        for name in names:
            with contextlib.suppress(OSError):
                os.remove(os.path.join(folder, name))
        raise
