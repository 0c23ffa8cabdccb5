"""Sample data for the Sample Data module: a beating heart that is computed on request. Nothing is downloaded."""

from __future__ import annotations

import os

import slicer
from slicer.i18n import tr as _

from . import review, sequences, volumes

CATEGORY = "TTTInterpolation"
_SEQUENCE_PHASES = 4


def register(resourcePath) -> None:
    """Add the samples to the Sample Data module. resourcePath: of the module, to find the thumbnail."""
    import SampleData

    for name, load in (("Beating heart, two phases", loadPair), ("Beating heart, a sequence", loadSequence)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY, sampleName=name, uris="", fileNames="", nodeNames="", customDownloader=load,
            thumbnailFileName=resourcePath(os.path.join("Icons", "TTTInterpolation.png")))


def loadPair(source=None) -> list:
    """The phantom at end-diastole and at end-systole, as two volumes of the scene."""
    nodes = [_phase(time) for time in (0.0, 1.0)]
    for node, name in zip(nodes, (_("Heart end-diastole"), _("Heart end-systole"))):
        _add(node, name)
    review.showVolume(nodes[0])
    return nodes


def loadSequence(source=None) -> list:
    """The phantom from end-diastole to end-systole, as one sequence with its browser."""
    sequence = sequences.newSequence(_("Heart"))
    for n in range(_SEQUENCE_PHASES):
        time = n / (_SEQUENCE_PHASES - 1)
        sequences.addItem(sequence, _phase(time), 100 * time, acquired=True)
    sequence = sequences.place(slicer.mrmlScene, sequence)
    sequences.browse(sequence, like=sequence.GetNthDataNode(0))
    review.show(sequence)
    return [sequence]


def _phase(time: float):
    # Imported on request only: the phantom needs nothing but numpy, yet start-up needs none of it.
    from ttt4d.temporal.phantom import beating_heart

    (volume,), _heart = beating_heart([time])
    return volumes.fromEngine(volume)


def _add(node, name: str) -> None:
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
