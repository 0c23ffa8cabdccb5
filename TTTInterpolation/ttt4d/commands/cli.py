"""The command line.

Each command is a module with `add_arguments(parser)` and `run(arguments) -> int`, loaded when it is named.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from importlib import import_module
from typing import List, NoReturn, Optional, Sequence

from .. import __version__
from ..errors import SettingsError
from .exit_status import EXIT_INTERNAL_ERROR, EXIT_OK, failure

COMMANDS = {
    "interpolate": ("frames between two phases, or between the phases of a sequence", ".interpolate"),
    "slices": ("slices between the slices of a volume", ".slices"),
    "batch": ("many cases, from a folder, a table or a BIDS tree", ".batch"),
    "summary": ("table and page of pictures of a folder of results", ".summary"),
    "demo": ("interpolate a beating-heart phantom and compare with its known truth", ".demo"),
    "info": ("devices, auxiliary tasks, schemes and weights that are there", ".info"),
    "train": ("train base weights", ".train"),
    "evaluate": ("measure methods on a data set", ".evaluate"),
    "worker": ("serve one JSON request on standard input, for other programs", ".worker"),
}

EXIT_STATUS = """\
exit status:
  0    done
  1    of `batch` and `summary`: at least one case has no result; summary.csv says why
  2    an error in the input, the settings or the output that the user can fix; standard error says what
  3    a bug; its traceback is on standard error
  130  interrupted; no half-written file is left
"""


def run(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit status."""
    try:
        parsed = _parse(sys.argv[1:] if arguments is None else list(arguments))
        status = parsed.run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # who read what is printed has read enough, as in `ttt4d info | head -1`: all is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except SystemExit as finished:  # --help and --version
        return int(finished.code or EXIT_OK)
    except BaseException as error:
        status, sentence = failure(error)
        if status == EXIT_INTERNAL_ERROR:
            traceback.print_exc()
        print(f"ttt4d: {sentence}", file=sys.stderr)
        return status


class _Parser(argparse.ArgumentParser):
    """argparse, with one sentence for a mistake where it would print the usage too."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message[:1].upper()}{message[1:]}: see `{self.prog} --help`.")


def _parse(arguments: List[str]) -> argparse.Namespace:
    def style(prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=100, max_help_position=32)

    parser = _Parser("ttt4d", description="The missing moments of a 4D medical image, by test-time training.\n"
                     "Not for clinical use.", epilog=EXIT_STATUS, formatter_class=style, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"ttt4d {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, (summary, module_name) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, epilog=EXIT_STATUS, formatter_class=style, allow_abbrev=False)
        if arguments[:1] == [name]:
            module = import_module(module_name, __package__)
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser.parse_args(arguments)
