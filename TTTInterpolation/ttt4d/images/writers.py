"""Write results: one file of all frames, or a folder with a file a frame, by the output's name."""

from __future__ import annotations

import os
from typing import Dict, Optional, Sequence

from ..errors import OutputError
from .files import quoted
from .formats import WRITABLE, WRITABLE_VOLUMES, frame_folder, output_format_of
from .frame_writer import FrameWriter
from .output_paths import check_writable
from .sequence import FrameTimes
from .volume import Geometry


def open_writer(path, geometry: Geometry, dtype, index: Sequence[float], acquired: Sequence[bool],
                provenance: Dict[str, str], source: Optional[object] = None,
                times: Optional[FrameTimes] = None) -> FrameWriter:
    """Return the writer of a result. A result of one frame is a volume.

    Parameters
    ----------
    path : str or path-like
        The output: `.seq.nrrd` (of a volume `.nrrd`), `.nii.gz` or `.nii`, `.dcm` for a folder with a DICOM series, or
        the name of a folder for one .nrrd file a frame.
    geometry : Geometry
        The grid of every frame.
    dtype : numpy.dtype or type
        The scalar type of every frame.
    index : sequence of float
        Where each frame lies, in percent of the whole sequence, increasing.
    acquired : sequence of bool
        Whether each frame is a given phase; else it is synthetic.
    provenance : dict of str to str
        Entries kept in every header, such as {"ttt4d.seed": "0"}.
    source : object, optional
        `Volume.source` of the first phase.
    times : FrameTimes, optional
        When each frame is, in the unit of the input, where it tells one.

    Raises
    ------
    OutputError
        The name tells no output format, or the format cannot hold these frames.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "beat.seq.nrrd")
    >>> frames = np.zeros((3, 2, 4, 5), np.int16)
    >>> grid = Geometry((2, 4, 5), (8.0, 1.5, 1.5))
    >>> with open_writer(path, grid, np.int16, [0, 50, 100], [True, False, True], {}) as writer:
    ...     for number, frame in enumerate(frames):
    ...         written = writer.write(number, frame)
    >>> os.path.exists(path)
    True
    """
    path = os.fspath(path)
    return _writer_class(path, len(index))(path, geometry, dtype, index, acquired, provenance, source, times)


def check_output(path, inputs: Sequence, bytes_needed: int = 0, frames: int = 2) -> None:
    """Raise `OutputError` for an output that cannot be written, before any work is done; see `check_writable`.

    frames : int
        1 for a volume; how many more does not matter.
    """
    path = os.fspath(path)
    found = output_format_of(path, frames)
    folder = _writer_class(path, frames) is frame_folder.Writer if found is None else found.folder_output
    check_writable(path, inputs, folder, bytes_needed)


def _writer_class(path: str, frames: int) -> type:
    found = output_format_of(path, frames)
    if found is not None:
        return found.load().Writer
    if frames == 1:
        raise OutputError(f"The name {quoted(path)} does not say in which format one volume is written: end it in "
                          f"{WRITABLE_VOLUMES}.")
    if os.path.isdir(path) or not os.path.splitext(os.path.basename(path))[1]:
        return frame_folder.Writer
    raise OutputError(f"The output format cannot be determined from the name {quoted(path)}: end it in {WRITABLE}, or "
                      "give a folder (a name without a dot).")
