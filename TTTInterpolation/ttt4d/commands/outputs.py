"""Everything that a request asks to be written. It gets its names when all of it is complete, or nothing stays."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, Optional, Sequence

from ..images import marks
from ..images.displacement import write_displacement
from ..images.frame_writer import FrameWriter
from ..images.output_paths import staged, writing
from ..images.preview import Preview
from ..images.writers import open_writer
from ..report import JobReport, provenance
from ..temporal.frames import Frame
from .inputs import Inputs
from .motion_outputs import MotionOutputs

if TYPE_CHECKING:
    from .slices_of_frames import SlicesOfFrames


class Outputs:
    """The outputs of one request, open for writing.

    A subclass opens them in `_open`, on `_stack`.

    Parameters
    ----------
    request : Request or SlicesRequest
        Names the outputs.
    report : JobReport
        The report before the first frame. What the writer assumes is appended to its messages.
    *inputs : object
        What `_open` needs.

    Raises
    ------
    OutputError
        An output cannot be written.
    """

    def __init__(self, request: Any, report: JobReport, *inputs: Any) -> None:
        self._request, self.report = request, report
        self._closing, self._stack = threading.Lock(), contextlib.ExitStack()
        self._preview: Optional[Preview] = None
        try:
            self._preview_file, self._report_file = (
                self._stack.enter_context(staged(path)) for path in (request.preview, request.report))
            self._open(*inputs)
        except BaseException as error:
            self.close(error)
            raise

    def _open(self, *inputs: Any) -> None:
        raise NotImplementedError

    def write(self, number: int, frame: Any) -> Optional[str]:
        """Write the next frame to every output; return the path of its file where each frame has its own."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write the preview and the report, which are complete after the last frame."""
        if self._preview is not None and self._preview_file is not None and self._request.preview is not None:
            with writing(self._request.preview):
                self._preview.save(self._preview_file, os.path.splitext(self._request.preview)[1])
        if self._report_file is not None and self._request.report is not None:
            with writing(self._request.report), open(self._report_file, "w", encoding="utf-8") as file:
                json.dump(self.report, file, indent=1)

    def close(self, error: Optional[BaseException] = None) -> None:
        """Put every output in place, or after an error remove them all. A second call does nothing."""
        with self._closing:
            self._stack.__exit__(type(error) if error else None, error, None)


class FrameOutputs(Outputs):
    """The outputs of frames between phases.

    Made with the `Inputs`, the index of every frame in percent, and what fills in their slices, if anything does.
    """

    def _open(self, inputs: Inputs, index: Sequence[float], slices: Optional[SlicesOfFrames] = None) -> None:
        request, enter, first = self._request, self._stack.enter_context, inputs.phases[0]
        self._displacements = enter(staged(request.displacements, folder=True))
        acquired = [frame % (len(request.settings.frame_times) + 1) == 0 for frame in range(len(index))]
        self._geometry, geometry, about = first.geometry, first.geometry, {}
        if slices is not None:
            slices.begin(self.report, acquired)
            geometry, about = slices.plan.geometry, marks.slices(self.report["slices"])
            acquired = [False] * len(index)
        self._metadata = {**about, **provenance(self.report)}
        self._motion = MotionOutputs(request, self.report, enter, inputs, index)
        # Entered last, so that it is the first to be put in place: its end is what may still fail.
        self._writer: FrameWriter = enter(open_writer(
            request.output, geometry, first.array.dtype, index, acquired, self._metadata, first.source,
            inputs.frame_times))
        self.report["messages"].extend(self._writer.messages)
        self._preview = Preview(inputs.phases) if self._preview_file else None

    def write(self, number: int, frame: Frame) -> Optional[str]:
        """Write a frame with what belongs to it; returns the path of its file where each frame has one."""
        path = self._writer.write(number, frame.array)
        if self._displacements is not None and frame.displacement is not None:
            write_displacement(os.path.join(self._displacements, f"displacement_{number:03d}.nrrd"), self._geometry,
                               frame.displacement, {**marks.metadata(frame.index, frame.acquired), **self._metadata})
        self._motion.write(number, frame)
        if self._preview is not None:
            self._preview.add(frame.array, frame.index, frame.acquired)
        return path

    def finish(self) -> None:
        """Write what is complete after the last frame; see `Outputs.finish`."""
        self._motion.finish()
        super().finish()
