"""The panel as the application would show it, for tests that use it as a user would. It needs no NumPy."""

from __future__ import annotations

import qt
import slicer


class Panel:
    """An open panel. `choices` is its parameter node, `ui` its widgets by name."""

    def __init__(self) -> None:
        from TTTInterpolationLib.widget import TTTInterpolationWidget

        self.parent = slicer.qMRMLWidget()
        qt.QVBoxLayout(self.parent)
        self.parent.setMRMLScene(slicer.mrmlScene)
        self.widget = TTTInterpolationWidget(self.parent)
        self.widget.setup()
        self.widget.enter()
        self.parent.show()
        self.ui = self.widget.ui
        self.logic = self.widget.logic

    @property
    def choices(self):
        return self.widget._parameterNode

    @property
    def running(self) -> bool:
        return self.logic.runOf(self.choices) is not None

    def close(self) -> None:
        self.widget.cleanup()
        self.parent.deleteLater()
