"""Errors of two kinds: those that a user can fix, and a cancel. Every other error is a bug."""

from __future__ import annotations


class UserError(Exception):
    """A problem that the user can fix: one sentence that says what is wrong and what to do.

    The command line prints the sentence and exits with status 2; the worker sends it as an `error` line of
    kind `user`. The message may quote the name of a file, but nothing that an image's header says of
    the patient.
    """


class InputError(UserError):
    """A phase or sequence that cannot be read, or is not an image that can be interpolated."""


class GeometryError(UserError):
    """Phases whose grids cannot be brought together."""


class SettingsError(UserError):
    """A setting outside its range, or a name nobody knows."""


class WeightsError(UserError):
    """A weights file that is missing, damaged, or of another kind."""


class DeviceError(UserError):
    """A device that is not there, or cannot run the network."""


class InstallationError(UserError):
    """Python packages that do not work with each other."""


class OutputError(UserError):
    """An output that cannot be written, or would overwrite an input."""


class Cancelled(Exception):
    """The run was cancelled; nothing was written."""
