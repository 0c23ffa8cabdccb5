"""A result in the scene: where it is placed, the browser that plays it, and what is shown of it."""

from __future__ import annotations

from typing import Optional

import slicer
import vtk

from . import sequences

_TRANSFORM = sequences.PREFIX + "Transform"  # role of the transform that the proxy of a result was put under


def place(scene, built, chosen=None, inputs=(), beside=None):
    """Put a built sequence into the scene, and return the node that holds it.

    The items are copied into `chosen`, or `built` itself is added to the scene. `chosen` is left unchanged if

    - it holds anything other than an earlier result of the same kind and inputs, because no images may be lost; or
    - its browser plays other frames than `beside`, because its displacements belong to those.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    built : vtkMRMLSequenceNode
        A sequence outside any scene.
    chosen : vtkMRMLSequenceNode, optional
        The sequence that the user chose as output.
    inputs : sequence of vtkMRMLNode
        The nodes that `built` was made from.
    beside : vtkMRMLSequenceNode, optional
        The frames that belong to `built`, where `built` holds displacements.
    """
    if (chosen is None or chosen.GetScene() is not scene or _isOfOthers(chosen, built, inputs)
            or beside is not None and browserOf(chosen) not in (None, browserOf(beside))):
        built.SetName(scene.GenerateUniqueName(built.GetName()))
        return scene.AddNode(built)
    chosen.RemoveAllDataNodes()
    sequences.copyIndex(built, chosen)
    for n in range(built.GetNumberOfDataNodes()):
        chosen.SetDataNodeAtValue(built.GetNthDataNode(n), built.GetNthIndexValue(n))
    return chosen


def _isOfOthers(sequence, built, inputs) -> bool:
    if sequence.GetNumberOfDataNodes() == 0:
        return False
    sameKind = sequence.GetAttribute(sequences.AXIS) == built.GetAttribute(sequences.AXIS)
    return not (sameKind and _isMadeFrom(sequence, inputs))


def _isMadeFrom(node, inputs) -> bool:
    return (node.GetAttribute(sequences.INPUTS) is not None
            and sequences.inputsOf(node) == [given.GetID() for given in inputs])


def placeVolume(scene, built, like, chosen=None):
    """Put a volume with thin slices into the scene, shown like its input, and return the node that holds it.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    built : vtkMRMLScalarVolumeNode
        A volume outside any scene.
    like : vtkMRMLScalarVolumeNode
        The volume that it was made from. It gives the parent transform, the place in the subject hierarchy, and, to a
        new node, window, level and colours.
    chosen : vtkMRMLScalarVolumeNode, optional
        The volume that the user chose as output. It is left unchanged if it holds anything other than an earlier result
        of the same input, because no images may be lost.
    """
    if (chosen is None or chosen.GetScene() is not scene
            or chosen.GetImageData() is not None and not _isMadeFrom(chosen, [like])):
        built.SetName(scene.GenerateUniqueName(built.GetName()))
        chosen = scene.AddNode(built)
    else:
        chosen.SetAndObserveImageData(built.GetImageData())
        chosen.CopyOrientation(built)
        for name in built.GetAttributeNames():
            chosen.SetAttribute(name, built.GetAttribute(name))
    if chosen.GetDisplayNode() is None:
        _showLike(chosen, like)
    placeBeside(chosen, like)
    chosen.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    return chosen


