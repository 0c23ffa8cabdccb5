"""Every choice of a run on the axis between slices. Standard library only: Slicer imports it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Mapping, Optional

from ..errors import SettingsError
from ..settings import AdaptationSettings
from .auxiliary import TASKS

GAP, THICK = "gap", "thick"
DEFAULT_AUXILIARY = "in-plane"


@dataclass(frozen=True)
class SliceAdaptationSettings(AdaptationSettings):
    """How the network trains itself on the patient before it fills in slices.

    auxiliary: a name of `ttt4d.through_plane.auxiliary.TASKS`, or `none` for the base weights' answer.
    """

    tasks: ClassVar[Mapping[str, str]] = TASKS
    auxiliary: str = DEFAULT_AUXILIARY


@dataclass(frozen=True)
class SliceSettings:
    """One run.

    Parameters
    ----------
    slices : {"gap", "thick"}
        `gap`: nothing was seen between the slices; they stay as they are and new ones are as thick as they are.
        `thick`: each slice is a mean over its thickness; all slices of the result are computed.
    thickness : float, optional
        Slice thickness (FWHM) in mm, for `thick`; the slice spacing if left out.
    adaptation : SliceAdaptationSettings
    seed : int
        Of every random number of the run.
    """

    slices: str = GAP
    thickness: Optional[float] = None
    adaptation: SliceAdaptationSettings = field(default_factory=SliceAdaptationSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.slices not in (GAP, THICK):
            raise SettingsError(f"slices is '{self.slices}': choose {GAP} or {THICK}.")
        if self.thickness is not None and not (math.isfinite(self.thickness) and self.thickness > 0):
            raise SettingsError(f"The slice thickness is {self.thickness:g} mm: give a number above 0.")
