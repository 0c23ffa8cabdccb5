"""The Python packages of the engine, installed on first Apply and with the user's consent.

torch comes through the PyTorch extension only, which chooses the build that fits the computer. The other packages come
through Slicer's own packaging. Versions are read from the packages' metadata: nothing is imported into Slicer.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import platform
import re
import subprocess
import sys
from typing import Optional

import slicer
from slicer.i18n import tr as _

from ttt4d.errors import UserError

MODULE = "TTTInterpolation"
REQUIREMENTS = os.path.join(os.path.dirname(__file__), "..", "Resources", "requirements.txt")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:(>=|<)([\d.]+))?")  # the only kinds used here: a name, at least, below


class DependencyError(UserError):
    """Raised where a package is missing, does not fit, or was not installed."""


def ensure() -> None:
    """Make sure that all packages are there. The user is asked before anything is installed.

    Raises
    ------
    DependencyError
        If the user declines, or a package cannot be installed.
    """
    try:
        if not _has("torch" + _torchVersion()):
            _installTorch()
        others = [package for package in missing() if not package.startswith("torch")]
        if others:
            _install(others)
    except subprocess.CalledProcessError as error:  # pip failed; what is still missing is said below
        logging.error("pip: %s", error)
    importlib.invalidate_caches()
    if missing():
        raise DependencyError(_misfit() or _(
            "{packages} could not be installed. Check the internet connection (for a computer without one, see "
            "\"offline\" in the documentation) and press Apply again.").format(packages=", ".join(missing())))


def check() -> None:
    """Raise `DependencyError` if a package is missing: for scripts and batch, where nobody can be asked."""
    if missing():
        raise DependencyError(_misfit() or _(
            "The Python packages {packages} are missing: open the TTT Interpolation module and press Apply once, it "
            "offers to install them.").format(packages=", ".join(missing())))


def missing() -> list[str]:
    """Return the requirements that are not met: packages that are not there, too old, or do not fit each other."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        lines = ["torch" + _torchVersion(), *(line.split("#")[0].strip() for line in file)]
    if _isIntelMac():
        lines.append("numpy<2")
    return [line for line in lines if line and not _has(line)]


def _torchVersion() -> str:
    """Return the versions of torch that fit: those before 2.3 were built for NumPy 1.

    The last torch for Intel Macs is 2.2, so there NumPy has to fit torch.
    """
    newNumpy = _has("numpy>=2") and not _isIntelMac()
    return ">=2.3" if newNumpy else ">=2.0"


def _misfit() -> str:
    """Return a sentence where torch and NumPy are there, but do not fit each other; else an empty text."""
    if not (_has("torch>=2.0") and _has("torch<2.3") and _has("numpy>=2")):
        return ""
    remedy = (_("install NumPy below 2") if _isIntelMac()
              else _("update PyTorch to 2.3 or newer in the PyTorch module"))
    return _("NumPy {numpy} and PyTorch {torch} do not fit: {remedy} and restart Slicer.").format(
        numpy=_version("numpy"), torch=_version("torch"), remedy=remedy)


def _isIntelMac() -> bool:
    return sys.platform == "darwin" and platform.machine() == "x86_64"


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise DependencyError(_misfit() or _(
            "The PyTorch extension is missing: install \"PyTorch\" in the Extensions Manager, restart Slicer and press "
            "Apply again.")) from None
    installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True,
                                                              torchVersionRequirement=_torchVersion())
    if installed is None:
        raise DependencyError(_("PyTorch was not installed: without it nothing can be computed. Press Apply again to "
                                "install it."))


def _install(packages: list[str]) -> None:
    declined = DependencyError(_("The Python packages were not installed: without them nothing can be computed. Press "
                                 "Apply again to install them."))
    try:
        from slicer import packaging
    except ImportError:  # Slicer 5.10 and older
        if not slicer.util.confirmOkCancelDisplay(_(
                "TTTInterpolation needs these Python packages: {packages}. Download and install them now?").format(
                    packages=", ".join(packages))):
            raise declined from None
        slicer.util.pip_install(packages)
        return
    try:
        packaging.pip_ensure(packages, requester=MODULE)
    except RuntimeError as error:
        raise declined from error


def _has(requirement: str) -> bool:
    name, relation, version = _REQUIREMENT.match(requirement).groups()
    found = _version(name)
    if found is None:
        return False
    return relation is None or (_numbers(found) >= _numbers(version)) == (relation == ">=")


def _version(name: str) -> Optional[str]:
    """Return the version of an installed package; None if it is not there; an empty text if nothing says which."""
    try:
        return importlib.metadata.version(name) or ""
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    """Return the numbers at the start of a version, padded to four; none for a version that cannot be read.

    >>> _numbers("2.13.0+cpu"), _numbers("2"), _numbers("")
    ([2, 13, 0, 0], [2, 0, 0, 0], [])
    """
    found = re.match(r"\d+(\.\d+)*", version)
    return (list(map(int, found.group().split("."))) + 3 * [0])[:4] if found else []
