"""`ttt4d evaluate`: measure methods on a data set, print the tables, write the figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from ..errors import InputError, OutputError, SettingsError
from . import evaluate_slices
from .axes import PHASES, SLICES
from .exit_status import EXIT_OK

if TYPE_CHECKING:
    from ..evaluation.shifts import Shift
    from ..images.datasets import Case, DataSet

DEFAULT_METHODS = "blend,base,default"
HELD_OUT = ("validation", "test")
PICTURES = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument("--axis", choices=(PHASES, SLICES), default=PHASES,
                        help="what is filled in: moments between phases (default) or slices between slices")
    parser.add_argument("--data", metavar="DIR", default=os.environ.get("TTT4D_DATA"),
                        help="folder in the ACDC or 4D-Lung layout, or of 4D NIfTI files; for slices one of volumes "
                             "with their index.csv (default: $TTT4D_DATA)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--split", metavar="NAME", help="cases of this split (default: validation, else test)")
    which.add_argument("--cases", metavar="NAMES", help="these cases instead, such as 008,017")
    parser.add_argument("--methods", metavar="NAMES",
                        help=f"comma-separated (default: {DEFAULT_METHODS}; for slices "
                             f"{evaluate_slices.DEFAULT_METHODS}); an unknown name lists them all")
    parser.add_argument("--labels", action="store_true",
                        help="measure labels carried from the first phase to the second, instead of frames: cases with "
                        "experts' labels, of all splits unless some are named")
    parser.add_argument("--shifts", action="store_true", help="also measure under each imitated distribution shift")
    parser.add_argument("--weights", metavar="NAME|FILE",
                        help="weights of our methods (default: cardiac, or slices)")
    parser.add_argument("--uvinet", metavar="FILE",
                        help="checkpoint of the peer UVI-Net, as `ttt4d train --model uvinet` writes it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write all figures here, for each case and time too")
    parser.add_argument("--figure", metavar="FILE.png",
                        help="draw the gain of each method over the first, over time; for slices one cut as each "
                             "method fills it in")
    evaluate_slices.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables and write the files.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    UserError
        For an error that the user can mend.
    """
    from ..evaluation.figure import draw
    from ..evaluation.label_protocol import LabelledPair, evaluate_labels
    from ..evaluation.methods import Options, make_method
    from ..evaluation.protocol import PROTOCOLS, evaluate, pair_of
    from ..evaluation.shifts import SHIFTS
    from ..evaluation.tables import labels_markdown, markdown
    from ..images.datasets import open_data
    from ..images.output_paths import writing

    if args.axis == SLICES:
        if args.labels or args.shifts or args.uvinet:
            raise SettingsError("--labels, --shifts and --uvinet are for phases only: leave them out.")
        args.weights = args.weights or "slices"
        names = _names(args.methods or evaluate_slices.DEFAULT_METHODS)
        _check(args, names)
        return evaluate_slices.run(args, names, _show)
    args.weights = args.weights or "cardiac"
    names = _names(args.methods or DEFAULT_METHODS)
    _check(args, names)
    data = open_data(args.data)
    cases = _cases(args, data)
    options = Options(args.weights, args.uvinet, args.device, args.seed)
    protocol = PROTOCOLS[data.protocol]

    def measure(label: str, shift: Optional[Shift] = None) -> Dict[str, Any]:
        # New methods each time: one that learns from its cohort must not carry one shift into the next.
        methods = {name: make_method(name, options) for name in names}
        pairs = [pair_of(case, protocol, shift, label) for case in cases]
        return evaluate(pairs, methods, lambda method, case: _show(f"{label} {method} {case}"))

    report: Dict[str, Any] = {"protocol": data.protocol, "seed": args.seed, "weights": args.weights}
    if args.labels:
        trained_on = {case.name for case in data.splits.get("train", ())}
        report.update(evaluate_labels([LabelledPair.of(case, case.name in trained_on) for case in cases],
                                      {name: make_method(name, options) for name in names},
                                      lambda method, case: _show(f"{method} {case}")))
    else:
        report.update(measure(""))
    if args.shifts:
        report["shifts"] = {name: measure(name, shift) for name, shift in SHIFTS.items()}
    _show("")
    try:
        if args.json:
            with writing(args.json):
                Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
        if args.figure:
            with writing(args.figure):
                draw(report, args.figure)
    finally:  # the tables are printed even if a file could not be written
        print(labels_markdown(report) if args.labels else markdown(report))
    return EXIT_OK


def _check(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Raise a UserError for what can be known before an hour of measurement."""
    from ..evaluation.baselines import load_extra
    from ..images.output_paths import check_writable

    for path in filter(None, (args.json, args.figure)):
        check_writable(path, (), folder=False)
    if not names:
        raise SettingsError("No method was named: give --methods blend,base, for example.")
    if args.labels:
        if args.shifts or args.figure:
            raise SettingsError("--labels measures carried labels, not frames: leave --shifts and --figure out.")
        load_extra("monai.metrics", "monai")
    if args.figure:
        if not args.figure.endswith(PICTURES):
            raise OutputError(f"The figure {Path(args.figure).name} has an unsupported extension: use one of "
                              f"{', '.join(PICTURES)}.")
        if len(names) < 2 and args.axis == PHASES:
            raise SettingsError("The figure shows gains over the first method: give two or more.")
        load_extra("matplotlib", "matplotlib")


def _cases(args: argparse.Namespace, data: DataSet) -> Sequence[Case]:
    """Return the cases that the user chose."""
    cases: Sequence[Case]
    if args.cases:
        cases = data.cases(_names(args.cases))
    elif args.labels and not args.split:
        cases = sorted((case for split in data.splits.values() for case in split if case.labels),
                       key=lambda case: case.name)
    else:
        cases = data.split(args.split or next((name for name in HELD_OUT if name in data.splits), HELD_OUT[0]))
    if not cases:
        raise InputError("There is no case to measure: choose another split.")
    for case in cases:
        if not case.between and not args.labels:
            raise InputError(f"Case {case.name} has no frame between its two phases, so nothing to compare with: leave "
                             "it out.")
    return cases


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _show(line: str) -> None:
    """Show what is under way on one line of a terminal, which the next overwrites; write nothing into a file."""
    if sys.stderr.isatty():
        print(f"\r{line.strip():<60.60}\r", end="", file=sys.stderr, flush=True)
