"""The outputs, told apart by name: one file of all frames, or a folder with a file a frame."""

from __future__ import annotations

import os
from typing import Dict, Optional, Sequence

from ..errors import OutputError
from .files import quoted
from .formats import frame_folder, output_format_of
from .frame_writer import FrameWriter
from .output_paths import check_writable
from .sequence import FrameTimes
from .volume import Geometry


def open_writer(path, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                provenance: Dict[str, str], source: Optional[object] = None,
                times: Optional[FrameTimes] = None) -> FrameWriter:
    """The writer of a result, by the output's name: `.seq.nrrd`, `.nii.gz` or `.nii`, or a folder of .nrrd files.

    index: percent of the phase, one a frame, rising; acquired: whether each frame is a given phase (else synthetic);
    provenance: words kept in every header, such as {"ttt4d.seed": "0"}; source: of the first phase (`Volume.source`);
    times: of the frames in the unit of the input, where it tells one. Raises `OutputError` for any other name.

    >>> with open_writer("beat.seq.nrrd", geometry, np.int16, [0, 50, 100], [True, False, True], {}) as writer:
    ...     for number, frame in enumerate(frames):
    ...         writer.write(number, frame)
    """
    path = os.fspath(path)
    return _writer_class(path)(path, geometry, dtype, index, acquired, provenance, source, times)


def check_output(path, inputs: Sequence, bytes_needed: int = 0) -> None:
    """Raise `OutputError` for an output that cannot be written, before any work is done; see `check_writable`."""
    check_writable(path, inputs, _writer_class(os.fspath(path)) is frame_folder.Writer, bytes_needed)


def _writer_class(path: str) -> type:
    found = output_format_of(path)
    if found is not None:
        return found.load().Writer
    if os.path.isdir(path) or not os.path.splitext(os.path.basename(path))[1]:
        return frame_folder.Writer
    raise OutputError(f"The output {quoted(path)} has a name that tells no kind: end it in .seq.nrrd, .nii.gz or .nii, "
                      "or give a folder (a name without a dot).")
