"""The result in the scene: sequences of frames and of displacements, their browser, and what is written on them."""

from __future__ import annotations

import json
from typing import Dict, List, Optional, Tuple

import slicer
import vtk

from ttt4d.images.marks import ACQUIRED, FRAME, FRAMES, SYNTHETIC, mark  # noqa: F401 - all about marks in one place
from ttt4d.images.phase_times import parse_increasing

PREFIX = "TTTInterpolation."
LOSSES = PREFIX + "Losses"
INPUTS = PREFIX + "Inputs"
_INPUT = PREFIX + "Input"  # the role under which a result refers to the nodes it was made from
_TRANSFORM = PREFIX + "Transform"  # and to the one its proxy was put under


def newSequence(name: str) -> "slicer.vtkMRMLSequenceNode":
    """An empty sequence outside any scene, indexed by percent of the way from the first to the last phase.

    Percent, because numeric indices closer than 0.001 overwrite each other.
    """
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(name)
    sequence.SetIndexName("phase")
    sequence.SetIndexUnit("%")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    return sequence


def addItem(sequence, node, index: float, acquired: bool) -> None:
    """Put a copy of a node into the sequence at a percent, marked as acquired or synthetic."""
    node.SetName(f"{sequence.GetName()} {index:.0f} % ({mark(acquired)})")
    node.SetAttribute(FRAME, mark(acquired))
    sequence.SetDataNodeAtValue(node, f"{index:.6g}")


def annotate(sequence, report: dict, inputs) -> None:
    """Write on a sequence where it comes from. The attributes are saved with the scene and in .seq.nrrd.

    report: of the engine. inputs: the input nodes, which the sequence also refers to while they share its scene.
    """
    sequence.RemoveNodeReferenceIDs(_INPUT)
    for node in inputs:
        sequence.AddNodeReferenceID(_INPUT, node.GetID())
    # Slicer before 5.10 keeps the attributes of a sequence in its file, but not those of its items.
    sequence.SetAttribute(FRAMES, " ".join(marksOf(sequence)))
    settings = report.get("settings", {})
    values: Dict[str, object] = {
        "Settings": settings,
        "Seed": settings.get("seed", ""),
        "Weights": report.get("weights", {}),
        "Versions": report.get("versions", {}),
        "Device": report.get("device", ""),
        "Inputs": [node.GetName() for node in inputs],
        "Date": report.get("date", ""),
        "Messages": report.get("messages", []),
        "Losses": [[float(f"{loss:.5g}") for loss in batch["losses"]] for batch in report.get("adaptation", [])],
        "Notice": "Not for clinical use.",
    }
    for name, value in values.items():
        sequence.SetAttribute(PREFIX + name, value if isinstance(value, str) else json.dumps(value))


def momentsOf(sequence) -> Tuple[float, ...]:
    """The index of a sequence where it is of rising numbers; else empty: Slicer takes any text for an index."""
    return parse_increasing(sequence.GetNthIndexValue(n) for n in range(sequence.GetNumberOfDataNodes()))


def marksOf(sequence) -> List[str]:
    """Of each item whether it is acquired or synthetic; empty text where nothing says so."""
    count = sequence.GetNumberOfDataNodes()
    listed = (sequence.GetAttribute(FRAMES) or "").split()
    listed = listed if len(listed) == count else [""] * count
    return [sequence.GetNthDataNode(n).GetAttribute(FRAME) or listed[n] for n in range(count)]


def lossesOf(sequence) -> list:
    """The loss at each iteration of each batch of the adaptation, from a sequence's attributes; empty without."""
    return [batch for batch in json.loads(sequence.GetAttribute(LOSSES) or "[]") if batch]


def acquiredPhaseOf(frames):
    """The first node a result was made from, or the node that shows it if it is a sequence; None when it is gone."""
    first = frames.GetNthNodeReference(_INPUT, 0)
    return proxyOf(first) if first and first.IsA("vtkMRMLSequenceNode") else first


def shownMark(frames) -> str:
    """Whether the frame that the browser of a result shows now is acquired or synthetic; empty when there is none."""
    browser = browserOf(frames)
    number = browser.GetSelectedItemNumber() if browser else -1
    if number < 0 or frames.GetNumberOfDataNodes() == 0:
        return ""
    # The number counts the items of the master, which may be another sequence that the user plays in step.
    value = browser.GetMasterSequenceNode().GetNthIndexValue(number)
    shown = frames.GetItemNumberFromIndexValue(value, False)
    return marksOf(frames)[shown] if shown >= 0 else ""


def markOf(volume) -> str:
    """Whether a volume is acquired or synthetic, by its own mark or by that of the sequence it shows; empty where
    nothing says so.
    """
    own = volume.GetAttribute(FRAME)
    if own or volume.GetScene() is None:
        return own or ""
    shown = (browser.GetSequenceNode(volume) for browser in _browsersOf(volume.GetScene()))
    return next(filter(None, map(shownMark, filter(None, shown))), "")


def place(scene, built, chosen=None, inputs=(), beside=None):
    """The built sequence as a node of the scene: added, or as the new content of the sequence the user chose.

    Chosen, but left as it is: a sequence that holds anything but an earlier result of the same inputs, for nobody's
    images are lost for those of another; and one that other frames than `beside` are played with, whose motion it is.
    """
    if (chosen is None or chosen.GetScene() is not scene or _isOfOthers(chosen, inputs)
            or beside is not None and browserOf(chosen) not in (None, browserOf(beside))):
        built.SetName(scene.GenerateUniqueName(built.GetName()))
        return scene.AddNode(built)
    chosen.RemoveAllDataNodes()
    chosen.CopySequenceIndex(newSequence(chosen.GetName()))
    for n in range(built.GetNumberOfDataNodes()):
        chosen.SetDataNodeAtValue(built.GetNthDataNode(n), built.GetNthIndexValue(n))
    return chosen


