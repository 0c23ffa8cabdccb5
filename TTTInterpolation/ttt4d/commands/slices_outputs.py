"""What a run between slices writes: the volumes, the label map, the report and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..images import marks
from ..images.frame_writer import FrameWriter
from ..images.label_maps import metadata_on_grid
from ..images.preview import Preview
from ..images.writers import open_writer
from ..report import provenance
from .outputs import Outputs
from .slices_inputs import SlicesInputs


@dataclass(frozen=True)
class FilledVolume:
    """One volume of the result.

    Parameters
    ----------
    array : ndarray of shape (k, j, i)
        On the grid of the result, in the scalar type of the input.
    index : float
        Position in the whole sequence, in percent.
    acquired : bool
        False: some of its slices are computed.
    """

    array: np.ndarray
    index: float
    acquired: bool = False


class SlicesOutputs(Outputs):
    """The outputs of one run; made with the inputs and the label map (k, j, i) on the grid of the result, or None."""

    def _open(self, inputs: SlicesInputs, labels: Optional[np.ndarray]) -> None:
        request, enter, first = self._request, self._stack.enter_context, inputs.phases[0]
        self._inputs, self._labels = inputs, labels
        metadata, geometry = {**marks.slices(self.report["slices"]), **provenance(self.report)}, inputs.plan.geometry
        self._labels_writer: Optional[FrameWriter] = None
        if labels is not None and inputs.labels is not None:
            about = {**metadata_on_grid(inputs.labels.metadata, labels.shape), **metadata}
            self._labels_writer = enter(open_writer(request.labels_output, geometry, labels.dtype, [0.0], [False],
                                                    about, first.source))
        # Entered last, so that it is the first to be put in place: its end is what may still fail.
        self._writer: FrameWriter = enter(open_writer(
            request.output, geometry, first.array.dtype, inputs.percents, [False] * len(inputs.phases), metadata,
            first.source, inputs.times))
        self.report["messages"].extend(self._writer.messages)

    def write(self, number: int, frame: FilledVolume) -> Optional[str]:
        """Write a volume; returns the path of its file where each volume has one."""
        if self._preview_file is not None and number == 0:
            self._draw(frame)
        return self._writer.write(number, frame.array)

    def finish(self) -> None:
        """Complete the files, the label map among them."""
        if self._labels_writer is not None and self._labels is not None:
            self._labels_writer.write(0, self._labels)
        super().finish()

    def _draw(self, frame: FilledVolume) -> None:
        """Show a cut across the slices of the first volume, as acquired and as filled in."""
        axis, first = self._inputs.plan.axis, self._inputs.phases[0]
        head_first = np.asarray(first.geometry.direction)[2, axis] > 0
        self._preview = Preview([first], across=1 if axis == 0 else 0)
        for array, title, acquired in ((first.array, "acquired", True), (frame.array, "filled in", False)):
            self._preview.add(np.flip(array, axis) if head_first else array, None, acquired, title=title)
