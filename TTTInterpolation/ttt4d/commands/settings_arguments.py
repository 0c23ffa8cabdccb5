"""The settings as arguments of the command line: both follow from the fields of the settings classes."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from typing import Any, Collection, Dict, Union

from ..settings import InterpolationSettings, is_settings, types_of


def add_settings(parser: argparse._ActionsContainer, settings: type = InterpolationSettings,
                 without: Collection[str] = ()) -> None:
    """Add one argument for every field of a settings class, and of the settings classes within it.

    Parameters
    ----------
    parser : argparse.ArgumentParser, or a group of one
        Takes the arguments, in groups by the `group` of each field.
    settings : type
        The settings class; see `ttt4d.settings.option`.
    without : collection of str
        Names of fields that make no sense for a command.
    """
    _add_fields(parser, settings, without, "", {})


def settings_of(arguments: argparse.Namespace, settings: type = InterpolationSettings) -> Any:
    """Return the settings that parsed arguments ask for; what they leave out takes its default.

    Raises
    ------
    SettingsError
        A value is not allowed.
    """
    return settings.from_json(_given(vars(arguments), settings))  # type: ignore[attr-defined] # of every such class


def _add_fields(parser: argparse._ActionsContainer, settings: type, without: Collection[str], group: str,
                groups: Dict[str, Any]) -> None:
    kinds = types_of(settings)
    for found in dataclasses.fields(settings):
        title = found.metadata.get("group") or group
        if is_settings(kinds[found.name]):
            _add_fields(parser, kinds[found.name], without, title, groups)
        elif found.name not in without:
            if title not in groups:
                groups[title] = (parser if not title else parser.add_argument_group(title) if not title.endswith("|")
                                 else parser.add_mutually_exclusive_group())
            _add_field(groups[title], found, kinds[found.name])


def _add_field(group: Any, found: Any, kind: Any) -> None:
    flags = found.metadata.get("flags") or (f"--{found.name.replace('_', '-')}",)
    words = found.metadata.get("help", "").replace("%", "%%")
    if kind is bool:
        group.add_argument(*flags, dest=found.name, action="store_const", const=True, help=words)
        return
    if found.default not in (None, ()):
        words += f" (default: {found.default})"
    arguments = typing.get_args(kind)
    several = typing.get_origin(kind) is tuple
    single = arguments[0] if several or typing.get_origin(kind) is Union else kind
    group.add_argument(*flags, dest=found.name, type=single, metavar=found.metadata.get("metavar"), help=words,
                       **({"nargs": "+"} if several else {}))


def _given(values: Dict[str, Any], settings: type) -> Dict[str, Any]:
    kinds = types_of(settings)
    found = {name: _given(values, kind) if is_settings(kind) else values.get(name) for name, kind in kinds.items()}
    return {name: value for name, value in found.items() if value is not None}
