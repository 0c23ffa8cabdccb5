"""Runs the module's real code where there is no 3D Slicer: slicer-core, and Qt behind a PythonQt-like face.

It proves that the code runs against real MRML and a real event loop, not that it looks right in Slicer: what Slicer
alone has (views, module manager, PythonQt itself) is stood in for, and said so where it is.
"""

from __future__ import annotations


def install() -> None:
    """Make `slicer`, `qt` and `ctk` what a module finds in the application. Once a process."""
    from . import application, qt_face

    qt_face.install()
    application.install()
