"""Sequence nodes of results: their items, the marks of their frames, and where they come from."""

from __future__ import annotations

import json

import slicer

from ttt4d.images.marks import ACQUIRED, FRAME, FRAMES, SYNTHETIC, mark  # noqa: F401 - all about marks in one place
from ttt4d.images.phase_times import parse_increasing

PREFIX = "TTTInterpolation."
INPUTS = PREFIX + "Inputs"
INPUT = PREFIX + "Input"  # role of the nodes that a result was made from
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


def addItem(sequence, node, index: float, acquired: bool) -> None:
    """Put a copy of a node into a sequence, marked as acquired or synthetic. `index` is its position in percent."""
    node.SetName(f"{sequence.GetName()} {index:.0f} % ({mark(acquired)})")
    node.SetAttribute(FRAME, mark(acquired))
    sequence.SetDataNodeAtValue(node, f"{index:.6g}")


def annotate(sequence, report: dict, inputs) -> None:
    """Store on a sequence where it comes from, in attributes that are saved with the scene and in .seq.nrrd files.

    Parameters
    ----------
    sequence : vtkMRMLSequenceNode
        The frames or displacements of a result, in the scene.
    report : dict
        The engine's report.
    inputs : sequence of vtkMRMLNode
        The nodes that the result was made from. The sequence gets references to them.
    """
    sequence.RemoveNodeReferenceIDs(INPUT)
    for node in inputs:
        sequence.AddNodeReferenceID(INPUT, node.GetID())
    # In .seq.nrrd files, Slicer before 5.10 keeps the attributes of a sequence, but not those of its items.
    sequence.SetAttribute(FRAMES, " ".join(marksOf(sequence)))
    settings, adaptation = report.get("settings", {}), report.get("adaptation", [])
    values = {
        "Settings": settings,
        "Seed": settings.get("seed", ""),
        "Weights": report.get("weights", {}),
        "Versions": report.get("versions", {}),
        "Device": report.get("device", ""),
        "Inputs": [node.GetName() for node in inputs],
        "Date": report.get("date", ""),
        "Messages": report.get("messages", []),
        "Losses": [_rounded(batch["losses"]) for batch in adaptation],
        "HeldOutLosses": [[*_rounded(batch["held_out_loss"]), batch["kept"]] for batch in adaptation],
        "Notice": "Not for clinical use.",
    }
    for name, value in values.items():
        sequence.SetAttribute(PREFIX + name, value if isinstance(value, str) else json.dumps(value))


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
