"""Devices, auxiliary tasks, schemes and packaged weights of this installation."""

from __future__ import annotations

import argparse
import json
from typing import Any, Dict

from .. import __version__
from ..settings import NO_ADAPTATION, SCHEMES
from ..temporal.auxiliary import TASKS
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
    for title in ("devices", "weights"):
        print(f"{title}:")
        for entry in found[title]:
            print(f"  {entry['name']:<12} {entry['description']}")
    print(f"auxiliary tasks: {', '.join(found['tasks'])}")
    print(f"schemes: {', '.join(found['schemes'])}")
    return EXIT_OK


def info() -> Dict[str, Any]:
    """Return the same as plain data; a description is one line for the user."""
    from .. import devices, weights
    from ..temporal import models

    return {
        "version": __version__,
        "devices": devices.available(),
        "tasks": [NO_ADAPTATION, *TASKS],
        "schemes": list(SCHEMES),
        "weights": [{"name": name, "description": models.load(name).card.get("description", "")}
                    for name in weights.names()],
    }