def browse(frames, like, displacements=None) -> "slicer.vtkMRMLSequenceBrowserNode":
    """Return a looping browser of the frames, and show them like the input volume.

    When frames are browsed again, what the user has changed since then is kept. Exceptions: recording is switched off
    and playing is switched on, because the new frames would not be shown otherwise. The proxy also stays under the
    parent transform of `like`, unless the user has put it under another one.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode
        A sequence of volumes in the scene.
    like : vtkMRMLScalarVolumeNode
        The input volume. It gives window, level and colours, the parent transform, and the parent in the subject
        hierarchy, so that a patient's study stays together.
    displacements : vtkMRMLSequenceNode, optional
        A sequence of grid transforms, played in step with the frames.
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
            placeBeside(proxy, like)
            placeBeside(sequence, like)
    if frames in new:
        _showLike(browser.GetProxyNode(frames), like)
    return browser


def follow(frames, sequence, like, editable: bool = False):
    """Let the browser of the frames play another sequence in step with them, and return its proxy.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode
        A result in the scene, with a browser.
    sequence : vtkMRMLSequenceNode
        What is played, with the index of the frames.
    like : vtkMRMLScalarVolumeNode
        The input volume; see `browse`.
    editable : bool
        Whether what the user changes on the proxy is written into the item that is shown, and into no other.
    """
    browser = browserOf(frames)
    browser.AddSynchronizedSequenceNode(sequence)
    browser.SetSaveChanges(sequence, editable)
    _sequencesLogic(frames.GetScene()).UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    if hasattr(proxy, "SetAndObserveTransformNodeID"):
        proxy.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    placeBeside(proxy, like)
    placeBeside(sequence, like)
    return proxy


def displacementsOf(frames):
    """Return the displacements that the browser of the frames plays in step with them, or None."""
    browser = browserOf(frames)
    return next((sequence for sequence in _synchronized(browser) if _moves(sequence)), None) if browser else None


def _synchronized(browser) -> list:
    shown = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(shown, False)
    return [shown.GetItemAsObject(n) for n in range(shown.GetNumberOfItems())]


def _moves(sequence) -> bool:
    return bool(sequence.GetNumberOfDataNodes() and sequence.GetNthDataNode(0).IsA("vtkMRMLTransformNode"))


def _letGoOfEarlierDisplacements(browser, present) -> None:
    """Take the displacements of an earlier run out of the browser.

    They belong to earlier frames of the same inputs, not to those that the browser shows now. They stay in the scene,
    but no longer move anything. `present` lists the frames and, if there are new ones, their displacements.
    """
    for sequence in _synchronized(browser):
        if (_moves(sequence) and sequence not in present
                and sequences.inputsOf(sequence) == sequences.inputsOf(present[0])):
            proxy = browser.GetProxyNode(sequence)
            browser.RemoveSynchronizedSequenceNode(sequence.GetID())
            if proxy:
                remove(proxy)


def browserOf(result) -> Optional["slicer.vtkMRMLSequenceBrowserNode"]:
    """Return the browser that plays a sequence; None where there is none, as for a single volume.

    A browser whose master the sequence is comes before one that plays it in step with another sequence.
    """
    if not result.IsA("vtkMRMLSequenceNode"):
        return None
    sequence, found = result, None
    for browser in _browsersOf(sequence.GetScene()):
        if browser.GetMasterSequenceNode() is sequence:
            return browser
        if found is None and browser.IsSynchronizedSequenceNode(sequence, True):
            found = browser
    return found


def proxyOf(sequence):
    """Return the node that shows a sequence in the views, or None."""
    browser = browserOf(sequence)
    return browser and browser.GetProxyNode(sequence)


def shownVolumeOf(result):
    """Return the volume that shows a result in the views: the proxy of a sequence, or the volume itself."""
    return proxyOf(result) if result.IsA("vtkMRMLSequenceNode") else result


def acquiredPhaseOf(frames):
    """Return the volume that shows what a result was made from; None if it is no longer in the scene.

    It is phase 0 of a pair, the volume with thick slices, or the proxy of an input sequence.
    """
    first = frames.GetNthNodeReference(sequences.INPUT, 0)
    return proxyOf(first) if first and first.IsA("vtkMRMLSequenceNode") else first


def shownNumber(frames) -> int:
    """Return the number of the item that the browser of a sequence shows now; -1 where none is shown."""
    browser = browserOf(frames)
    number = browser.GetSelectedItemNumber() if browser else -1
    if number < 0 or frames.GetNumberOfDataNodes() == 0:
        return -1
    # The number counts the items of the master, which may be another sequence that the user plays in step.
    value = browser.GetMasterSequenceNode().GetNthIndexValue(number)
    return frames.GetItemNumberFromIndexValue(value, False)


def shownMark(frames) -> str:
    """Return the mark of the frame that the browser of a result shows now, `acquired` or `synthetic`.

    The text is empty where no frame is shown or nothing says which it is.
    """
    shown = shownNumber(frames)
    return sequences.marksOf(frames)[shown] if shown >= 0 else ""


def markOf(volume) -> str:
    """Return the mark of a volume, `acquired` or `synthetic`, or of the sequence item that it shows.

    The text is empty where nothing says which it is.
    """
    own = volume.GetAttribute(sequences.FRAME)
    if own or volume.GetScene() is None:
        return own or ""
    return next(filter(None, map(shownMark, _sequencesOf(volume))), "")


def shownSlicesOf(volume) -> Optional[tuple[int, tuple[int, ...]]]:
    """Return which slices of a volume, or of the sequence item that it shows, are acquired.

    See `sequences.acquiredSlicesOf`.
    """
    own = sequences.acquiredSlicesOf(volume)
    shown = (sequences.acquiredSlicesOf(frames, shownNumber(frames)) for frames in _sequencesOf(volume))
    return next((found for found in shown if found is not None), own)


def _sequencesOf(volume) -> list:
    """Return the sequences whose items a volume shows."""
    if volume.GetScene() is None:
        return []
    return list(filter(None, (browser.GetSequenceNode(volume) for browser in _browsersOf(volume.GetScene()))))


def _browsersOf(scene) -> list:
    name = "vtkMRMLSequenceBrowserNode"
    return [scene.GetNthNodeByClass(n, name) for n in range(scene.GetNumberOfNodesByClass(name))]


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


def remove(node) -> None:
    """Remove a node from its scene, with the nodes of its display and its storage."""
    scene, parts = node.GetScene(), []
    if node.IsA("vtkMRMLStorableNode"):
        parts += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    if node.IsA("vtkMRMLDisplayableNode"):
        parts += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    for part in filter(None, (node, *parts)):
        scene.RemoveNode(part)


def placeBeside(node, like) -> None:
    """Give a node the parent of `like` in the subject hierarchy, so that a patient's study stays together."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(like) if hierarchy else 0
    if not item:
        return
    parent = hierarchy.GetItemParent(item)
    own = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node)
    hierarchy.SetItemParent(own, parent)
