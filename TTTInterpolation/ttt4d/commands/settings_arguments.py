"""The settings as arguments of the command line: both follow from the fields of the settings classes."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from typing import Any, Collection, Dict, Optional, Union

from ..errors import SettingsError
from ..settings import NO_ADAPTATION, InterpolationSettings, is_settings, types_of
from ..through_plane.settings import AUTO, SliceAdaptationSettings, SliceRunSettings


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


def add_slices_factor(parser: argparse._ActionsContainer) -> None:
    """Add the argument that asks for both axes in one run: frames with slices between theirs."""
    parser.add_argument("--slices-factor", type=float, metavar="K",
                        help="also fill in the slices of every frame, this many times as close: any number above 1")


def slices_of_frames(arguments: argparse.Namespace) -> Optional[SliceRunSettings]:
    """Return how to fill in the slices of every frame; None where that is not asked for.

    Where the frames do not adapt, neither do the slices.

    Raises
    ------
    SettingsError
        A value is not allowed.
    """
    if arguments.slices_factor is None:
        if arguments.slices is not None:
            raise SettingsError("--slices says how slices are filled in, but not how many: give --slices-factor too.")
        return None
    adaptation = SliceAdaptationSettings()
    if arguments.auxiliary == NO_ADAPTATION:
        adaptation = SliceAdaptationSettings(NO_ADAPTATION)
    return SliceRunSettings(arguments.slices_factor, slices=arguments.slices or AUTO, adaptation=adaptation)


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
