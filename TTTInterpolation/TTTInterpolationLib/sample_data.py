"""Sample data for the Sample Data module: a beating heart and a head, computed on request. Nothing is downloaded."""

from __future__ import annotations

import os

import slicer
from slicer.i18n import tr as _

from . import browsing, review, sequences, volumes

CATEGORY = "TTTInterpolation"
_SEQUENCE_PHASES = 4
_SLICE_STEP = 4


def register(resourcePath) -> None:
    """Add the samples to the Sample Data module. `resourcePath(name)` returns the path of a file of the module."""
    import SampleData

    for name, load in (("Beating heart, two phases", loadPair), ("Beating heart, a sequence", loadSequence),
                       ("Head, every fourth slice", loadThickSlices)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY, sampleName=name, uris="", fileNames="", nodeNames="", customDownloader=load,
            thumbnailFileName=resourcePath(os.path.join("Icons", "TTTInterpolation.png")))


def loadPair(source=None) -> list:
    """Add the phantom at end-diastole and at end-systole to the scene, as two volumes."""
    nodes = [_phase(time) for time in (0.0, 1.0)]
    for node, name in zip(nodes, (_("Heart end-diastole"), _("Heart end-systole"))):
        _add(node, name)
    review.showVolume(nodes[0])
    return nodes


def loadSequence(source=None) -> list:
    """Add the phantom from end-diastole to end-systole to the scene, as one sequence with its browser."""
    sequence = sequences.newSequence(_("Heart"))
    for n in range(_SEQUENCE_PHASES):
        time = n / (_SEQUENCE_PHASES - 1)
        sequences.addItem(sequence, _phase(time), 100 * time, acquired=True)
    sequence = browsing.place(slicer.mrmlScene, sequence)
    browsing.browse(sequence, like=sequence.GetNthDataNode(0))
    review.show(sequence)
    return [sequence]


def loadThickSlices(source=None) -> list:
    """Add a head of which every fourth slice is there to the scene, as a volume."""
    # Here and not above: Slicer starts without NumPy.
    from ttt4d.through_plane.phantom import every, head

    node = volumes.fromEngine(every(head(), _SLICE_STEP))
    _add(node, _("Head, every fourth slice"))
    review.showVolume(node)
    return [node]


def _phase(time: float):
    # Here and not above: Slicer starts without NumPy.
    from ttt4d.temporal.phantom import beating_heart

    (volume,), _heart = beating_heart([time])
    return volumes.fromEngine(volume)


def _add(node, name: str) -> None:
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
