"""Registration of the module. What it does is in TTTInterpolationLib (Slicer's side) and ttt4d (the engine)."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from TTTInterpolationLib import sample_data
from TTTInterpolationLib.logic import TTTInterpolationLogic
from TTTInterpolationLib.parameters import TTTInterpolationParameterNode
from TTTInterpolationLib.selftest import TTTInterpolationTest
from TTTInterpolationLib.widget import TTTInterpolationWidget

# Slicer looks these up here, by the module's name.
__all__ = ["TTTInterpolation", "TTTInterpolationLogic", "TTTInterpolationParameterNode", "TTTInterpolationTest",
           "TTTInterpolationWidget"]


class TTTInterpolation(ScriptedLoadableModule):
    """The module as Slicer lists it: name, place in the menu, help, and sample data."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("TTT Interpolation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Sequences")]
        self.parent.dependencies = ["Sequences"]
        self.parent.contributors = ["TTTInterpolation contributors"]
        self.parent.helpText = _(
            "Computes what is missing in an image: the frames between two phases of a heart or a lung, or between "
            "those of a sequence, and thin slices between thick ones. Segmentations, models and markups are carried "
            "along, with volumes over time and maps of the motion. The network is adapted to these very images first "
            "(test-time training). All data stay on this computer. For research; not for clinical use.")
        self.parent.acknowledgementText = _(
            "After \"Test Time Training for 4D Medical Image Interpolation\" (arXiv 2502.02341), which builds on "
            "UVI-Net (Kim et al., CVPR 2024).")
        slicer.app.connect("startupCompleted()", self._registerSampleData)

    def _registerSampleData(self) -> None:
        sample_data.register(self.resourcePath)
