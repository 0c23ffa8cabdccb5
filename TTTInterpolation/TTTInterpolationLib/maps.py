"""Maps of the motion as volume sequences: their titles, colours and legends."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

MAPS = ("displacement", "jacobian", "strain_1", "strain_2", "strain_3", "confidence")
_SEQUENTIAL, _DIVERGING = ("vtkMRMLColorTableNodeFile" + name for name in ("Viridis.txt", "DivergingBlueRed.txt"))
# The value in the middle of the colours of those maps that have one.
_MIDDLE = {"jacobian": 1.0, "strain_1": 0.0, "strain_2": 0.0, "strain_3": 0.0}


def titleOf(name: str) -> str:
    """Return the title of a map, with its unit."""
    return {
        "displacement": _("Displacement magnitude (mm)"),
        "jacobian": _("Jacobian: volume over volume in phase 0"),
        "strain_1": _("Strain 1: largest stretch"),
        "strain_2": _("Strain 2"),
        "strain_3": _("Strain 3: largest shortening"),
        "confidence": _("Confidence (0 to 1)"),
    }[name]


def show(proxy, sequence, name: str) -> None:
    """Give the proxy of a map fitting colours, the same for all frames, and a legend.

    Parameters
    ----------
    proxy : vtkMRMLScalarVolumeNode
        Shows the map.
    sequence : vtkMRMLSequenceNode
        The map of each frame.
    name : str
        One of `MAPS`.
    """
    if proxy.GetDisplayNode() is None:
        proxy.CreateDefaultDisplayNodes()
    ranges = [sequence.GetNthDataNode(n).GetImageData().GetScalarRange()
              for n in range(sequence.GetNumberOfDataNodes())]
    low, high = min(low for low, _high in ranges), max(high for _low, high in ranges)
    if name == "confidence":
        low, high = 0.0, 1.0
    elif name in _MIDDLE:
        away = max(high - _MIDDLE[name], _MIDDLE[name] - low)
        low, high = _MIDDLE[name] - away, _MIDDLE[name] + away
    display = proxy.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, max(high, low + 1e-6))
    display.SetAndObserveColorNodeID(_DIVERGING if name in _MIDDLE else _SEQUENTIAL)
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(proxy)
    if legend is not None:
        legend.SetTitleText(titleOf(name))
        legend.SetVisibility(False)  # shown with its map
