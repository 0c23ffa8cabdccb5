"""What is wanted of one run between slices, as plain data: the command line and the worker both make one of these."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ..errors import SettingsError
from ..through_plane.settings import SliceRunSettings
from .request import check_paths_of, entries_of


@dataclass(frozen=True)
class SlicesRequest:
    """Paths and settings.

    Parameters
    ----------
    volume : str
        A volume, or a sequence of volumes, whose slices are too far apart.
    output : str
        A `.nrrd`, `.nii.gz` or `.nii` file; of a sequence a `.seq.nrrd`, a 4D NIfTI file, or a folder.
    settings : SliceRunSettings
        How many slices, and how.
    labels : str, optional
        A label map on the grid of the volume.
    labels_output : str, optional
        Where the label map on the grid of the result goes.
    report : str, optional
        A .json file.
    preview : str, optional
        A .png or .gif picture.

    Raises
    ------
    SettingsError, OutputError
        The request makes no sense.
    """

    volume: str
    output: str
    settings: SliceRunSettings
    labels: Optional[str] = None
    labels_output: Optional[str] = None
    report: Optional[str] = None
    preview: Optional[str] = None

    def __post_init__(self) -> None:
        check_paths_of(self)
        if (self.labels is None) != (self.labels_output is None):
            raise SettingsError("A label map needs both its file and an output: give labels together with "
                                "labels-out.")

    @property
    def inputs(self) -> Tuple[str, ...]:
        """The paths that are read."""
        return (self.volume, *(path for path in [self.labels] if path is not None))

    @property
    def outputs(self) -> Tuple[str, ...]:
        """The paths that are written."""
        return (self.output, *(path for path in (self.labels_output, self.report, self.preview) if path is not None))

    def to_json(self) -> Dict[str, Any]:
        """Return the request as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> SlicesRequest:
        """Return the request of a JSON object; names left out take their defaults, unknown ones raise SettingsError."""
        given = entries_of(values, cls, ("volume", "output"))
        return cls(**{**given, "settings": SliceRunSettings.from_json(given.get("settings", {}))})
