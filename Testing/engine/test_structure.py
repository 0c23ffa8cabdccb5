"""The house keeps its shape: short classes, two axes that do not know each other, imports that go downwards only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ttt4d

ENGINE = Path(ttt4d.__file__).parent
MODULES = sorted(ENGINE.rglob("*.py"))
AXES = ("temporal", "through_plane")
LOWER = ("adaptation", "images", "motion", "weights")


def imported_by(path: Path) -> set:
    """The top-level parts of the engine that a module imports, at its top or inside a function."""
    package = path.relative_to(ENGINE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[:len(package) - node.level + 1]
            names = node.module.split(".") if node.module else []
            found |= {(*base, *names, alias.name)[0] for alias in node.names}
    return found


def test_no_class_of_the_engine_is_longer_than_two_pages():
    lengths = {f"{path.relative_to(ENGINE)}: {node.name}": node.end_lineno - node.lineno + 1
               for path in MODULES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
               if isinstance(node, ast.ClassDef)}
    assert len(lengths) > 100
    assert not {name: length for name, length in lengths.items() if length > 150}


@pytest.mark.parametrize("axis, other", [AXES, AXES[::-1]])
def test_an_axis_never_imports_the_other(axis, other):
    imports = {path.name: imported_by(path) for path in (ENGINE / axis).rglob("*.py")}
    assert any("adaptation" in names for names in imports.values())
    assert not [name for name, names in imports.items() if other in names]


@pytest.mark.parametrize("folder", LOWER)
def test_what_the_axes_share_never_imports_an_axis_or_a_command(folder):
    above = {*AXES, "commands", "training", "evaluation"}
    assert not [path.name for path in (ENGINE / folder).rglob("*.py") if imported_by(path) & above]
