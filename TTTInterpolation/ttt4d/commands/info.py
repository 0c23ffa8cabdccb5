"""Devices, auxiliary tasks, schemes and packaged weights of this installation."""

from __future__ import annotations

import argparse
import json
from typing import Any, Dict, List

from .. import __version__
from ..settings import NO_ADAPTATION, SCHEMES
from ..temporal.auxiliary import TASKS
from ..through_plane import auxiliary as through_plane
from .exit_status import EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print it as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print what is there and return the exit status."""
    found = info()
    if arguments.json:
        print(json.dumps(found))
        return EXIT_OK
    print(f"ttt4d {found['version']}. Not for clinical use.")
    _print_list("devices", found["devices"])
    print(f"schemes: {', '.join(found['schemes'])}")
    for title, axis in (("between phases (ttt4d interpolate)", found), ("between slices (ttt4d slices)",
                                                                        found["slices"])):
        print(f"{title}:")
        print(f"  auxiliary tasks: {', '.join(axis['tasks'])}")
        _print_list("  weights", axis["weights"])
    return EXIT_OK


def _print_list(title: str, entries: List[Dict[str, str]]) -> None:
    print(f"{title}:")
    for entry in entries:
        print(f"    {entry['name']:<14} {entry['description']}")


def info() -> Dict[str, Any]:
    """Return what is there as plain data; `slices` has the tasks and weights of the axis between slices."""
    from .. import devices, weights

    def weights_of(axis: str) -> List[Dict[str, str]]:
        return [{"name": name, "description": weights.description(name)} for name in weights.names(axis)]

    return {
        "version": __version__,
        "devices": devices.available(),
        "tasks": [NO_ADAPTATION, *TASKS],
        "schemes": list(SCHEMES),
<<<<<<< HEAD
        "weights": found["temporal"],
        "slices": {"tasks": [NO_ADAPTATION, *through_plane.TASKS], "weights": found["through_plane"]},
=======
        "weights": weights_of(weights.TEMPORAL),
        "slices": {"tasks": [NO_ADAPTATION, *through_plane.TASKS], "weights": weights_of(weights.THROUGH_PLANE)},
>>>>>>> product
    }
