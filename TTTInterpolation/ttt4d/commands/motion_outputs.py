"""What follows from the motion of each frame: carried label maps, the table of their volumes, and maps."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np

from ..images.frame_writer import FrameWriter
from ..images.label_maps import metadata_on_grid, names_of
from ..images.output_paths import staged, writing
from ..images.writers import open_writer
from ..motion.carry import LabelCarrier
from ..motion.maps import CONFIDENCE, MAPS, motion_maps
from ..motion.volumes import VolumeCurve, label_volumes, write_table
from ..report import JobReport, provenance
from ..temporal.frames import Frame
from .inputs import Inputs
from .request import Request


class MotionOutputs:
    """The outputs of one request that are made from displacements.

    Parameters
    ----------
    request : Request
        Names the outputs.
    report : JobReport
        Takes the volumes when the last frame is written.
    enter : callable
        Enters a context that puts an output in place, or removes it after an error.
    inputs : Inputs
        Phases and labels.
    index : sequence of float
        Position of every frame in percent.
    """

    def __init__(self, request: Request, report: JobReport, enter: Callable[[Any], Any], inputs: Inputs,
                 index: Sequence[float]) -> None:
        self._request, self._report, self._labels, self._index = request, report, inputs.labels, index
        first = inputs.phases[0]
        self._geometry, metadata = first.geometry, provenance(report)
        self._voxel_ml = float(np.prod(first.geometry.spacing)) / 1000
        # Only the labels of the first phase were drawn. All others are computed, those of later given phases too.
        self._drawn = [number == 0 for number in range(len(index))]
        self._curves: Dict[int, VolumeCurve] = {}
        self._carried: Optional[FrameWriter] = None
        self._table = enter(staged(request.volumes))
        if self._labels is not None:
            self._carrier = LabelCarrier(self._labels.array, first.geometry.spacing)
            names = names_of(self._labels.metadata)
            self._curves = {value: VolumeCurve(value, names.get(value, ""))
                            for value in label_volumes(self._labels.array, self._voxel_ml)}
            if request.carried is not None:
                about = {**metadata_on_grid(self._labels.metadata, first.geometry.shape), **metadata}
                self._carried = enter(open_writer(request.carried, first.geometry, self._labels.array.dtype, index,
                                                  self._drawn, about, first.source, inputs.frame_times))
        folder = enter(staged(request.maps, folder=True))
        self._maps: Dict[str, FrameWriter] = {}
        if folder is not None:
            computed = [False] * len(index)
            self._maps = {name: enter(open_writer(os.path.join(folder, name), first.geometry, np.float32, index,
                                                  computed, metadata, first.source, inputs.frame_times))
                          for name in (*MAPS, CONFIDENCE)}

    def write(self, number: int, frame: Frame) -> None:
        """Write what follows from the motion of the next frame."""
        if frame.displacement is None or frame.confidence is None:
            return
        if self._labels is not None:
            labels = self._carrier.carry(frame.displacement)
            volumes = label_volumes(labels, self._voxel_ml)
            for value, curve in self._curves.items():
                curve.ml.append(volumes.get(value, 0.0))
            if self._carried is not None:
                self._carried.write(number, labels)
        if self._maps:
            maps = {**motion_maps(frame.displacement, self._geometry.spacing), CONFIDENCE: frame.confidence}
            for name, writer in self._maps.items():
                writer.write(number, maps[name])

    def finish(self) -> None:
        """Write the table, and put the volumes into the report."""
        if self._labels is not None:
            self._report["volumes"] = [curve.to_json() for curve in self._curves.values()]
        if self._table is not None and self._request.volumes is not None:
            with writing(self._request.volumes), open(self._table, "w", newline="", encoding="utf-8") as file:
                write_table(file, list(self._curves.values()), self._index, self._drawn)
