"""Claims: who computes a case says so by something that only one process can make. Standard library only.

Parts of a cohort know nothing of each other but the folder of results. A claim is a folder with one empty file, whose
name tells process and host, and which is touched while the work goes on. It is void when the process is gone, or, seen
from another host, when nobody has touched it for `STALE_SECONDS`.

Every step is one renaming or removal of a name that no other claim has, so that a process may be killed between any two
of them. A folder without a file is nobody's. Who is held up for so long that another process has taken its claim over
finds that out by `is_held_here`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import uuid
from typing import Iterator, List
from urllib.parse import quote

CLAIM = ".claim"
BEAT_SECONDS = 30.0
STALE_SECONDS = 600.0
# How often the folder of a new claim is made again, where another process has just removed it as an empty one.
ATTEMPTS = 100


@contextlib.contextmanager
def claimed(path: str) -> Iterator[bool]:
    """Hold a claim while the block runs; yields False where another process holds it.

    Parameters
    ----------
    path : str
        Path of the claim, which ends in `CLAIM`. Its folder is made if it is not there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, claimed(os.path.join(folder, "ann.claim")) as mine:
    ...     with claimed(os.path.join(folder, "ann.claim")) as again:
    ...         print(mine, again)
    True False
    """
    holder = f"{os.getpid()}-{uuid.uuid4().hex[:12]}-{_host()}"
    if not _take(path, holder):
        yield False
        return
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(os.path.join(path, holder), ended), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        ended.set()
        beat.join()
        _give_back(path, holder)


def is_held_here(path: str) -> bool:
    """Return whether this process holds a claim, and none has taken it over in the meantime."""
    return any(_process(holder) == os.getpid() for holder in _holders(path))


def _take(path: str, holder: str) -> bool:
    # Made under a name that nobody asks for. It is a claim too, so that it is cleared like one when it is left behind.
    made = os.path.join(os.path.dirname(path), f"{uuid.uuid4().hex}{CLAIM}")
    try:
        _make(made, holder)
        return _put(made, path) or _take_over(path, holder)
    finally:
        _give_back(made, holder)


def _make(path: str, holder: str) -> None:
    for attempt in range(ATTEMPTS):
        try:
            os.makedirs(path, exist_ok=True)
            open(os.path.join(path, holder), "x").close()
            return
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise


def _put(made: str, path: str) -> bool:
    """Give a claim its name; returns whether nobody held one of that name."""
    with contextlib.suppress(OSError):  # one that is held is not empty
        os.rmdir(path)
    try:
        os.rename(made, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True


def _take_over(path: str, holder: str) -> bool:
    """Take a void claim. Of several processes that find it, one can rename its file, since then its name is gone."""
    for other in _holders(path):
        file = os.path.join(path, other)
        with contextlib.suppress(OSError):
            if _is_void(path, other):
                os.utime(file)  # first, so that it is not void by its age under its new name
                os.rename(file, os.path.join(path, holder))
                return True
    return False


def _give_back(path: str, holder: str) -> None:
    with contextlib.suppress(OSError):
        os.remove(os.path.join(path, holder))
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _holders(path: str) -> List[str]:
    """Return the name of the file in a claim, or nothing where it is not held."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def _process(holder: str) -> int:
    """Return the process of this host that a claim names; 0 where it is of another host."""
    process, _, host = holder.partition("-")
    return int(process) if process.isdigit() and host.partition("-")[2] == _host() else 0


def _host() -> str:
    return quote(socket.gethostname(), safe="")


def _is_void(path: str, holder: str) -> bool:
    process = _process(holder)
    return bool(process and not _is_alive(process)) or _age(os.path.join(path, holder)) > STALE_SECONDS


def _is_alive(process: int) -> bool:
    """Return whether a process of this host runs; True where it cannot be found out."""
    if os.name != "posix":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:  # of Linux
            return file.read().rpartition(")")[2].split()[0] != "Z"  # ended, but nobody has asked for its status
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user, or there is no /proc
        return True


def _age(file: str) -> float:
    """Return the seconds since a file was touched, by the clock of the disk, which may be that of another computer."""
    folder = os.path.dirname(os.path.dirname(file))
    os.utime(folder)
    return os.stat(folder).st_mtime - os.stat(file).st_mtime


def _beat(file: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):
            os.utime(file)
