r"""Runs the tests of this folder inside 3D Slicer, and exits with pytest's status (no test collected is a failure too).

  Slicer --testing --no-splash --additional-module-paths TTTInterpolation \
         --python-script Testing/slicer/run_in_slicer.py

Slicer's Python needs pytest once: `PythonSlicer -m pip install pytest`.
"""

from __future__ import annotations

import os
import sys

import slicer


def main() -> int:
    try:
        import pytest
    except ImportError:
        print("pytest is missing in Slicer's Python: run `PythonSlicer -m pip install pytest` once.", file=sys.stderr)
        return 1
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    sys.path[:0] = [here, os.path.join(here, "..", "..", "TTTInterpolation")]
    return int(pytest.main(["--rootdir", here, here, *sys.argv[1:]]))


slicer.util.exit(main())
