"""What there is on this machine: devices, auxiliary tasks, schemes, and packaged weights."""

from __future__ import annotations

import argparse
import json
from typing import Any, Dict

from . import __version__
from .auxiliary import TASKS
from .request import DONE
from .settings import NO_ADAPTATION, SCHEMES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    found = info()
    if arguments.json:
        print(json.dumps(found))
        return DONE
    print(f"ttt4d {found['version']}. Not for clinical use.")
    for title in ("devices", "weights"):
        print(f"{title}:")
        for entry in found[title]:
            print(f"  {entry['name']:<12} {entry['description']}")
    print(f"auxiliary tasks: {', '.join(found['tasks'])}")
    print(f"schemes: {', '.join(found['schemes'])}")
    return DONE


def info() -> Dict[str, Any]:
    """As plain data; a description is one line for a person."""
    from . import device, weights

    return {
        "version": __version__,
        "devices": device.available(),
        "tasks": [NO_ADAPTATION, *TASKS],
        "schemes": list(SCHEMES),
        "weights": [{"name": name, "description": weights.load(name).card.get("description", "")}
                    for name in weights.names()],
    }
