"""The engine's child process: its command line, its environment, its start under Qt, and how it is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, no console window pops up


def engineCommand(*arguments: str) -> list[str]:
    """Return the command line of `python -m ttt4d`, on Slicer's own Python where there is one."""
    return [shutil.which("PythonSlicer") or sys.executable, "-u", "-m", "ttt4d", *arguments]


def engineEnvironment() -> dict[str, str]:
    """Return the environment variables that the child gets beside ours.

    They put the engine's folder on the child's module path, and make its pipes use UTF-8.
    """
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"}


def startProcess(process, command: list[str]) -> None:
    """Start a `qt.QProcess` with the engine's environment."""
    import qt

    environment = qt.QProcessEnvironment.systemEnvironment()
    for name, value in engineEnvironment().items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    process.start(command[0], command[1:])


def killTree(pid: int) -> None:
    """Kill a process and all its descendants, without waiting.

    PythonSlicer is a launcher: if it alone is killed, the real Python goes on.
    """
    if pid <= 0:
        return
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       creationflags=NO_WINDOW)
        return
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE).stdout.decode()
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    doomed = [pid]
    for parent in doomed:
        doomed.extend(children.get(parent, []))
    for each in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
