"""How long a pair takes beside ANTs SyN, in one run: the default, and the published settings (rotation, 50 iterations).

  python Testing/benchmarks/timing.py --data ACDC
  python Testing/benchmarks/timing.py --data ACDC --processes

Nine frames of every third patient of the validation split, twice; each method's first call, which loads its library, is
left out. Ratios to SyN on the same pair: mean, least and most. With --processes, whole programs from their start to
their end: `ttt4d interpolate` beside a program that reads the same two files, runs SyN and writes the same nine frames.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import SimpleITK as sitk

from ttt4d.evaluation.methods import TTT4D, Options, as_volumes, make_method
from ttt4d.evaluation.protocol import PROTOCOLS, Method, Pair, pair_of
from ttt4d.images.datasets import open_data
from ttt4d.images.resampling import to_sitk
from ttt4d.settings import AdaptationSettings

TIMES = tuple(n / 10 for n in range(1, 10))
Run = Callable[[Pair], object]
# A program that interpolates as `ttt4d interpolate` does: two files in, one out.
SYN = """
import sys
import numpy as np
import SimpleITK as sitk
from ttt4d.evaluation.baselines import SyN
phases = [sitk.ReadImage(name) for name in sys.argv[1:3]]
arrays = [sitk.GetArrayFromImage(phase) for phase in phases]
frames = SyN()(*arrays, [n / 10 for n in range(1, 10)], phases[0].GetSpacing()[::-1])
sitk.WriteImage(sitk.GetImageFromArray(np.stack(list(frames))), sys.argv[3])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TTT4D_DATA"), help="folder in the ACDC layout "
                        "(default: $TTT4D_DATA)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", action="store_true", help="whole programs from their start to their end")
    args = parser.parse_args()
    data = open_data(args.data)
    pairs = [pair_of(case, PROTOCOLS[data.protocol]) for case in data.split("validation")[::3]]
    with tempfile.TemporaryDirectory() as folder:
        runs = programs(pairs, Path(folder), args.device) if args.processes else methods(args.device)
        seconds: Dict[str, List[float]] = {name: [] for name in runs}
        for pair in [pairs[0], *pairs, *pairs]:
            for name, run in runs.items():
                began = time.perf_counter()
                run(pair)
                seconds[name].append(time.perf_counter() - began)
    syn = np.array(seconds["syn"][1:])
    for name, values in seconds.items():
        mine = np.array(values[1:])
        print(f"{name}: {mine.mean():.1f} s, {mine.mean() / syn.mean():.2f} times SyN "
              f"({(mine / syn).min():.2f} to {(mine / syn).max():.2f} a pair)", flush=True)
    return 0


def methods(device: str) -> Dict[str, Run]:
    """Return what interpolates a pair in this process, by name."""
    options = Options(device=device)
    found: Dict[str, Method] = {
        "syn": make_method("syn", options), "default": TTT4D(options, AdaptationSettings()),
        "rotation, 50 iterations": TTT4D(options, AdaptationSettings(auxiliary="rotation", iterations=50))}

    def run_of(method: Method) -> Run:
        return lambda pair: list(method(pair.phase0, pair.phase1, TIMES, pair.spacing))

    return {name: run_of(method) for name, method in found.items()}


def programs(pairs: List[Pair], folder: Path, device: str) -> Dict[str, Run]:
    """Return what interpolates a pair in a process of its own, by name; the phases lie in a folder from now on."""

    def phases(pair: Pair) -> List[str]:
        return [str(folder / f"{pair.name}-{number}.nrrd") for number in (0, 1)]

    for pair in pairs:
        for name, volume in zip(phases(pair), as_volumes(pair.phase0, pair.phase1, pair.spacing)):
            sitk.WriteImage(to_sitk(volume), name)

    def python(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    return {"syn": lambda pair: python("-c", SYN, *phases(pair), str(folder / "syn.nrrd")),
            "ttt4d interpolate": lambda pair: python(
                "-m", "ttt4d", "interpolate", *phases(pair), "-o", str(folder / "frames.seq.nrrd"),
                "--frames", str(len(TIMES)), "--device", device)}


if __name__ == "__main__":
    raise SystemExit(main())
