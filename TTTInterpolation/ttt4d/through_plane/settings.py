"""Every choice of a run on the axis between slices; see `ttt4d.settings`. Standard library only: Slicer imports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ..errors import SettingsError
from ..settings import ADAPTATION, MACHINE, AdaptationSettings, SettingsBase, auxiliary_option, option
from .auxiliary import TASKS

GAP, THICK, AUTO = "gap", "thick", "auto"
AXES = ("i", "j", "k")
DEFAULT_AUXILIARY = "in-plane"
_THICKNESS = "slice thickness (FWHM) for thick slices (default: as the file tells, else the slice spacing)"


@dataclass(frozen=True)
class SliceAdaptationSettings(AdaptationSettings):
    """How the network adapts to the patient before it fills in slices.

    Parameters
    ----------
    auxiliary : str
        The self-supervised task: a name of `ttt4d.through_plane.auxiliary.TASKS`, or "none" for the base weights.
    scheme, iterations, learning_rate
        As in `AdaptationSettings`.
    """

    auxiliary: str = auxiliary_option(DEFAULT_AUXILIARY, TASKS)


@dataclass(frozen=True)
class SliceSettings(SettingsBase):
    """What `SliceInterpolator` must know beside the slices and their positions.

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
        Seed of every random number of the run.
    """

    slices: str = option(GAP, "whether slices are thin with gaps, or thick", choices=(GAP, THICK),
                         choice="kind of slices")
    thickness: Optional[float] = option(None, _THICKNESS, above=0, most=1000)
    adaptation: SliceAdaptationSettings = field(default_factory=SliceAdaptationSettings)
    seed: int = option(0, "of every random draw", least=0, most=2**31 - 1)


@dataclass(frozen=True)
class SliceRunSettings(SettingsBase):
    """The settings of one run on a volume in a file.

    Parameters
    ----------
    factor : float, optional
        How many times as close the slices of the result shall be; any number above 1.
    spacing : float, optional
        Their distance in mm instead. One of the two is needed.
    axis : {"i", "j", "k"}, optional
        The axis of the file along which the slices lie. None takes the one with the largest spacing.
    slices : {"auto", "gap", "thick"}
        See `SliceSettings`; `auto` decides by the slice thickness against the slice spacing.
    thickness : float, optional
        Slice thickness (FWHM) in mm. None takes what the file tells, else an estimate.
    force : bool
        Whether to accept slices that are already as thin as a pixel is wide.
    adaptation : SliceAdaptationSettings
        How the network adapts to the patient.
    weights, device, seed
        As in `InterpolationSettings`.

    Examples
    --------
    >>> SliceRunSettings(factor=4.0).for_slices("gap").slices
    'gap'
    """

    factor: Optional[float] = option(None, "slices this many times as close; any number above 1", metavar="K",
                                     group="|", above=1, most=1000)
    spacing: Optional[float] = option(None, "distance of the slices wanted instead", metavar="MM", group="|", above=0,
                                      most=1000)
    axis: Optional[str] = option(None, "axis of the file along which the slices lie: i, j or k (default: the one with "
                                 "the largest spacing)", choices=AXES, choice="axis")
    slices: str = option(AUTO, "gap: thin slices with nothing seen between them, which stay as they are; thick: each "
                         "is a mean over its thickness, so all are computed; auto decides, and says so",
                         metavar="gap|thick|auto", choices=(GAP, THICK, AUTO), choice="kind of slices")
    thickness: Optional[float] = option(None, _THICKNESS, metavar="MM", above=0, most=1000)
    force: bool = option(False, "also where the slices are already thin")
    adaptation: SliceAdaptationSettings = field(default_factory=SliceAdaptationSettings, metadata={"group": ADAPTATION})
    weights: str = option("slices", "base weights: a name that `ttt4d info` lists, or a file", metavar="NAME|FILE",
                          group=ADAPTATION)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps", group=MACHINE)
    seed: int = option(0, "of every random draw", metavar="N", group=MACHINE, least=0, most=2**31 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.factor is None) == (self.spacing is None):
            raise SettingsError("Give either factor or spacing: how many times as close the slices shall be, or their "
                                "distance in mm.")

    def for_slices(self, slices: str, thickness: Optional[float] = None) -> SliceSettings:
        """Return the settings of the network's part, once it is known how thick the slices are."""
        return SliceSettings(slices, thickness, self.adaptation, self.seed)
