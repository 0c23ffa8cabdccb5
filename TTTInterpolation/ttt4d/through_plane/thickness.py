"""Whether the slices of a volume are thin with gaps between them, or thick: from its header, or from its voxels."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from .profile import estimated_thickness
from .settings import GAP, THICK, SliceRunSettings

# Slices that cover at least this part of their spacing count as thick. The estimate of slices as thick as their spacing
# was 0.46 to 1.15 on MR and CT, that of thin ones 0.
_THICK = 0.4


def kind_of_slices(array: np.ndarray, spacing: Sequence[float], told: Optional[float], settings: SliceRunSettings
                   ) -> Tuple[str, Optional[float], str]:
    """Decide between gap and thick slices, and say by what.

    Parameters
    ----------
    array : ndarray of shape (k, j, i)
        The slices, slice axis first.
    spacing : (k, j, i), mm
        Distance of the slices, and of the pixels in them.
    told : float, optional
        Slice thickness in mm that the file tells.
    settings : SliceRunSettings
        What the user chose of `slices` and `thickness`.

    Returns
    -------
    slices : {"gap", "thick"}
    thickness : float or None
        In mm, for thick slices.
    message : str
        One sentence that says what was taken, and why; empty where the user chose it all.
    """
    if settings.slices == GAP:
        return GAP, None, ""
    thickness, source = settings.thickness, ""
    if thickness is None and told is not None:
        thickness, source = told, "as the file says"
    elif thickness is None:
        thickness, source = float(estimated_thickness(array, spacing)), "as estimated from the blur across them"
    share = thickness / spacing[0]
    sentence = f"The slices are {thickness:.3g} mm thick at a spacing of {spacing[0]:.3g} mm"
    if settings.slices == THICK:
        if share < _THICK and settings.thickness is None:  # the user says otherwise
            return THICK, spacing[0], (f"{sentence}, {source}, which is thin: they are taken to be as thick as their "
                                       "spacing, since they shall count as thick.")
        return THICK, thickness, f"{sentence}, {source}." if source else ""
    slices = THICK if share >= _THICK else GAP
    meaning = ("thick, so all slices of the result are computed" if slices == THICK else
               "thin with gaps between them, so they stay as they are")
    assumed = f", {source}" if source else ""
    return slices, thickness if slices == THICK else None, (
        f"{sentence}{assumed}: they are taken for {meaning}; choose --slices {GAP if slices == THICK else THICK} "
        "otherwise.")
