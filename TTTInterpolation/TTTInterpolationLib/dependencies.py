"""The Python packages of the engine, installed on first Apply and with the user's consent.

torch comes through the PyTorch extension only, which picks the build that fits the computer; the rest through
Slicer's own packaging. Presence is looked up in the metadata: nothing is imported into Slicer.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import re
import subprocess
from typing import List, Optional

import slicer
from slicer.i18n import tr as _

from ttt4d.errors import UserError

MODULE = "TTTInterpolation"
TORCH = ">=2.0"
_REQUIREMENT = re.compile(r"([\w.-]+)(?:>=([\d.]+))?")  # the only kinds that are used here: a name, and at least
REQUIREMENTS = os.path.join(os.path.dirname(__file__), "..", "Resources", "requirements.txt")


class DependencyError(UserError):
    """The engine cannot run because a package is missing and was not installed."""


def ensure() -> None:
    """Make sure that all packages are there, asking before anything is installed. Raises `DependencyError`."""
    try:
        if not _has("torch" + TORCH):
            _installTorch()
        if missing():
            _installRest()
    except subprocess.CalledProcessError as error:  # pip failed; what is still missing is said below
        logging.error("pip: %s", error)
    importlib.invalidate_caches()
    if missing():
        raise DependencyError(_(
            "{packages} could not be installed. Check the internet connection (for a computer without one, see "
            "\"offline\" in the documentation) and press Apply again.").format(packages=", ".join(missing())))


def check() -> None:
    """For scripts and batch, where nobody can be asked: raises `DependencyError` where a package is missing."""
    if missing():
        raise DependencyError(_(
            "The Python packages {packages} are missing: open the TTT Interpolation module and press Apply once, it "
            "offers to install them.").format(packages=", ".join(missing())))


def missing() -> List[str]:
    """What the engine requires and is not there, or is there but too old."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        lines = ["torch" + TORCH, *(line.split("#")[0].strip() for line in file)]
    return [line for line in lines if line and not _has(line)]


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise DependencyError(_(
            "The PyTorch extension is missing: install \"PyTorch\" in the Extensions Manager, restart Slicer and press "
            "Apply again.")) from None
    installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH)
    if installed is None:
        raise DependencyError(_("PyTorch was not installed: without it nothing can be computed. Press Apply again to "
                                "install it."))


def _installRest() -> None:
    declined = DependencyError(_("The Python packages were not installed: without them nothing can be computed. Press "
                                 "Apply again to install them."))
    try:
        from slicer import packaging
    except ImportError:  # Slicer 5.10 and older
        packages = missing()
        if not slicer.util.confirmOkCancelDisplay(_(
                "TTTInterpolation needs these Python packages: {packages}. Download and install them now?").format(
                    packages=", ".join(packages))):
            raise declined from None
        slicer.util.pip_install(packages)
        return
    try:
        packaging.pip_ensure(packaging.load_requirements(REQUIREMENTS), requester=MODULE)
    except RuntimeError as error:
        raise declined from error


def _has(requirement: str) -> bool:
    name, least = _REQUIREMENT.match(requirement).groups()
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return least is None or _numbers(found) >= _numbers(least)


def _numbers(version: Optional[str]) -> List[int]:
    """Of a version, up to the first that is none; one that cannot be read counts as older than all.

    >>> _numbers("2.13.0+cpu"), _numbers("2"), _numbers(None)
    ([2, 13, 0, 0], [2, 0, 0, 0], [])
    """
    found = re.match(r"\d+(\.\d+)*", version or "")
    return (list(map(int, found.group().split("."))) + 3 * [0])[:4] if found else []
