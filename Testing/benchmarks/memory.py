"""Peak memory of interpolating a large pair with the command line, files in and out, each run a process of its own.

  python Testing/benchmarks/memory.py                    512 x 512 x 150 int16, 9 and 18 frames (many minutes)
  python Testing/benchmarks/memory.py --scale 0.25       a quarter of every edge

Fails when a run takes more than --limit GiB, or one with more frames more than 5 % above the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import SimpleITK as sitk

ENGINE = Path(__file__).parents[2] / "TTTInterpolation"
SIZE = (150, 512, 512)


def write_pair(folder: Path, size: Sequence[int]) -> Tuple[str, str]:
    """Two int16 volumes of waves and noise, the second shifted; as files."""
    noise = np.random.default_rng(0).normal(0, 20, size[1:]).astype(np.float32)
    k, j, i = (np.linspace(0, 6 * np.pi, n, dtype=np.float32) for n in size)
    for name, shift in (("phase0.nrrd", 0.0), ("phase1.nrrd", 0.3)):
        array = np.empty(size, np.int16)
        for n in range(size[0]):
            array[n] = 400 * np.sin(j + shift)[:, None] * np.sin(i - shift)[None] * np.cos(k[n] / 3) + noise
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.7, 0.7, 1.0))
        sitk.WriteImage(image, str(folder / name))
    return str(folder / "phase0.nrrd"), str(folder / "phase1.nrrd")


def reports(size: Sequence[int], frames: Sequence[int], options: Sequence[str] = ()) -> List[Dict]:
    """The report of one run for each number of frames; `peak_memory_mib` is what the system says of that process."""
    path = os.pathsep.join([str(ENGINE), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = []
    with tempfile.TemporaryDirectory() as folder:
        pair = write_pair(Path(folder), size)
        for count in frames:
            output, report = Path(folder, "frames.seq.nrrd"), Path(folder, "report.json")
            command = [sys.executable, "-m", "ttt4d", "interpolate", *pair, "-o", str(output), "--report", str(report),
                       "--frames", str(count), "--device", "cpu", *options]
            subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.DEVNULL)
            found.append(json.loads(report.read_text()))
            output.unlink()
            report.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of every edge (default: 1)")
    parser.add_argument("--frames", type=int, nargs="+", default=[9, 18])
    parser.add_argument("--limit", type=float, default=8.0, help="GiB a run may take (default: 8)")
    args, options = parser.parse_known_args()  # others are for `ttt4d interpolate`
    size = tuple(max(2, round(n * args.scale)) for n in SIZE)
    print(" x ".join(map(str, size[::-1])), "int16")
    peaks = []
    for report in reports(size, args.frames, options):
        peaks.append(report["peak_memory_mib"])
        synthetic = sum(not frame["acquired"] for frame in report["frames"])
        print(f"{synthetic:3d} frames  {peaks[-1]:6.0f} MiB  {sum(report['seconds'].values()):6.1f} s  "
              f"canvas {' x '.join(map(str, report['canvas'][::-1]))}  {' '.join(report['messages'])}")
    if max(peaks) > 1024 * args.limit:
        print(f"More than {args.limit:g} GiB.")
    if max(peaks) > 1.05 * peaks[0]:
        print("Memory grows with the number of frames.")
    return int(max(peaks) > min(1024 * args.limit, 1.05 * peaks[0]))


if __name__ == "__main__":
    sys.exit(main())
