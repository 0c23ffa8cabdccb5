"""Reading phases and sequences, and writing frames one at a time.

SimpleITK reads (NRRD, NIfTI, MetaImage, DICOM); what it lets pass and a user would regret (a cut NIfTI file, a spacing
that is not above zero, slices missing from a series) is checked here. Writing is done here, because no library streams
a sequence. Geometry is carried through as it is, oblique and left-handed directions included.

The names below are what the rest of the engine uses; the modules behind them share theirs with each other only.
"""

from .checks import check_phases, is_image
from .displacement import write_displacement
from .frame_writer import FrameWriter
from .grids import coverage, onto_grid, to_sitk
from .places import check_place, temporary_name, writing
from .readers import PhaseSequence, read_sequence, read_volume
from .writers import check_output, open_writer

__all__ = [
    "FrameWriter",
    "PhaseSequence",
    "check_output",
    "check_phases",
    "check_place",
    "coverage",
    "is_image",
    "onto_grid",
    "open_writer",
    "read_sequence",
    "read_volume",
    "temporary_name",
    "to_sitk",
    "write_displacement",
    "writing",
]
