"""Stand-in for slicer.parameterNodeWrapper: typed access to a parameter node, packs, ranges and the binding of widgets.

Values are stored as the real one stores them, so that a scene saved with either opens with the other.
"""

from __future__ import annotations

import enum
import pathlib
import typing

import qt
import slicer
import vtk

_DEFAULT_VALUES = {int: 0, float: 0.0, str: "", bool: False, pathlib.Path: pathlib.Path()}


class WithinRange:
    def __init__(self, minimum, maximum) -> None:
        self.minimum, self.maximum = minimum, maximum


def _described(hint):
    """The plain type of an annotation, and its range if it has one."""
    if typing.get_origin(hint) is typing.Annotated:
        kind, *annotations = typing.get_args(hint)
        return kind, next((a for a in annotations if isinstance(a, WithinRange)), None)
    return hint, None


def _fields(cls) -> dict:
    """A dictionary name -> (type, range, default) of a pack or wrapper class."""
    fields = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        kind, limits = _described(hint)
        default = getattr(cls, name, None)
        if default is None:
            default = next(iter(kind)) if issubclass(kind, enum.Enum) else _DEFAULT_VALUES.get(kind)
        fields[name] = (kind, limits, default)
    return fields


def parameterPack(cls):
    cls.packFields = _fields(cls)
    return cls


def parameterNodeWrapper(cls):
    fields = _fields(cls)
    flat = {}
    for name, (kind, limits, default) in fields.items():
        if hasattr(kind, "packFields"):
            flat.update({f"{name}.{member}": described for member, described in kind.packFields.items()})
        else:
            flat[name] = (kind, limits, default)
    for name, (kind, limits, default) in fields.items():
        setattr(cls, name, _packProperty(name) if hasattr(kind, "packFields") else _valueProperty(name))
    cls.fields = flat
    for name, method in _METHODS.items():
        setattr(cls, name, method)
    return cls


def _valueProperty(name):
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _packProperty(name):
    return property(lambda self: _PackView(self, name))


class _PackView:
    def __init__(self, wrapper, prefix) -> None:
        self.__dict__.update(_wrapper=wrapper, _prefix=prefix)

    def __getattr__(self, name):
        return self._wrapper.getValue(f"{self._prefix}.{name}")

    def __setattr__(self, name, value) -> None:
        self._wrapper.setValue(f"{self._prefix}.{name}", value)


def _init(self, parameterNode) -> None:
    self.parameterNode = parameterNode
    self._connections = {}
    for name, (kind, limits, default) in self.fields.items():
        if not parameterNode.HasParameter(name):
            self.setValue(name, default)


def _getValue(self, name):
    kind = self.fields[name][0]
    if issubclass(kind, slicer.vtkMRMLNode):
        return self.parameterNode.GetNodeReference(name)
    text = self.parameterNode.GetParameter(name)
    if issubclass(kind, enum.Enum):
        return kind[text]
    return text == "True" if kind is bool else kind(text)


def _setValue(self, name, value) -> None:
    kind, limits, _default = self.fields[name]
    node = self.parameterNode
    if issubclass(kind, slicer.vtkMRMLNode):
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        return
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{name} takes a {kind.__name__}, not {value!r}")
    if limits and not limits.minimum <= value <= limits.maximum:
        raise ValueError(f"Value must be within range [{limits.minimum}, {limits.maximum}], is {value}")
    node.SetParameter(name, value.name if isinstance(value, enum.Enum) else str(value))


def _connectParametersToGui(self, mapping):
    """Bind each parameter to its widget, both ways."""
    bound = []
    for name, widget in mapping.items():
        kind, limits, _default = self.fields[name]
        bound.append((name, *_binding(widget, kind, limits)))
    updating = []

    def fromNode(caller=None, event=None) -> None:
        if not updating:
            updating.append(True)
            for name, read, write, _signal in bound:
                write(self.getValue(name))
            updating.clear()

    def toNode(name, read):
        def slot(*_arguments) -> None:
            if not updating:
                self.setValue(name, read())
        return slot

    fromNode()
    slots = [(signal, toNode(name, read)) for name, read, _write, signal in bound]
    for signal, slot in slots:
        signal.connect(slot)
    tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, fromNode)
    self._connections[tag] = slots
    return tag


def _disconnectGui(self, tag) -> None:
    for signal, slot in self._connections.pop(tag, ()):
        signal.disconnect(slot)
    self.RemoveObserver(tag)


def _binding(widget, kind, limits):
    """How to read and write a widget, and the signal of a change."""
    if isinstance(widget, slicer.qMRMLNodeComboBox):
        return widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged
    if isinstance(widget, slicer.ctkPathLineEdit):
        return (lambda: kind(widget.currentPath), lambda value: setattr(widget, "currentPath", str(value)),
                widget.currentPathChanged)
    if isinstance(widget, qt.QComboBox):
        members = list(kind)
        widget.clear()
        for member in members:
            widget.addItem(member.label())
        return (lambda: members[widget.currentIndex],
                lambda value: setattr(widget, "currentIndex", members.index(value)), widget.currentIndexChanged)
    if isinstance(widget, qt.QCheckBox):
        return (lambda: widget.checked), (lambda value: setattr(widget, "checked", value)), widget.stateChanged
    if isinstance(widget, qt.QLineEdit):
        return (lambda: widget.text), (lambda value: setattr(widget, "text", value)), widget.textChanged
    if limits:
        widget.setRange(limits.minimum, limits.maximum)
    return (lambda: kind(widget.value)), (lambda value: setattr(widget, "value", value)), widget.valueChanged


_METHODS = {
    "__init__": _init,
    "getValue": _getValue,
    "setValue": _setValue,
    "connectParametersToGui": _connectParametersToGui,
    "disconnectGui": _disconnectGui,
    "AddObserver": lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority),
    "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
    "Modified": lambda self: self.parameterNode.Modified(),
}
