r"""Fill in many cases, without a window: `ttt4d batch` on the Python of 3D Slicer.

  Slicer --no-splash --no-main-window --additional-module-paths TTTInterpolation \
         --python-script TTTInterpolation/TTTInterpolationLib/batch.py CASES RESULTS --frames 9

With `--factor 4` in place of `--frames 9`, slices are filled in; with `--slices-factor 4` beside it, both. The
arguments, the results and the exit status are those of `ttt4d batch`; `batch.py --help` lists them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback

from ttt4d.errors import UserError
from TTTInterpolationLib import dependencies
from TTTInterpolationLib.engine_process import NO_WINDOW, engineCommand, engineEnvironment, killTree


def main(arguments: list[str]) -> int:
    """Run the batch in a process of its own, pass on what it says, and return its exit status.

    Parameters
    ----------
    arguments : list of str
        The command line after `ttt4d batch`.
    """
    try:
        dependencies.check()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    # Through pipes: on Windows, Slicer has no console that a child could write to.
    with subprocess.Popen(engineCommand("batch", *arguments), env={**os.environ, **engineEnvironment()},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          encoding="utf-8", errors="replace", creationflags=NO_WINDOW) as child:
        try:
            for line in child.stdout:
                print(line, end="", flush=True)
        except BaseException:  # such as Ctrl-C: no worker may outlive the batch
            killTree(child.pid)
            raise
    return child.returncode


if __name__ == "__main__":
    import slicer

    status = 2
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
    finally:  # without this, Slicer would go on for ever, without a window
        slicer.util.exit(status) if hasattr(slicer, "app") else sys.exit(status)
