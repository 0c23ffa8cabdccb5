"""Every choice of a run on the axis between slices. Standard library only, because 3D Slicer imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ..settings import AdaptationSettings, Settings, auxiliary_option, option
from .auxiliary import TASKS

GAP, THICK = "gap", "thick"
DEFAULT_AUXILIARY = "in-plane"


@dataclass(frozen=True)
class SliceAdaptationSettings(AdaptationSettings):
    """How the network adapts to the patient before it fills in slices; see `AdaptationSettings`.

    Parameters
    ----------
    auxiliary : str
        A name of `ttt4d.through_plane.auxiliary.TASKS`, or "none" for the base weights.
    """

    auxiliary: str = auxiliary_option(DEFAULT_AUXILIARY, TASKS)


@dataclass(frozen=True)
class SliceSettings(Settings):
    """The settings of one run.

    Parameters
    ----------
    slices : {"gap", "thick"}
        "gap": nothing was seen between the slices; they stay as they are and new ones are as thick as they are.
        "thick": each slice is a mean over its thickness; all slices of the result are computed.
    thickness : float, optional
        Slice thickness (FWHM) in mm, for "thick"; the slice spacing if left out.
    adaptation : SliceAdaptationSettings
        How the network adapts to the patient.
    seed : int
        Seed of every random draw of the run.

    Raises
    ------
    SettingsError
        A value is not allowed.
    """

    slices: str = option(GAP, "what lies between the slices: gap (nothing was seen there) or thick (each slice is a "
                         "mean over its thickness)", choices=(GAP, THICK), choice="kind of slices")
    thickness: Optional[float] = option(None, "slice thickness in mm, for thick (default: the slice spacing)",
                                        metavar="MM", above=0)
    adaptation: SliceAdaptationSettings = field(default_factory=SliceAdaptationSettings)
    seed: int = option(0, "of every random draw", metavar="N", least=0, most=2**31 - 1)
