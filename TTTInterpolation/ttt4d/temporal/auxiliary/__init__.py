"""The auxiliary tasks g, on which the network trains itself at deployment: one file a task, one entry here.

This file imports no torch, so that settings, command line and Slicer know the names before the engine is loaded.
"""

from __future__ import annotations

from ...adaptation.registry import loader

TASKS = {
    "rotation": "rotation.Rotation",
    "reconstruction": "reconstruction.Reconstruction",
    "agreement": "agreement.Agreement",
}

task_class = loader(__name__, TASKS)
