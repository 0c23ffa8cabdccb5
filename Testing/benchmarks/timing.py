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
from typing import Dict, List

import numpy as np
import SimpleITK as sitk

from ttt4d.evaluation.methods import TTT4D, Options, as_volumes, make_method
from ttt4d.evaluation.protocol import PROTOCOLS, Pair, pair_of
from ttt4d.images.datasets import open_data
from ttt4d.images.resampling import to_sitk
from ttt4d.settings import AdaptationSettings

TIMES = tuple(n / 10 for n in range(1, 10))
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
    seconds = seconds_of_processes(pairs) if args.processes else seconds_of_calls(pairs, args.device)
    syn = np.array(seconds["syn"][1:])
    for name, values in seconds.items():
        mine = np.array(values[1:])
        print(f"{name}: {mine.mean():.1f} s, {mine.mean() / syn.mean():.2f} times SyN "
              f"({(mine / syn).min():.2f} to {(mine / syn).max():.2f} a pair)", flush=True)
    return 0


def seconds_of_calls(pairs: List[Pair], device: str) -> Dict[str, List[float]]:
    """Return what each method takes in this process for each pair, the first one once more before."""
    options = Options(device=device)
    methods = {"syn": make_method("syn", options), "default": TTT4D(options, AdaptationSettings()),
               "rotation, 50 iterations": TTT4D(options, AdaptationSettings(auxiliary="rotation", iterations=50))}
    seconds: Dict[str, List[float]] = {name: [] for name in methods}
    for pair in [pairs[0], *pairs, *pairs]:
        for name, method in methods.items():
            began = time.perf_counter()
            list(method(pair.phase0, pair.phase1, TIMES, pair.spacing))
            seconds[name].append(time.perf_counter() - began)
    return seconds


def seconds_of_processes(pairs: List[Pair]) -> Dict[str, List[float]]:
    """Return what each program takes for each pair, the first one once more before."""
    seconds: Dict[str, List[float]] = {"syn": [], "ttt4d interpolate": []}
    with tempfile.TemporaryDirectory() as folder:
        for pair in [pairs[0], *pairs, *pairs]:
            inputs = [str(Path(folder) / name) for name in ("phase0.nrrd", "phase1.nrrd")]
            for name, volume in zip(inputs, as_volumes(pair.phase0, pair.phase1, pair.spacing)):
                sitk.WriteImage(to_sitk(volume), name)
            syn, ours = (str(Path(folder) / name) for name in ("syn.nrrd", "frames.seq.nrrd"))
            commands = {"syn": ["-c", SYN, *inputs, syn],
                        "ttt4d interpolate": ["-m", "ttt4d", "interpolate", *inputs, "-o", ours, "--frames", "9",
                                              "--device", "cpu"]}
            for name, words in commands.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, *words], check=True, capture_output=True)
                seconds[name].append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
