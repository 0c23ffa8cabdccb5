"""PySide6 as PythonQt shows Qt: one module `qt`, properties as attributes, signals connected by their signature."""

from __future__ import annotations

import sys
import types

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

# Stay as they are: virtual in C++ (Qt would call the attribute that replaces them, and so itself, for ever), and
# QTimer.singleShot, a function too.
_KEPT = {"sizeHint", "minimumSizeHint", "widget", "layout", "singleShot"}


def install() -> None:
    qt = types.ModuleType("qt")
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in dir(module):
            if name.startswith("Q"):
                value = getattr(module, name)
                setattr(qt, name, value)
                if isinstance(value, type) and issubclass(value, QtCore.QObject):
                    _showPropertiesAsAttributes(value)
    _replaceConnect()
    qt.QFileDialog = _FileDialog
    sys.modules["qt"] = qt


class _FileDialog:
    """No dialog can be answered in a test: the answer is given beforehand."""

    answer = ""

    @classmethod
    def getOpenFileName(cls, parent, title, folder, filters) -> str:
        return cls.answer

    getSaveFileName = getOpenFileName

    @classmethod
    def getExistingDirectory(cls, parent, title) -> str:
        return cls.answer


def _showPropertiesAsAttributes(cls) -> None:
    meta = cls.staticMetaObject
    for number in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(number).name()
        if name not in _KEPT:
            setattr(cls, name, _attribute(name))
    if cls is QtCore.QObject:
        cls.name = _attribute("objectName")


def _attribute(name: str) -> property:
    def write(self, value) -> None:
        if not self.setProperty(name, value):
            raise AttributeError(f"{type(self).__name__} cannot take {value!r} as {name}")

    return property(lambda self: self.property(name), write)


def _replaceConnect() -> None:
    """`sender.connect("clicked(bool)", slot)`. PySide6 finds `connect` past the class: the look-up is replaced."""
    original = QtCore.QObject.__getattribute__

    def look_up(self, name):
        if name in ("connect", "disconnect"):
            return lambda signature, slot: getattr(_signal(self, signature), name)(slot)
        return original(self, name)

    for cls in (QtCore.QObject, QtCore.QProcess):  # the second has two bases and does not follow the first
        cls.__getattribute__ = look_up


def _signal(sender, signature: str):
    """As PythonQt does, refuse a signature that the class does not have: a typing error is to be noticed."""
    name, arguments = signature.rstrip(")").split("(")
    known = getattr(type(sender), "signals", None)
    if known is None:
        wanted = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
        found = sender.metaObject().indexOfSignal(wanted) >= 0
    else:
        found = signature in known
    if not found:
        raise ValueError(f"{type(sender).__name__} has no signal {signature}")
    return getattr(sender, name)
