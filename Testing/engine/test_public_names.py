"""The names that `ttt4d` itself offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ttt4d


def test_every_public_name_is_there_and_the_import_stays_light():
    program = ("import sys, ttt4d\n"
               "print(sorted({'torch', 'numpy', 'SimpleITK'} & set(sys.modules)))\n"
               "print(all(getattr(ttt4d, name).__module__.startswith('ttt4d.') for name in ttt4d.__all__))\n"
               "print(set(ttt4d.__all__) <= set(dir(ttt4d)))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(ttt4d.__file__).parents[1])})
    assert done.stdout.split("\n")[:3] == ["[]", "True", "True"], done.stderr
    with pytest.raises(AttributeError, match="no attribute 'Interpolater'"):
        getattr(ttt4d, "Interpolater")  # noqa: B009
