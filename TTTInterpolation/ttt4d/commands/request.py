"""The request for one job, as plain data: the command line and the worker both make one."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

from ..errors import OutputError, SettingsError
from ..images.phase_times import strictly_increasing
from ..settings import InterpolationSettings
from ..through_plane.settings import SliceRunSettings

PREVIEWS = (".png", ".gif")


@dataclass(frozen=True)
class Request:
    """What one job reads, does and writes.

    Parameters
    ----------
    output : str
        Path of the result; see `ttt4d.images.writers.open_writer`.
    phases : tuple of str
        Paths of two or more volumes in order of time.
    sequence : str, optional
        Path of one file or folder that holds all phases, instead of `phases`.
    settings : InterpolationSettings
        How to interpolate.
    displacements : str, optional
        Path of a folder for one displacement field a frame.
    report : str, optional
        Path of a .json file with the report.
    preview : str, optional
        Path of a .png or .gif picture.
    labels : str, optional
        Path of a label map of the first phase, to be carried through every frame.
    carried : str, optional
        Path of the carried label maps, as `output`.
    volumes : str, optional
        Path of a .csv table with the volume of each label in every frame.
    maps : str, optional
        Path of a folder for the maps of the motion.
    phase_times : tuple of float
        When each phase was acquired, strictly increasing, in any unit. By default as the sequence tells, or evenly.
    slices : SliceRunSettings, optional
        How to fill in the slices of every frame too. Device and seed are those of `settings`, the scheme is `naive`.

    Raises
    ------
    SettingsError, OutputError
        The request contradicts itself, or a value is not allowed.

    Examples
    --------
    >>> Request("heart.seq.nrrd", ("ed.nii.gz", "es.nii.gz")).inputs
    ('ed.nii.gz', 'es.nii.gz')
    """

    output: str
    phases: Tuple[str, ...] = ()
    sequence: Optional[str] = None
    settings: InterpolationSettings = InterpolationSettings()
    displacements: Optional[str] = None
    report: Optional[str] = None
    preview: Optional[str] = None
    labels: Optional[str] = None
    carried: Optional[str] = None
    volumes: Optional[str] = None
    maps: Optional[str] = None
    phase_times: Tuple[float, ...] = ()
    slices: Optional[SliceRunSettings] = None

    def __post_init__(self) -> None:
        if not isinstance(self.phases, (list, tuple)):
            raise SettingsError(f"phases is {self.phases!r}: give a list of paths.")
        object.__setattr__(self, "phases", tuple(self.phases))
        times = self.phase_times
        numbers = isinstance(times, (list, tuple)) and all(isinstance(t, (int, float)) for t in times)
        if not numbers or not strictly_increasing(times):
            raise SettingsError(f"phase_times is {times!r}: give a rising list of numbers, one for each phase.")
        object.__setattr__(self, "phase_times", tuple(self.phase_times))
        check_paths_of(self)
        if (self.sequence is None) == (not self.phases):
            raise SettingsError("A request takes either phases or one sequence: give one of the two.")
        if len(self.phases) == 1:
            raise SettingsError("One phase is not enough to interpolate: give two, or a sequence.")
        if (self.labels is None) != (self.carried is None and self.volumes is None):
            raise SettingsError("Carrying labels needs a label map and something to write: give labels together with "
                                "carried, volumes or both.")
        if self.volumes is not None and not self.volumes.lower().endswith(".csv"):
            raise OutputError(f"The table '{os.path.basename(self.volumes)}' does not end in .csv: rename it.")
        check_folder("displacements", self.displacements, self.outputs)
        check_folder("maps", self.maps, self.outputs)

    @property
    def inputs(self) -> Tuple[str, ...]:
        """The paths of all inputs."""
        return (*self.phases, *(path for path in (self.sequence, self.labels) if path is not None))

    @property
    def outputs(self) -> Tuple[str, ...]:
        """The paths of all outputs."""
        return (self.output, *(p for p in (self.displacements, self.report, self.preview, self.carried, self.volumes,
                                           self.maps) if p is not None))

    @property
    def needs_motion(self) -> bool:
        """Whether something is asked for that follows from the motion of each frame."""
        return any(path is not None for path in (self.displacements, self.labels, self.maps))

    def to_json(self) -> Dict[str, Any]:
        """Return the request as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Request:
        """Return the request of a JSON object.

        Names left out take their defaults. Raises `SettingsError` for an unknown name.
        """
        given = entries_of(values, cls, ("output",))
        slices = {"slices": SliceRunSettings.from_json(given["slices"])} if "slices" in given else {}
        return cls(**{**given, **slices, "settings": InterpolationSettings.from_json(given.get("settings", {}))})


def check_paths_of(request: Any) -> None:
    """Raise an error unless the `inputs` and `outputs` of a request are paths, and each output has its own name."""
    for path in (*request.inputs, *request.outputs):
        if not isinstance(path, str) or not path:
            raise SettingsError(f"{path!r} is not the path of a file: give one.")
    places = [os.path.normcase(os.path.realpath(path)) for path in request.outputs]
    if len(set(places)) < len(places):
        raise OutputError("Two of the outputs have the same name: give each its own.")
    if request.preview is not None and not request.preview.lower().endswith(PREVIEWS):
        raise OutputError(f"The preview '{os.path.basename(request.preview)}' is neither .png nor .gif: rename it.")


def check_folder(name: str, folder: Optional[str], outputs: Sequence[str]) -> None:
    """Raise an error if another output would lie in the folder of an output, such as the displacements."""
    if folder is None:
        return
    places = [os.path.normcase(os.path.realpath(path)) for path in outputs]
    inside = os.path.join(os.path.normcase(os.path.realpath(folder)), "")
    if any(place.startswith(inside) for place in places):
        raise OutputError(f"The folder of the {name} would hold another output: give it one of its own.")


def entries_of(values: Any, cls: type, needed: Tuple[str, ...]) -> Dict[str, Any]:
    """Return the entries of a JSON object that are not null, once they are known to be fields of a request class."""
    names = [f.name for f in dataclasses.fields(cls)]
    missing = [name for name in needed if not isinstance(values, dict) or name not in values]
    if missing:
        article = "an" if missing[0][0] in "aeiou" else "a"
        raise SettingsError(f"The request is not a JSON object with {article} {missing[0]}: see `ttt4d worker --help`.")
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise SettingsError(f"Unknown entry '{unknown[0]}' in the request: the entries are {', '.join(names)}.")
    return {name: value for name, value in values.items() if value is not None}
