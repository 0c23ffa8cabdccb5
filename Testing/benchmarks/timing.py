"""How long a pair takes beside ANTs SyN, in one run: the default, and the published settings (rotation, 50 iterations).

  python Testing/benchmarks/timing.py --data ACDC

Nine frames of every third patient of the validation split, twice; each method's first call, which loads its library, is
left out. Ratios to SyN on the same pair: mean, least and most.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Dict, List

import numpy as np

from ttt4d.evaluation.methods import TTT4D, Options, make_method
from ttt4d.evaluation.protocol import PROTOCOLS, pair_of
from ttt4d.images.datasets import open_data
from ttt4d.settings import AdaptationSettings

TIMES = tuple(n / 10 for n in range(1, 10))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("TTT4D_DATA"), help="folder in the ACDC layout "
                        "(default: $TTT4D_DATA)")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    options = Options(device=args.device)
    methods = {"syn": make_method("syn", options), "default": TTT4D(options, AdaptationSettings()),
               "rotation, 50 iterations": TTT4D(options, AdaptationSettings(auxiliary="rotation", iterations=50))}
    data = open_data(args.data)
    pairs = [pair_of(case, PROTOCOLS[data.protocol]) for case in data.split("validation")[::3]]
    seconds: Dict[str, List[float]] = {name: [] for name in methods}
    for pair in [pairs[0], *pairs, *pairs]:
        for name, method in methods.items():
            began = time.perf_counter()
            list(method(pair.phase0, pair.phase1, TIMES, pair.spacing))
            seconds[name].append(time.perf_counter() - began)
    syn = np.array(seconds["syn"][1:])
    for name, values in seconds.items():
        mine = np.array(values[1:])
        print(f"{name}: {mine.mean():.1f} s, {mine.mean() / syn.mean():.2f} times SyN "
              f"({(mine / syn).min():.2f} to {(mine / syn).max():.2f} a pair)", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
