"""The two axes, by the names that the command line gives them."""

from __future__ import annotations

from ..weights import TEMPORAL, THROUGH_PLANE

PHASES, SLICES = "phases", "slices"
# The axis that the header of a weights file names.
OF_WEIGHTS = {PHASES: TEMPORAL, SLICES: THROUGH_PLANE}
