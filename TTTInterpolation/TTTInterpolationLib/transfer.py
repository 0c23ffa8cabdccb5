"""What one run passes to the engine and takes back, through a temporary folder.

The scene is changed in `Transfer.place` only, at the end of a run that succeeded. Until then the frames are kept in
sequences outside any scene, so that a cancel, a crash or a closed scene leaves nothing behind.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Iterator, Optional

from slicer.i18n import tr as _

from ttt4d.errors import InputError
from ttt4d.settings import InterpolationSettings

from . import browsing, sequences, volumes
from .inputs import Inputs


@dataclass(frozen=True)
class Outputs:
    """The sequence nodes of a result.

    Before a run they are those that the user chose, after it those that hold the result.

    Parameters
    ----------
    frames : vtkMRMLSequenceNode, optional
        The acquired and the synthetic frames.
    displacements : vtkMRMLSequenceNode, optional
        The motion of each frame, as grid transforms. Without a chosen one, no displacements are computed.
    """

    frames: Optional[object] = None
    displacements: Optional[object] = None


class Transfer:
    """Writes the inputs of a run for the engine, and turns the files that come back into nodes.

    The methods that read or write many images are generators: each step is short, so that the event loop can turn
    between two of them.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene that takes the result.
    inputs : Inputs
        The phases.
    chosen : Outputs
        The sequences that take the result, where the user has chosen some.
    settings : InterpolationSettings
        The engine's settings.
    temporaryFolder : str
        Where the folder of this run is made; the system's place for temporary files if empty.

    Raises
    ------
    InputError
        If the folder cannot be made.
    """

    def __init__(self, scene, inputs: Inputs, chosen: Outputs, settings: InterpolationSettings,
                 temporaryFolder: str = "") -> None:
        self.scene = scene
        self._inputs = inputs
        self._chosen = chosen
        self._settings = settings
        self._frameMessages: list[dict] = []
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
        """Write the phases, one in each step."""
        os.mkdir(self._path("in"))
        for n, phase in enumerate(self._inputs.phases):
            volumes.writePhase(phase, self._phasePath(n), frameOf=self._inputs.phases[0])
            yield

    def request(self) -> dict:
        """Return the engine's request for the phases that were written."""
        inputs = ({"sequence": self._path("in")} if self._inputs.isSequence
                  else {"phases": [self._phasePath(n) for n in range(2)]})
        return {**inputs, "phase_times": self._inputs.phaseTimes, "output": self._path("out"),
                "settings": self._settings.to_json(), "report": None, "preview": None,
                "displacements": self._path("d") if self._chosen.displacements else None}

    def frameWritten(self, message: dict) -> None:
        """Take the engine's message that it has written a frame."""
        self._frameMessages.append(message)

    def readFrames(self) -> Iterator[None]:
        """Read the frames, and the displacements if there are any, into sequences outside the scene."""
        name = self._inputs.nodes[0].GetName()
        self._frames = sequences.newSequence(_("{name} interpolated").format(name=name))
        self._displacements = sequences.newSequence(_("{name} displacement").format(name=name))
        for message in self._frameMessages:
            number, index, acquired = message["number"], message["index"], message["acquired"]
            frame = volumes.readFrame(self._path("out", f"frame_{number:03d}.nrrd"), like=self._inputs.phases[0])
            sequences.addItem(self._frames, frame, index, acquired)
            yield
            if self._chosen.displacements:
                displacement = volumes.readDisplacement(self._path("d", f"displacement_{number:03d}.nrrd"))
                sequences.addItem(self._displacements, displacement, index, acquired)
                yield

    def place(self, report: dict) -> Outputs:
        """Put what was read into the scene, with a browser that plays it.

        Parameters
        ----------
        report : dict
            The engine's report, which is stored with the sequences.
        """
        frames, displacements = self._placed(self._frames, self._chosen.frames, report), None
        if self._chosen.displacements:
            displacements = self._placed(self._displacements, self._chosen.displacements, report, frames)
        browsing.browse(frames, self._inputs.like, displacements)
        return Outputs(frames, displacements)

    def _placed(self, built, chosen, report: dict, beside=None):
        sequence = browsing.place(self.scene, built, chosen, self._inputs.nodes, beside)
        sequences.annotate(sequence, report, self._inputs.nodes)
        return sequence

    def _path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def _phasePath(self, n: int) -> str:
        return self._path("in", f"phase_{n:03d}.nrrd")
