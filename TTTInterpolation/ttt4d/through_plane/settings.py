"""Every choice of a run on the axis between slices. Standard library only, because 3D Slicer imports it.

`SliceSettings` is what the method needs; `SliceRunSettings` is what a user chooses for a volume in a file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Optional

from ..errors import SettingsError
from ..settings import (
    ADAPTATION,
    MACHINE,
    SCHEMES,
    AdaptationSettings,
    InterpolationSettings,
    SettingsBase,
    auxiliary_option,
    option,
)
from .auxiliary import TASKS

GAP, THICK, AUTO = "gap", "thick", "auto"
AXES = ("i", "j", "k")
DEFAULT_AUXILIARY = "in-plane"


@dataclass(frozen=True)
class SliceAdaptationSettings(AdaptationSettings):
    """How the network adapts to the patient before it fills in slices; see `AdaptationSettings`.

    Parameters
    ----------
    auxiliary : str
        A name of `ttt4d.through_plane.auxiliary.TASKS`, or "none" for the base weights.
    scheme : str
        As in `AdaptationSettings`; the batches are the volumes of a sequence or cohort.
    """

    auxiliary: str = auxiliary_option(DEFAULT_AUXILIARY, TASKS)
    scheme: str = option("naive", f"for sequences: {', '.join(SCHEMES)}; naive is one adaptation for all its volumes",
                         metavar="NAME", choices=SCHEMES, choice="scheme")


@dataclass(frozen=True)
class SliceSettings(SettingsBase):
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


@dataclass(frozen=True)
class SliceRunSettings(SettingsBase):
    """The settings of one run on a volume in a file.

    Parameters
    ----------
    factor : float, optional
        How many times as close the slices of the result are; any number above 1.
    spacing : float, optional
        Their distance in mm instead. One of the two is needed.
    axis : {"i", "j", "k"}, optional
        The axis of the file along which the slices lie. None takes the one with the largest spacing.
    slices : {"auto", "gap", "thick"}
        As in `SliceSettings`; "auto" decides by the slice thickness against the slice spacing.
    thickness : float, optional
        Slice thickness (FWHM) in mm. None takes what the file tells, else an estimate.
    force : bool
        Whether to accept slices that are already as thin as a pixel is wide.
    adaptation : SliceAdaptationSettings
        How the network adapts to the patient.
    weights, device, seed
        As in `InterpolationSettings`.

    Raises
    ------
    SettingsError
        A value is not allowed.

    Examples
    --------
    >>> SliceRunSettings(factor=4.0).for_slices("thick", 5.0).thickness
    5.0
    """

    factor: Optional[float] = option(None, "slices this many times as close; any number above 1", metavar="K",
                                     group="|", above=1, most=1000)
    spacing: Optional[float] = option(None, "or their distance", metavar="MM", group="|", above=0, most=1000)
    axis: Optional[str] = option(None, "axis of the file along which the slices lie: i, j or k (default: the one with "
                                 "the largest spacing)", metavar="i|j|k", choices=AXES, choice="axis")
    slices: str = option(AUTO, "gap: nothing was seen between the slices, which stay as they are; thick: each is a "
                         "mean over its thickness, and all are computed; auto: decided by thickness and spacing",
                         metavar="gap|thick|auto", choices=(GAP, THICK, AUTO), choice="kind of slices")
    thickness: Optional[float] = option(None, "slice thickness, for thick (default: what the file tells, else an "
                                        "estimate)", metavar="MM", above=0, most=1000)
    force: bool = option(False, "also fill in slices that are already thin")
    adaptation: SliceAdaptationSettings = field(default_factory=SliceAdaptationSettings, metadata={"group": ADAPTATION})
    weights: str = option("slices", "base weights: a name that `ttt4d info` lists, or a file", metavar="NAME|FILE",
                          group=ADAPTATION)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps", group=MACHINE)
    seed: int = option(0, "of every random draw", metavar="N", group=MACHINE, least=0, most=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.factor is None) == (self.spacing is None):
            raise SettingsError("The spacing of the new slices is not clear: give either a factor or a spacing in mm.")

    def for_frames(self, frames: InterpolationSettings) -> SliceRunSettings:
        """Return the settings with which the slices of frames are filled in.

        Device and seed are those of the run between phases, and one adaptation to the phases serves all frames.
        """
        adaptation = dataclasses.replace(self.adaptation, scheme="naive")
        return dataclasses.replace(self, adaptation=adaptation, device=frames.device, seed=frames.seed)

    def for_slices(self, slices: str, thickness: Optional[float]) -> SliceSettings:
        """Return the settings of the method, once it is known how thick the slices are."""
        return SliceSettings(slices, thickness, self.adaptation, self.seed)
