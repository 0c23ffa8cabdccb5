"""The class of an auxiliary task by its name, on either axis. Standard library only, as the lists of tasks are."""

from __future__ import annotations

from importlib import import_module
from typing import Callable, Mapping


def loader(package: str, tasks: Mapping[str, str]) -> Callable[[str], type]:
    """Return the function that gives the class of a task; the module of a task is imported when it is asked for.

    Parameters
    ----------
    package : str
        Name of the package that holds one module a task.
    tasks : mapping of str to str
        Name of each task, and its "module.Class".

    Examples
    --------
    >>> loader("ttt4d.temporal.auxiliary", {"rotation": "rotation.Rotation"})("rotation").__name__
    'Rotation'
    """
    def task_class(name: str) -> type:
        module, cls = tasks[name].split(".")
        return getattr(import_module(f"{package}.{module}"), cls)

    return task_class
