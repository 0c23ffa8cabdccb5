"""The public names, and the Python examples of the README and the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

import ttt4d
from shell import SMALL
from ttt4d.images.resampling import to_sitk
from ttt4d.temporal.phantom import beating_heart

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "Docs").glob("*.md"))]
# Examples for 3D Slicer's Python console need the application.
BLOCKS = [(page.name, block) for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"),
                                                                      re.DOTALL)
          if "ttt4d" in block and "slicer" not in block and "TTTInterpolationLib" not in block and ">>>" not in block]


def test_there_is_an_example():
    assert any(page == "README.md" for page, _ in BLOCKS)


@pytest.mark.parametrize("block", [block for _, block in BLOCKS],
                         ids=[f"{page}-{n}" for n, (page, _) in enumerate(BLOCKS)])
def test_the_example_runs_as_it_is_printed(block, tmp_path, cardiac):
    for name, volume in zip(("ED.nii.gz", "ES.nii.gz"), beating_heart((0, 1), SMALL)[0]):
        sitk.WriteImage(to_sitk(volume), str(tmp_path / name))
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(ttt4d.__file__).parents[1])})
    assert done.returncode == 0, done.stderr


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
