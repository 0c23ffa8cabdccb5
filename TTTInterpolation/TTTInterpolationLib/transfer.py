"""What one run passes to the engine and takes back, through a temporary folder.

The scene is changed in `Transfer.place` only, at the end of a run that succeeded. Until then what was computed is kept
in nodes outside any scene, so that a cancel, a crash or a closed scene leaves nothing behind.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Iterator, Optional

from slicer.i18n import tr as _

from ttt4d.errors import InputError
from ttt4d.settings import InterpolationSettings
from ttt4d.through_plane.settings import SliceRunSettings

from . import browsing, sequences, volumes
from .inputs import Inputs


@dataclass(frozen=True)
class Outputs:
    """The nodes of a result.

    Before a run they are those that the user chose, after it those that hold the result.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode, optional
        The acquired and the synthetic frames, or the volumes of a sequence with thin slices.
    displacements : vtkMRMLSequenceNode, optional
        The motion of each frame, as grid transforms. Without a chosen one, no displacements are computed.
    volume : vtkMRMLScalarVolumeNode, optional
        A single volume with thin slices.
    segmentation : vtkMRMLSegmentationNode, optional
        A segmentation carried to the new slices.
    """

    frames: Optional[object] = None
    displacements: Optional[object] = None
    volume: Optional[object] = None
    segmentation: Optional[object] = None

    @property
    def result(self):
        """The node that holds the images."""
        return self.frames or self.volume

    @property
    def summary(self) -> str:
        """A few words about what was made."""
        if self.frames is not None:
            return _("{n} frames").format(n=self.frames.GetNumberOfDataNodes())
        return self.volume.GetName()


class Transfer:
    """Images on their way to the engine, and results on their way back.

    A subclass says what is asked of the engine, and places what comes back.

    Parameters
    ----------
    scene : vtkMRMLScene
        Takes the result.
    inputs : Inputs
        The volumes that are given.
    chosen : Outputs
        The nodes that take the result, where the user has chosen some.

    Raises
    ------
    InputError
        If a chosen output is in the way of an input or of another output.
    """

    def __init__(self, scene, inputs: Inputs, chosen: Outputs) -> None:
        self.scene = scene
        self._inputs = inputs
        self._chosen = chosen
        self._frameMessages: list[dict] = []
        taken = [node for node in (chosen.frames, chosen.displacements, chosen.volume) if node is not None]
        if any(node is given for node in taken for given in inputs.nodes):
            raise InputError(_("The output would overwrite the input {name}: choose another output.").format(
                name=inputs.nodes[0].GetName()))
        if chosen.frames is not None and chosen.frames is chosen.displacements:
            raise InputError(_("Frames and displacements cannot go into one sequence: choose two."))

    def makeFolder(self, temporaryFolder: str = "") -> None:
        """Make the folder of this run in `temporaryFolder`, or in the system's place for temporary files.

        Raises
        ------
        InputError
            If it cannot be made.
        """
        try:
            # Only its owner can look into a folder of mkdtemp. The name is short: Windows limits the length of paths.
            self._folder = tempfile.TemporaryDirectory(prefix="ttt", dir=temporaryFolder or None)
        except OSError as error:
            raise InputError(_("The temporary folder {folder} cannot be used ({reason}): choose another one under "
                               "Advanced.").format(folder=temporaryFolder or tempfile.gettempdir(),
                                                   reason=error.strerror)) from None

    @property
    def folder(self) -> str:
        """Path of the temporary folder."""
        return self._folder.name

    def removeFolder(self) -> None:
        """Remove the temporary folder with all that is in it."""
        try:
            self._folder.cleanup()
        except OSError:  # Windows keeps a file that a dying process has open: try again when Slicer ends
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)

    def writeInputs(self) -> Iterator[None]:
        """Write the volumes, one in each step."""
        os.mkdir(self._path("in"))
        os.mkdir(self._path("out"))
        for n, phase in enumerate(self._inputs.phases):
            volumes.writePhase(phase, self._phasePath(n), frameOf=self._inputs.phases[0])
            yield

    def request(self) -> dict:
        """Return the engine's request for the volumes that were written."""
        raise NotImplementedError

    def frameWritten(self, message: dict) -> None:
        """Take the engine's message that it has written a frame."""
        self._frameMessages.append(message)

    def readFrames(self) -> Iterator[None]:
        """Read what the engine has written into nodes outside the scene."""
        raise NotImplementedError

    def place(self, report: dict) -> Outputs:
        """Put what was read into the scene.

        Parameters
        ----------
        report : dict
            The engine's report, which is stored with the nodes.
        """
        raise NotImplementedError

    def _readFrame(self, message: dict):
        return volumes.readFrame(self._path("out", f"frame_{message['number']:03d}.nrrd"), like=self._inputs.phases[0])

    def _path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def _phasePath(self, n: int) -> str:
        return self._path("in", f"phase_{n:03d}.nrrd")


class PhasesTransfer(Transfer):
    """Frames between phases, and thin slices in them if `slices` is given.

    Parameters
    ----------
    settings : InterpolationSettings
        The engine's settings.
    slices : SliceRunSettings, optional
        Which slices are computed in each frame.
    """

    def __init__(self, scene, inputs: Inputs, chosen: Outputs, settings: InterpolationSettings,
                 slices: Optional[SliceRunSettings] = None) -> None:
        super().__init__(scene, inputs, chosen)
        self._settings = settings
        self._slices = slices

    def request(self) -> dict:
        """Return the engine's request for the phases that were written."""
        inputs = ({"sequence": self._path("in")} if self._inputs.isSequence
                  else {"phases": [self._phasePath(n) for n in range(2)]})
        slices = ({"slices": withToldThickness(self._slices, self._inputs.like).to_json()} if self._slices else {})
        return {**inputs, **slices, "phase_times": self._inputs.phaseTimes, "output": self._path("out"),
                "settings": self._settings.to_json(), "report": None, "preview": None,
                "displacements": self._path("d") if self._chosen.displacements else None}

    def readFrames(self) -> Iterator[None]:
        """Read the frames, and the displacements if there are any, into sequences outside the scene."""
        name = self._inputs.nodes[0].GetName()
        self._frames = sequences.newSequence(_("{name} interpolated").format(name=name))
        self._displacements = sequences.newSequence(_("{name} displacement").format(name=name))
        for message in self._frameMessages:
            number, index, acquired = message["number"], message["index"], message["acquired"]
            sequences.addItem(self._frames, self._readFrame(message), index, acquired)
            yield
            if self._chosen.displacements:
                displacement = volumes.readDisplacement(self._path("d", f"displacement_{number:03d}.nrrd"))
                sequences.addItem(self._displacements, displacement, index, acquired)
                yield

    def place(self, report: dict) -> Outputs:
        """Put what was read into the scene, with a browser that plays it."""
        frames, displacements = self._placed(self._frames, self._chosen.frames, report), None
        if self._chosen.displacements:
            displacements = self._placed(self._displacements, self._chosen.displacements, report, frames)
        browsing.browse(frames, self._inputs.like, displacements)
        return Outputs(frames, displacements)

    def _placed(self, built, chosen, report: dict, beside=None):
        sequence = browsing.place(self.scene, built, chosen, self._inputs.nodes, beside)
        sequences.annotate(sequence, report, self._inputs.nodes)
        return sequence


def withToldThickness(settings: SliceRunSettings, volume) -> SliceRunSettings:
    """Return the settings with the slice thickness that the header of a volume tells, where they name none."""
    if settings.thickness is not None:
        return settings
    return dataclasses.replace(settings, thickness=volumes.sliceThicknessOf(volume, settings.axis))
