"""The auxiliary tasks g, on which the network trains itself at deployment: one file a task, one entry here.

This file imports no torch, so that settings, command line and Slicer know the names before the engine is loaded.
"""

from __future__ import annotations

from importlib import import_module

TASKS = {
    "rotation": "rotation.Rotation",
    "reconstruction": "reconstruction.Reconstruction",
    "agreement": "agreement.Agreement",
}


def task_class(name: str) -> type:
    """Return the class of an auxiliary task; its module is imported now."""
    module, cls = TASKS[name].split(".")
    return getattr(import_module(f"{__name__}.{module}"), cls)
