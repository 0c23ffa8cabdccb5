"""The volumes that a run is given, and the reasons why some nodes cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

from ttt4d.errors import InputError

from . import browsing, sequences, volumes


@dataclass(frozen=True)
class Inputs:
    """The volumes of a run.

    Parameters
    ----------
    phases : tuple of vtkMRMLScalarVolumeNode
        The phases, in order of time; between slices there may be one only.
    like : vtkMRMLScalarVolumeNode
        The volume whose window, colours and place the result takes; a node of the scene where possible.
    nodes : tuple of vtkMRMLNode
        The nodes that the user chose: the two phases, the sequence, or the volume with thick slices.
    isSequence : bool
        Whether the phases come from a sequence.
    phaseTimes : tuple of float
        Acquisition times of the phases, in any unit; empty where nothing says them.
    """

    phases: tuple[object, ...]
    like: object
    nodes: tuple[object, ...]
    isSequence: bool = False
    phaseTimes: tuple[float, ...] = ()

    @classmethod
    def pair(cls, phase0, phase1) -> "Inputs":
        """Return the inputs for two volume nodes. Raises `InputError` if they cannot be phases."""
        if phase0 is None or phase1 is None:
            raise InputError(_("Choose the volumes of phase 0 and phase 1."))
        if phase0 is phase1:
            raise InputError(_("Phase 0 and phase 1 are the same volume: choose two phases."))
        return cls((phase0, phase1), phase0, (phase0, phase1))._checked([browsing.markOf(phase0),
                                                                         browsing.markOf(phase1)])

    @classmethod
    def fromSequence(cls, sequence) -> "Inputs":
        """Return the inputs for a sequence node. Raises `InputError` if its items cannot be phases."""
        if sequence is None:
            raise InputError(_("Choose a sequence of volumes."))
        count = sequence.GetNumberOfDataNodes()
        if count < 2:
            raise InputError(_("{name} has fewer than two phases: choose another sequence.").format(
                name=sequence.GetName()))
        phases = tuple(sequence.GetNthDataNode(n) for n in range(count))
        inputs = cls(phases, browsing.proxyOf(sequence) or phases[0], (sequence,), True,
                     sequences.phaseTimesOf(sequence))
        return inputs._checked(sequences.marksOf(sequence))

    @classmethod
    def thick(cls, node) -> "Inputs":
        """Return the inputs for a volume or a sequence whose slices are too far apart.

        Raises `InputError` if it cannot be used.
        """
        if node is None:
            raise InputError(_("Choose a volume whose slices are too far apart, or a sequence of such volumes."))
        if node.IsA("vtkMRMLSequenceNode"):
            return cls.fromSequence(node)
        return cls((node,), node, (node,))._checked([browsing.markOf(node)])

    def _checked(self, marks: list[str]) -> "Inputs":
        reason = next(filter(None, map(volumes.problemOf, self.phases)), "")
        if reason:
            raise InputError(reason)
        if sequences.SYNTHETIC in marks:
            synthetic = self.nodes[0 if self.isSequence else marks.index(sequences.SYNTHETIC)]
            raise InputError(_("{name} was computed, not measured: choose acquired images.").format(
                name=synthetic.GetName()))
        return self
