"""`ttt4d evaluate --axis slices`: measure methods on the axis between slices."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Callable, List

from ..errors import InputError, SettingsError
from .exit_status import EXIT_OK

DEFAULT_METHODS = "linear,pchip,bspline,lanczos,none,in-plane"
DEFAULT_PROBLEMS = "gap-2,gap-4,thick-4"
VIEWS = "views"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this axis to the parser of the command."""
    group = parser.add_argument_group("between slices only")
    group.add_argument("--problems", metavar="NAMES", default=DEFAULT_PROBLEMS,
                       help=f"comma-separated (default: {DEFAULT_PROBLEMS}); also thick-4-noise, thick, views")
    group.add_argument("--scheme", metavar="NAME", default="online",
                       help="how our methods share what they learn from the volumes (default: online)")
    group.add_argument("--iterations", type=int, default=0, metavar="N", help="steps (default: those of the task)")
    group.add_argument("--crop", type=int, default=0, metavar="PIXELS",
                       help="the middle of the slices only (default: all of them)")
    group.add_argument("--no-ssim", action="store_true", help="leave out the SSIM, which takes longest")


def run(args: argparse.Namespace, names: List[str], show: Callable[[str], None]) -> int:
    """Measure, print the tables and write the files; return the exit status.

    Raises
    ------
    UserError
        For an error that the user can mend.
    """
    from ..evaluation import slice_figure, slice_methods, slice_protocol, slice_tables, slice_views
    from ..evaluation.slice_problems import PROBLEMS
    from ..images.output_paths import writing

    problems = [name.strip() for name in args.problems.split(",") if name.strip()]
    for kind, given, known in (("problem", problems, [*PROBLEMS, VIEWS]), ("method", names, slice_methods.names())):
        for name in given:
            if name not in known:
                raise SettingsError(f"There is no {kind} {name}: choose from {', '.join(known)}.")
    if not args.data:
        raise InputError("There is no data to measure on: name its folder with --data.")
    folder, wanted = Path(args.data), [name.strip() for name in (args.cases or "").split(",") if name.strip()]
    methods = [(name, slice_methods.method(name, args.weights, args.scheme, args.iterations, args.device, args.seed))
               for name in names]
    figures, crossing = [], []
    for problem in problems:
        if problem == VIEWS:
            crossing = list(slice_views.evaluate(folder, methods))
            continue
        found = slice_protocol.cases(folder, problem, args.split or "", wanted, args.crop)
        figures += list(slice_protocol.evaluate(found, problem, methods, not args.no_ssim, show))
    show("")
    report = {"axis": "slices", "weights": args.weights, "scheme": args.scheme, "seed": args.seed,
              "figures": [dataclasses.asdict(row) for row in figures], "views": crossing}
    try:
        if args.json:
            with writing(args.json):
                Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
        if args.figure and figures:
            _, problem = found[0]
            with writing(args.figure):
                slice_figure.draw(problem, [(name, next(method([problem]))) for name, method in methods], args.figure)
    finally:  # the tables are printed even if a file could not be written
        print(slice_tables.markdown(figures), end="")
        for row in crossing:
            moved = ", ".join(f"{mm:.1f}" for mm in row["moved_mm"])
            print(f"views: local NCC of {row['method']} with {row['stack']}: {row['ncc']:.4f}, "
                  f"{row['ncc_aligned']:.4f} when moved by ({moved}) mm")
    return EXIT_OK
