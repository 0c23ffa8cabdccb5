"""The auxiliary tasks of the axis between slices. One file a task, one entry here.

This file imports no torch, so that settings, command line and Slicer know the names before the engine is loaded.
"""

from __future__ import annotations

from ...adaptation.registry import loader

TASKS = {
    "in-plane": "in_plane.InPlane",
    "cross-view": "cross_view.CrossView",
    "consistency": "consistency.Consistency",
}

task_class = loader(__name__, TASKS)
