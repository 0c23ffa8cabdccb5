"""Claims: who computes a case says so by a file that only one process can make. Standard library only.

Parts of a cohort know nothing of each other but the folder of results. A claim names its host and process, and is
touched while the work goes on. It is void when the process is gone, or, seen from another host, when nobody has touched
it for `STALE_SECONDS`. Should two processes ever compute one case all the same, each puts whole, equal files in place.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from typing import Any, Dict, Iterator, Optional

BEAT_SECONDS = 30.0
STALE_SECONDS = 600.0


@contextlib.contextmanager
def claimed(path: str) -> Iterator[bool]:
    """Hold a claim while the block runs; yields False where another process holds it.

    Parameters
    ----------
    path : str
        Path of the claim. Its folder must exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, claimed(os.path.join(folder, "ann.claim")) as mine:
    ...     with claimed(os.path.join(folder, "ann.claim")) as again:
    ...         print(mine, again)
    True False
    """
    if not _take(path):
        yield False
        return
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, ended), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        ended.set()
        beat.join()
        release(path)


def release(path: str) -> None:
    """Remove a claim, if it is there."""
    with contextlib.suppress(OSError):
        os.remove(path)


def _take(path: str) -> bool:
    if _create(path):
        return True
    seen = _read(path)
    if not _is_void(path, seen):
        return False
    # Of several that find a void claim, one moves it away. Who has moved a new claim by mistake puts it back.
    aside = f"{path}.{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):
        os.rename(path, aside)
        if _read(aside) == seen:
            os.remove(aside)
            return _create(path)
        os.rename(aside, path)
    return False


def _create(path: str) -> bool:
    try:
        file = open(path, "x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            json.dump({"host": socket.gethostname(), "process": os.getpid(), "id": uuid.uuid4().hex}, file)
    except OSError:  # the disk is full
        release(path)
        raise
    return True


def _read(path: str) -> Optional[Dict[str, Any]]:
    """Return what a claim says; None where it is gone, or just being written."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _is_void(path: str, found: Optional[Dict[str, Any]]) -> bool:
    if found is not None and found["host"] == socket.gethostname() and not is_alive(found["process"]):
        return True
    try:
        return _now(path) - os.stat(path).st_mtime > STALE_SECONDS
    except OSError:  # it was just released
        return False


def is_alive(process: int) -> bool:
    """Return whether a process of this host runs; True where it cannot be found out."""
    if os.name != "posix":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now(path: str) -> float:
    """Return the time by the clock that stamps the files of a folder, which may be that of another computer."""
    clock = f"{path}.{uuid.uuid4().hex}"
    try:
        with open(clock, "x"):
            return os.stat(clock).st_mtime
    finally:
        release(clock)


def _beat(path: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(path)
