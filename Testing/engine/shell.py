"""A small beating heart on disk, and `ttt4d` as a user starts it, for tests of the command line and the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, List

import pytest
import SimpleITK as sitk

from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry
from ttt4d.temporal.phantom import beating_heart

ENGINE = Path(__file__).parents[2] / "TTTInterpolation"
SMALL = Geometry((5, 24, 24), (8.0, 5.0, 5.0), (-60.0, -60.0, -16.0))


@pytest.fixture
def pair(tmp_path) -> List[str]:
    """Paths of end-diastole and end-systole, alone in a folder of their own."""
    folder = tmp_path / "phases"
    folder.mkdir()
    paths = [str(folder / name) for name in ("ed.nrrd", "es.nrrd")]
    for path, volume in zip(paths, beating_heart((0, 1), SMALL)[0]):
        sitk.WriteImage(to_sitk(volume), path)
    return paths


@pytest.fixture
def start(tmp_path) -> Callable[..., subprocess.Popen]:
    """Starts `python *arguments` in the test's folder, on one thread, with pipes for its three streams."""
    children = []

    def popen(*arguments: str, **options) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}
        options.update(dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE), cwd=tmp_path, env=environment)
        if os.name == "posix":  # a test run in a shell's background would hand on that Ctrl-C or SIGHUP is ignored
            options.setdefault("preexec_fn", lambda: [signal.signal(number, signal.SIG_DFL)
                                                      for number in (signal.SIGINT, signal.SIGHUP)])
        children.append(subprocess.Popen([sys.executable, *arguments], **options))
        return children[-1]

    yield popen
    for child in children:
        child.kill()
        for pipe in (child.stdin, child.stdout, child.stderr):
            pipe.close()
        child.wait()


def files_in(folder) -> List[str]:
    """Every file and folder under a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
