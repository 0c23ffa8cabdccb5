"""Nodes of results: items of sequences, the marks of frames and slices, and where they come from."""

from __future__ import annotations

import json
from typing import Optional

import slicer

from ttt4d.images import marks
from ttt4d.images.marks import ACQUIRED, FRAME, FRAMES, SLICES, SYNTHETIC, mark  # noqa: F401 - all marks in one place
from ttt4d.images.phase_times import parse_increasing

PREFIX = "TTTInterpolation."
INPUTS = PREFIX + "Inputs"
INPUT = PREFIX + "Input"  # role of the nodes that a result was made from
AXIS = PREFIX + "FillBetween"  # `SLICES_ONLY` on a sequence that has the frames of its input, and more slices
SLICES_ONLY = "slices"
_SLICE_AXIS, _SLICE_FRAMES = SLICES + ".axis", SLICES + ".frames"
_HELD_OUT_LOSSES = PREFIX + "HeldOutLosses"


def newSequence(name: str) -> "slicer.vtkMRMLSequenceNode":
    """Return an empty sequence outside any scene.

    Its index is the position of a frame between the first and the last phase, in percent. Slicer takes numeric indices
    that are closer than 0.001 for one and the same.
    """
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(name)
    sequence.SetIndexName("phase")
    sequence.SetIndexUnit("%")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    return sequence


def copyIndex(source, target) -> None:
    """Give an empty sequence the name, unit and type of the index of another one."""
    target.SetIndexName(source.GetIndexName())
    target.SetIndexUnit(source.GetIndexUnit())
    target.SetIndexType(source.GetIndexType())


def addItem(sequence, node, index: float, acquired: bool) -> None:
    """Put a copy of a node into a sequence, marked as acquired or synthetic. `index` is its position in percent."""
    addItemAs(sequence, node, f"{index:.6g}", acquired, f"{index:.0f} %")


def addItemAs(sequence, node, value: str, acquired: bool, position: str = "") -> None:
    """Put a copy of a node into a sequence under the text of an index value; see `addItem`."""
    node.SetName(f"{sequence.GetName()} {position or value} ({mark(acquired)})")
    node.SetAttribute(FRAME, mark(acquired))
    sequence.SetDataNodeAtValue(node, value)


def annotate(result, report: dict, inputs) -> None:
    """Store on a node where it comes from, in attributes that are saved with the scene and in NRRD files.

    Parameters
    ----------
    result : vtkMRMLSequenceNode or vtkMRMLScalarVolumeNode
        Frames, displacements, or a volume with thin slices, in the scene.
    report : dict
        The engine's report.
    inputs : sequence of vtkMRMLNode
        The nodes that the result was made from. It gets references to them.
    """
    result.RemoveNodeReferenceIDs(INPUT)
    for node in inputs:
        result.AddNodeReferenceID(INPUT, node.GetID())
    if result.IsA("vtkMRMLSequenceNode"):
        # In .seq.nrrd files, Slicer before 5.10 keeps the attributes of a sequence, but not those of its items.
        result.SetAttribute(FRAMES, " ".join(marksOf(result)))
    slices = report.get("slices")
    for name in (SLICES, _SLICE_AXIS, _SLICE_FRAMES):  # of an earlier result in the same node
        result.RemoveAttribute(name)
    if slices:
        for name, value in marks.slices(slices).items():
            result.SetAttribute(name, value)
    settings, adaptation = report.get("settings", {}), report.get("adaptation", [])
    values = {
        "Settings": settings,
        "Seed": settings.get("seed", ""),
        "Weights": report.get("weights", {}),
        "Versions": report.get("versions", {}),
        "Device": report.get("device", ""),
        "Slices": slices or {},
        "Inputs": [node.GetName() for node in inputs],
        "Date": report.get("date", ""),
        "Messages": report.get("messages", []),
        "Losses": [_rounded(batch["losses"]) for batch in adaptation],
        "HeldOutLosses": [[*_rounded(batch["held_out_loss"]), batch["kept"]] for batch in adaptation],
        "Notice": "Not for clinical use.",
    }
    for name, value in values.items():
        result.SetAttribute(PREFIX + name, value if isinstance(value, str) else json.dumps(value))


def acquiredSlicesOf(result, number: int = 0) -> Optional[tuple[int, tuple[int, ...]]]:
    """Return which slices of a result are acquired, bit for bit; None where slices are not told from each other.

    Parameters
    ----------
    result : vtkMRMLSequenceNode or vtkMRMLScalarVolumeNode
        A sequence, or a single volume.
    number : int
        Number of the item of a sequence.

    Returns
    -------
    axis : {0, 1, 2}
        The axis that counts the slices: i, j or k.
    slices : tuple of int
        Numbers of the acquired slices.
    """
    listed, axis = result.GetAttribute(SLICES), result.GetAttribute(_SLICE_AXIS)
    if not listed or axis not in tuple("ijk"):
        return None
    frames = result.GetAttribute(_SLICE_FRAMES)
    synthetic = listed == "none" or frames is not None and str(number) not in frames.split()
    return "ijk".index(axis), () if synthetic else tuple(map(int, listed.split()))


def phaseTimesOf(sequence) -> tuple[float, ...]:
    """Return the index values of a sequence; empty unless they are increasing numbers.

    Slicer accepts any text as an index.
    """
    return parse_increasing(sequence.GetNthIndexValue(n) for n in range(sequence.GetNumberOfDataNodes()))


def marksOf(sequence) -> list[str]:
    """Return the mark of each item, `acquired` or `synthetic`; an empty text where nothing says which it is."""
    count = sequence.GetNumberOfDataNodes()
    listed = (sequence.GetAttribute(FRAMES) or "").split()
    listed = listed if len(listed) == count else [""] * count
    return [sequence.GetNthDataNode(n).GetAttribute(FRAME) or listed[n] for n in range(count)]


def heldOutLossesOf(sequence) -> list[tuple[float, float, bool]]:
    """Return the auxiliary loss before and after the adaptation to each batch, and whether its weights were kept.

    Both losses are computed on the same random draws, which the adaptation does not learn from. The list is empty for
    a sequence that was not computed with an adaptation.
    """
    return [tuple(batch) for batch in json.loads(sequence.GetAttribute(_HELD_OUT_LOSSES) or "[]")]


def inputsOf(sequence) -> list[str]:
    """Return the IDs of the nodes that a result was made from."""
    return [sequence.GetNthNodeReferenceID(INPUT, n) for n in range(sequence.GetNumberOfNodeReferences(INPUT))]


def _rounded(losses) -> list[float]:
    return [float(f"{loss:.5g}") for loss in losses]
