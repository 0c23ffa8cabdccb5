"""Weights with conditions of their own: the user agrees to them once, before they are first used."""

from __future__ import annotations

from typing import Iterable

import qt
import slicer
from slicer.i18n import tr as _

from ttt4d import weights
from ttt4d.errors import WeightsError

_KEY = "TTTInterpolation/AgreedWeights"
_CONDITION = "research use"  # stands in the licence notes of those weights that carry a condition


def ask(names: Iterable[str]) -> None:
    """Ask the user to agree to the conditions of weights, where that was not done before.

    Parameters
    ----------
    names : iterable of str
        Names of packaged weights, or paths of files, which are the user's own affair.

    Raises
    ------
    WeightsError
        If the user does not agree.
    """
    for name in names:
        licence, agreed = weights.licence(name), _agreed()
        if _CONDITION not in licence or name in agreed:
            continue
        if not slicer.util.confirmOkCancelDisplay(_(
                "The weights {name} have conditions: {licence}. Use them under these conditions?").format(
                    name=name, licence=licence)):
            free = [other for other in weights.names(weights.axis_of(weights.locate(name)))
                    if _CONDITION not in weights.licence(other)]
            raise WeightsError(_("The conditions of the weights {name} were not accepted: choose others under "
                                 "Adaptation, such as {free}, which have none.").format(name=name, free=free[0]))
        qt.QSettings().setValue(_KEY, " ".join([*agreed, name]))


def _agreed() -> list[str]:
    return str(slicer.util.settingsValue(_KEY, "")).split()
