"""A combo box bound to a text of the parameter node, for choices that are not known when the panel is made.

Slicer's own binding of combo boxes to the parameter node needs a fixed list; graphics cards and weights files are
found later, and a scene may come from a computer that has others.
"""

from __future__ import annotations

from typing import Callable, Iterable, Tuple


class TextChoice:
    """Shows (value, label) pairs; `onChosen(value)` is called when the user chooses one."""

    def __init__(self, comboBox, onChosen: Callable[[str], None]) -> None:
        self._comboBox = comboBox
        self._onChosen = onChosen
        self._values: list = []
        self._updating = False
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def offer(self, choices: Iterable[Tuple[str, str]]) -> None:
        """Replace what is offered; the current value stays chosen."""
        current = self._values[self._comboBox.currentIndex] if self._values else None
        self._updating = True
        self._comboBox.clear()
        self._values = []
        for value, label in choices:
            self._values.append(value)
            self._comboBox.addItem(label)
        self._updating = False
        if current is not None:
            self.show(current)

    def show(self, value: str) -> None:
        """Show a value; one that is not offered is added, as what it is."""
        self._updating = True
        if value not in self._values:
            self._values.append(value)
            self._comboBox.addItem(value)
        self._comboBox.currentIndex = self._values.index(value)
        self._updating = False

    def _onIndexChanged(self, index) -> None:
        if not self._updating and 0 <= index < len(self._values):
            self._onChosen(self._values[index])
