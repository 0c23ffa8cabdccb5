"""The lists of the module's CMakeLists.txt, and the files they should name.

Example::

  python Testing/slicer/cmake_lists.py      writes the lists anew, from what git has or would take
"""

from __future__ import annotations

import os
import re
import subprocess

MODULE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "TTTInterpolation"))
CMAKE = os.path.join(MODULE, "CMakeLists.txt")
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def wanted() -> dict:
    """The files of each list, sorted. What is not listed is missing from the packaged extension."""
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=MODULE,
                           stdout=subprocess.PIPE, check=True).stdout.decode().split()
    files = {name for name in names if os.path.exists(os.path.join(MODULE, name))} - {"CMakeLists.txt"}
    scripts = {name for name in files if name.endswith(".py")}
    return {SCRIPTS: sorted(scripts), RESOURCES: sorted(files - scripts)}


def listed() -> dict:
    """The files that each list names."""
    return {name: re.search(_pattern(name), _text()).group(2).split() for name in (SCRIPTS, RESOURCES)}


def write() -> None:
    text = _text()
    for name, files in wanted().items():
        lines = "".join(f"  {file}\n" for file in files)
        text = re.sub(_pattern(name), lambda match, lines=lines: f"{match.group(1)}\n{lines}{match.group(3)}", text)
    with open(CMAKE, "w", encoding="utf-8") as file:
        file.write(text)


def _text() -> str:
    with open(CMAKE, encoding="utf-8") as file:
        return file.read()


def _pattern(name: str) -> str:
    return rf"(set\({name})\s([^)]*?)(  \))"


if __name__ == "__main__":
    write()