def _isOfOthers(sequence, inputs) -> bool:
    if sequence.GetNumberOfDataNodes() == 0:
        return False
    return sequence.GetAttribute(INPUTS) is None or _inputsOf(sequence) != [node.GetID() for node in inputs]


def _inputsOf(sequence) -> list:
    """The IDs of what a result was made from."""
    return [sequence.GetNthNodeReferenceID(_INPUT, n) for n in range(sequence.GetNumberOfNodeReferences(_INPUT))]


def browse(frames, like, displacements=None) -> "slicer.vtkMRMLSequenceBrowserNode":
    """A looping browser of the frames, whose proxy looks and lies like the input volume `like`.

    like: gives window, level and colours, the parent transform, and the parent in the subject hierarchy, so that a
    patient's study stays together. A second time, what the user has set since stays, but for recording and for not
    playing these frames, which would keep them from being shown; under the parent transform of `like` the proxy stays
    too, unless the user has put it under another.
    """
    scene, browser = frames.GetScene(), browserOf(frames)
    present = [sequence for sequence in (frames, displacements) if sequence is not None]
    new = [sequence for sequence in present if not (browser and browser.IsSynchronizedSequenceNode(sequence, True))]
    if browser is None:
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", frames.GetName())
        browser.SetAndObserveMasterSequenceNodeID(frames.GetID())
        browser.SetIndexDisplayFormat("%.0f")
        # One pass takes about a second, as a heartbeat does, and stays slow enough to follow with few frames.
        browser.SetPlaybackRateFps(min(max(frames.GetNumberOfDataNodes(), 5), 20))
        browser.SetPlaybackLooped(True)
    _letGoOfEarlierDisplacements(browser, present)
    for sequence in present:
        if not browser.IsSynchronizedSequenceNode(sequence, True):
            browser.AddSynchronizedSequenceNode(sequence)
        # The proxy shows the frames; what a user does to it (window, transform) is not to be written into them.
        browser.SetSaveChanges(sequence, False)
        browser.SetPlayback(sequence, True)
    browser.SetRecordingActive(False)  # while it records, it shows nothing
    _sequencesLogic(scene).UpdateProxyNodesFromSequences(browser)
    browser.SetSelectedItemNumber(0)

    for sequence in present:
        proxy = browser.GetProxyNode(sequence)
        if sequence in new or proxy.GetTransformNodeID() == sequence.GetNodeReferenceID(_TRANSFORM):
            proxy.SetAndObserveTransformNodeID(like.GetTransformNodeID())
            sequence.SetNodeReferenceID(_TRANSFORM, like.GetTransformNodeID())
        if sequence in new:
            _placeBeside(proxy, like)
            _placeBeside(sequence, like)
    if frames in new:
        _showLike(browser.GetProxyNode(frames), like)
    return browser


def _letGoOfEarlierDisplacements(browser, present) -> None:
    """Displacements of a run before lead to other frames of these inputs than those the browser shows now: they stay
    in the scene, but move nothing any more.

    present: the frames and, where there are new ones, their displacements.
    """
    shown = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(shown, False)
    for sequence in [shown.GetItemAsObject(n) for n in range(shown.GetNumberOfItems())]:
        moves = sequence.GetNumberOfDataNodes() and sequence.GetNthDataNode(0).IsA("vtkMRMLTransformNode")
        if moves and sequence not in present and _inputsOf(sequence) == _inputsOf(present[0]):
            proxy = browser.GetProxyNode(sequence)
            browser.RemoveSynchronizedSequenceNode(sequence.GetID())
            if proxy:
                browser.GetScene().RemoveNode(proxy)


def browserOf(sequence) -> Optional["slicer.vtkMRMLSequenceBrowserNode"]:
    """The browser of the scene that plays a sequence, its own before one that plays it in step with another; or None.
    """
    found = None
    for browser in _browsersOf(sequence.GetScene()):
        if browser.GetMasterSequenceNode() is sequence:
            return browser
        if found is None and browser.IsSynchronizedSequenceNode(sequence, True):
            found = browser
    return found


def _browsersOf(scene) -> list:
    name = "vtkMRMLSequenceBrowserNode"
    return [scene.GetNthNodeByClass(n, name) for n in range(scene.GetNumberOfNodesByClass(name))]


def proxyOf(sequence):
    """The node that shows a sequence in the views, or None."""
    browser = browserOf(sequence)
    return browser and browser.GetProxyNode(sequence)


def _sequencesLogic(scene):
    module = getattr(getattr(slicer, "modules", None), "sequences", None)
    if module is not None:
        return module.logic()
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    return logic


def _showLike(proxy, like) -> None:
    shown = like.GetDisplayNode()
    if shown is None:
        return
    if proxy.GetDisplayNode() is None:
        proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
    display.SetAndObserveColorNodeID(shown.GetColorNodeID())
    display.SetInterpolate(shown.GetInterpolate())


def _placeBeside(node, like) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(like) if hierarchy else 0
    if not item:
        return
    parent = hierarchy.GetItemParent(item)
    own = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node)
    hierarchy.SetItemParent(own, parent)
