"""`ttt4d evaluate`: measure methods on a data set, print the tables, write the figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict

from ..errors import InputError, OutputError, SettingsError

DEFAULT_METHODS = "blend,base,default"
HELD_OUT = ("validation", "test")
PICTURES = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", default=os.environ.get("TTT4D_DATA", "../shared/data"),
                        help="folder in the ACDC or 4D-Lung layout, or of 4D NIfTI files (default: $TTT4D_DATA)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--split", metavar="NAME", help="cases of this split (default: validation, else test)")
    which.add_argument("--cases", metavar="NAMES", help="these cases instead, such as 008,017")
    parser.add_argument("--methods", metavar="NAMES", default=DEFAULT_METHODS,
                        help=f"comma-separated (default: {DEFAULT_METHODS}); an unknown name lists them all")
    parser.add_argument("--shifts", action="store_true", help="also measure under each imitated distribution shift")
    parser.add_argument("--weights", metavar="NAME|FILE", default="cardiac", help="of our methods (default: cardiac)")
    parser.add_argument("--uvinet", metavar="FILE", help="checkpoint of the UVI-Net peer")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="write all figures here, per case and per time too")
    parser.add_argument("--figure", metavar="FILE.png", help="draw each method's gain over the first, over time")


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; gives the exit status. Raises UserError for what the user can mend."""
    from ..evaluation.baselines import load_extra
    from ..evaluation.figure import draw
    from ..evaluation.methods import Options, make_method
    from ..evaluation.protocol import PROTOCOLS, evaluate, pair_of
    from ..evaluation.shifts import SHIFTS
    from ..evaluation.tables import markdown
    from ..images.datasets import open_data
    from ..images.output_paths import check_writable, writing

    # An hour of measuring must not end in what could be known before.
    for path in filter(None, (args.json, args.figure)):
        check_writable(path, (), folder=False)
    if args.figure:
        if not args.figure.endswith(PICTURES):
            raise OutputError(f"The figure {Path(args.figure).name} ends in none of {', '.join(PICTURES)}: rename it.")
        load_extra("matplotlib", "matplotlib")
    data = open_data(args.data)
    if args.cases:
        cases = data.cases(_names(args.cases))
    else:
        cases = data.split(args.split or next((name for name in HELD_OUT if name in data.splits), HELD_OUT[0]))
    if not cases:
        raise InputError("There is no case to measure: choose another split.")
    for case in cases:
        if not case.between:
            raise InputError(f"Case {case.name} has no frame between its two phases, so nothing to compare with: leave "
                             "it out.")
    options = Options(args.weights, args.uvinet, args.device, args.seed)
    names = _names(args.methods)
    if not names:
        raise SettingsError("No method was named: give --methods blend,base, for example.")
    if args.figure and len(names) < 2:
        raise SettingsError("The figure shows gains over the first method: give two or more.")
    protocol = PROTOCOLS[data.protocol]

    def measure(label: str, shift=None) -> Dict[str, Any]:
        # Made anew each time: a method that learns from its cohort must not carry one shift into the next.
        methods = {name: make_method(name, options) for name in names}
        pairs = [pair_of(case, protocol, shift, label) for case in cases]
        return evaluate(pairs, methods, lambda method, case: _tell(f"{label} {method} {case}"))

    report: Dict[str, Any] = {"protocol": data.protocol, "seed": args.seed, "weights": args.weights, **measure("")}
    if args.shifts:
        report["shifts"] = {name: measure(name, shift) for name, shift in SHIFTS.items()}
    _tell("")
    try:
        if args.json:
            with writing(args.json):
                Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
        if args.figure:
            with writing(args.figure):
                draw(report, args.figure)
    finally:  # whatever became of the files
        print(markdown(report))
    return 0


def _names(text: str) -> list:
    return [name.strip() for name in text.split(",") if name.strip()]


def _tell(line: str) -> None:
    """What is under way, on one line of a terminal that the next overwrites; nothing into a file."""
    if sys.stderr.isatty():
        print(f"\r{line.strip():<60.60}\r", end="", file=sys.stderr, flush=True)
