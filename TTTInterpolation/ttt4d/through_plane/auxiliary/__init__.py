"""The auxiliary tasks of the axis between slices. One file a task, one entry here.

This file imports no torch, so that settings, command line and Slicer know the names before the engine is loaded.
"""

from __future__ import annotations

from importlib import import_module

TASKS = {
    "in-plane": "in_plane.InPlane",
    "cross-view": "cross_view.CrossView",
    "consistency": "consistency.Consistency",
}


def task_class(name: str) -> type:
    """Return the class of an auxiliary task, which is imported only then."""
    module, cls = TASKS[name].split(".")
    return getattr(import_module(f"{__name__}.{module}"), cls)
