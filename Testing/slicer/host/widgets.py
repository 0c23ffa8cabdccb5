"""Stand-ins for the Slicer and CTK widgets of the panel: the part of their interface that the panel uses."""

from __future__ import annotations

import weakref
import xml.etree.ElementTree as ElementTree

from PySide6.QtCore import Property, QBuffer, Qt, Signal
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSlider, QVBoxLayout, QWidget


def _value(kind, default):
    """A Qt property that keeps what it is given."""
    kept = weakref.WeakKeyDictionary()

    def read(self):
        return kept.get(self, default)

    def write(self, value) -> None:
        kept[self] = value

    return Property(kind, read, write)


class qMRMLWidget(QWidget):
    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.scene = None
        self.connections = []

    def setMRMLScene(self, scene) -> None:
        """Pass the scene on along the connections that the .ui file declares, as the real widget's signal does."""
        self.scene = scene
        for receiver in self.connections:
            receiver.setMRMLScene(scene)

    def mrmlScene(self):
        return self.scene


class ctkCollapsibleButton(QWidget):
    """Looks like the real one as far as a picture of the panel needs: a bar with the group's title."""

    signals = ("contentsCollapsed(bool)",)
    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self._bar = QPushButton(self)
        self._bar.setStyleSheet("text-align: left; padding: 3px; border: 0; background: palette(midlight);")
        self._bar.clicked.connect(lambda checked=False: self._setCollapsed(not self._collapsed))
        self._title = ""
        self.setContentsMargins(0, 24, 0, 0)
        self._update()

    def resizeEvent(self, event) -> None:
        self._bar.setGeometry(0, 0, event.size().width(), 22)

    def _update(self) -> None:
        self._bar.setText(("▸  " if self._collapsed else "▾  ") + self._title)
        if self._collapsed:
            self.setMaximumHeight(24)
        else:
            self.setMaximumHeight(16777215)

    def _setTitle(self, title) -> None:
        self._title = title
        self._update()

    def _setCollapsed(self, collapsed) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self._update()
            self.contentsCollapsed.emit(collapsed)

    text = Property(str, lambda self: self._title, _setTitle)
    collapsed = Property(bool, lambda self: self._collapsed, _setCollapsed)


class qMRMLNodeComboBox(QComboBox):
    signals = ("currentNodeChanged(vtkMRMLNode*)",)
    currentNodeChanged = Signal(object)

    nodeTypes = _value("QStringList", [])
    showChildNodeTypes = _value(bool, True)
    noneEnabled = _value(bool, False)
    addEnabled = _value(bool, True)
    renameEnabled = _value(bool, False)
    removeEnabled = _value(bool, True)
    noneDisplay = _value(str, "None")

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = None
        self._nodes = [None]
        self._current = None
        self.currentIndexChanged.connect(self._onIndexChanged)

    def setMRMLScene(self, scene) -> None:
        self._scene = scene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
            scene.AddObserver(event, lambda caller, name: self._update())
        # As in the application: the rows are made anew after an import, and the choice is lost with them.
        scene.AddObserver(scene.EndImportEvent, lambda caller, name: self.setCurrentNode(None))
        self._update()

    def currentNode(self):
        return self._current

    def setCurrentNode(self, node) -> None:
        if node is not self._current:
            self._current = node
            self._update()
            self.currentNodeChanged.emit(node)

    def _update(self) -> None:
        if self._scene is None:
            return
        found = [node for node in (self._scene.GetNthNode(n) for n in range(self._scene.GetNumberOfNodes()))
                 if self._offers(node)]
        self._nodes = [None] + found
        lost = self._current is not None and self._current not in found
        if lost:
            self._current = None
        self.blockSignals(True)
        self.clear()
        for node in self._nodes:
            self.addItem(node.GetName() if node else self.noneDisplay)
        self.setCurrentIndex(self._nodes.index(self._current))
        self.blockSignals(False)
        if lost:
            self.currentNodeChanged.emit(None)

    def _offers(self, node) -> bool:
        if self.showChildNodeTypes:
            return any(node.IsA(name) for name in self.nodeTypes)
        return node.GetClassName() in self.nodeTypes

    def _onIndexChanged(self, index) -> None:
        self.setCurrentNode(self._nodes[index])


class ctkPathLineEdit(QLineEdit):
    Dirs = 1
    filters = 0
    signals = ("currentPathChanged(QString)",)
    currentPathChanged = Signal(str)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.textChanged.connect(self.currentPathChanged)

    currentPath = Property(str, lambda self: self.property("text"), lambda self, path: self.setProperty("text", path))


class _BrowserWidget(qMRMLWidget):
    browser = None

    def setMRMLSequenceBrowserNode(self, browser) -> None:
        self.browser = browser


class qMRMLSequenceBrowserPlayWidget(_BrowserWidget):
    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for text in ("⏮", "◀", "▶", "⏭", "⟳"):
            button = QPushButton(text, self)
            button.setMaximumWidth(36)
            row.addWidget(button)
        row.addWidget(QLabel("10 fps", self))
        row.addStretch()


class qMRMLSequenceBrowserSeekWidget(_BrowserWidget):
    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(QSlider(Qt.Horizontal, self))


class ctkDummy(QWidget):
    """For the names that Slicer's Python files look up and the panel does not use."""


PANEL_WIDGETS = (qMRMLWidget, ctkCollapsibleButton, qMRMLNodeComboBox, ctkPathLineEdit,
                 qMRMLSequenceBrowserPlayWidget, qMRMLSequenceBrowserSeekWidget)


def loadUI(path: str):
    """The widget of a .ui file. Its connections are made here: Qt cannot check the types of Slicer's own slots."""
    loader = QUiLoader()
    for cls in PANEL_WIDGETS:
        loader.registerCustomWidget(cls)
    ui = ElementTree.parse(path).getroot()
    connections = ui.find("connections")
    ui.remove(connections)
    buffer = QBuffer()
    buffer.setData(ElementTree.tostring(ui))
    widget = loader.load(buffer)
    assert widget is not None, loader.errorString()
    for connection in connections:
        assert connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        assert connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
        widget.connections.append(widget.findChild(QWidget, connection.findtext("receiver")))
    return widget
