"""Controls for texts and nodes of the parameter node that Slicer's own binding cannot serve.

It needs a fixed list for a combo box, but graphics cards and weights files are found later, and a scene may come from
a computer that has others. Before 5.10 it writes the text of a line edit again at each key, which moves the cursor to
the end. It binds a path line edit to a `Path`, whose empty value it shows as ".". And it gives a node selector the one
class of its parameter, where nodes of several classes can be chosen.
"""

from __future__ import annotations

from typing import Callable, Iterable


class TextChoice:
    """A combo box that offers texts.

    Parameters
    ----------
    comboBox : QComboBox
        The control.
    onChosen : callable
        Called with a value when the user chooses it.
    """

    def __init__(self, comboBox, onChosen: Callable[[str], None]) -> None:
        self._comboBox = comboBox
        self._onChosen = onChosen
        self._values: list[str] = []
        self._updating = False
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def offer(self, choices: Iterable[tuple[str, str]]) -> None:
        """Offer other choices, each a value and its label. The current value stays chosen."""
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
        """Show a value. One that is not offered is added, with itself as its label."""
        self._updating = True
        if value not in self._values:
            self._values.append(value)
            self._comboBox.addItem(value)
        self._comboBox.currentIndex = self._values.index(value)
        self._updating = False

    def _onIndexChanged(self, index) -> None:
        if not self._updating and 0 <= index < len(self._values):
            self._onChosen(self._values[index])


class TextLine:
    """A line edit. `onChosen` is called with its text while the user types."""

    def __init__(self, lineEdit, onChosen: Callable[[str], None]) -> None:
        self._lineEdit = lineEdit
        lineEdit.connect("textEdited(QString)", lambda text: onChosen(text))

    def show(self, text: str) -> None:
        """Show a text. The cursor stays where it is if the text is there already."""
        if self._lineEdit.text != text:
            self._lineEdit.text = text


class FolderLine:
    """A path line edit for a folder. `onChosen` is called with its path."""

    def __init__(self, pathLineEdit, onChosen: Callable[[str], None]) -> None:
        import ctk

        self._pathLineEdit = pathLineEdit
        pathLineEdit.filters = ctk.ctkPathLineEdit.Dirs
        pathLineEdit.connect("currentPathChanged(QString)", lambda path: onChosen(path))

    def show(self, path: str) -> None:
        """Show a path; empty for none."""
        if self._pathLineEdit.currentPath != path:
            self._pathLineEdit.currentPath = path


class NodeChoice:
    """A node selector. `onChosen` is called with its node, or None."""

    def __init__(self, selector, onChosen: Callable[[object], None]) -> None:
        self._selector = selector
        selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: onChosen(node))

    def show(self, node) -> None:
        """Show a node; None for none."""
        if self._selector.currentNode() is not node:
            self._selector.setCurrentNode(node)
