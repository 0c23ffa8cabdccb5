"""The module's own test, run inside Slicer from its Reload and Test button or by CTest."""

from __future__ import annotations

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from ttt4d.settings import AdaptationSettings, InterpolationSettings

from . import browsing, dependencies, sample_data, sequences
from .logic import TTTInterpolationLogic


class TTTInterpolationTest(ScriptedLoadableModuleTest):
    """One run on sample data. It is skipped where the engine's packages are not installed."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_two_phases_of_the_sample_become_a_sequence()

    def test_two_phases_of_the_sample_become_a_sequence(self) -> None:
        """Interpolate the sample's two phases, and look at the marks of the frames."""
        if dependencies.missing():
            self.delayDisplay("Skipped: the engine's packages are not installed yet; press Apply in the panel once.")
            return
        self.delayDisplay("A beating heart, two phases")
        phase0, phase1 = sample_data.loadPair()
        settings = InterpolationSettings(frames=2, adaptation=AdaptationSettings(iterations=1))
        frames = TTTInterpolationLogic().process(phase0, phase1, settings=settings)
        self.assertEqual(frames.GetNumberOfDataNodes(), 4)
        marks = [frames.GetNthDataNode(n).GetAttribute(sequences.FRAME) for n in range(4)]
        self.assertEqual(marks, [sequences.ACQUIRED, sequences.SYNTHETIC, sequences.SYNTHETIC, sequences.ACQUIRED])
        self.assertIsNotNone(browsing.proxyOf(frames))
        self.delayDisplay("Test passed")
