"""Volumes of labels over time: curves, ejection fraction, and their table. Standard library and NumPy only."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, TextIO

import numpy as np

from ..images.marks import mark

COLUMNS = ("label", "name", "frame", "percent", "mark", "volume_ml", "phase", "ed_ml", "es_ml", "stroke_volume_ml",
           "ejection_fraction_percent")


@dataclass
class VolumeCurve:
    """The volume of one label in every frame.

    Parameters
    ----------
    label : int
        Value of the label.
    name : str
        Its name, where the file of the labels tells one.
    ml : list of float
        Volume in each frame, in ml.

    Examples
    --------
    >>> curve = VolumeCurve(3, "LV", [120.0, 80.0, 60.0, 90.0])
    >>> curve.ed_frame, curve.es_frame, curve.stroke_volume_ml, curve.ejection_fraction_percent
    (0, 2, 60.0, 50.0)
    """

    label: int
    name: str = ""
    ml: List[float] = field(default_factory=list)

    @property
    def ed_frame(self) -> int:
        """The frame of the largest volume: end-diastole of a ventricle."""
        return self.ml.index(max(self.ml))

    @property
    def es_frame(self) -> int:
        """The frame of the smallest volume: end-systole of a ventricle."""
        return self.ml.index(min(self.ml))

    @property
    def stroke_volume_ml(self) -> float:
        """Largest minus smallest volume, in ml."""
        return max(self.ml) - min(self.ml)

    @property
    def ejection_fraction_percent(self) -> float:
        """Stroke volume over the largest volume, in percent."""
        return 100 * self.stroke_volume_ml / max(self.ml) if max(self.ml) else 0.0

    def summary(self) -> Dict[str, float]:
        """Return end-diastolic, end-systolic and stroke volume (ml) and ejection fraction (%), rounded."""
        values = {"ed_ml": max(self.ml), "es_ml": min(self.ml), "stroke_volume_ml": self.stroke_volume_ml,
                  "ejection_fraction_percent": self.ejection_fraction_percent}
        return {name: round(value, 4) for name, value in values.items()}

    def to_json(self) -> Dict[str, Any]:
        """Return the curve as the report holds it."""
        return {"label": self.label, "name": self.name, "ml": [round(ml, 4) for ml in self.ml],
                "ed_frame": self.ed_frame, "es_frame": self.es_frame, **self.summary()}


def label_volumes(labels: np.ndarray, voxel_ml: float) -> Dict[int, float]:
    """Return the volume of each label of a map but the background, in ml.

    Parameters
    ----------
    labels : ndarray of shape (k, j, i), any integer type
        0 is the background.
    voxel_ml : float
        Volume of one voxel in ml (1 ml = 1000 mm3).

    Examples
    --------
    >>> label_volumes(np.array([[[0, 5, 5, 2]]]), 0.5)
    {2: 0.5, 5: 1.0}
    """
    values, counts = np.unique(labels, return_counts=True)
    return {int(value): int(count) * voxel_ml for value, count in zip(values, counts) if value}


def write_table(file: TextIO, curves: Sequence[VolumeCurve], percents: Sequence[float],
                acquired: Sequence[bool]) -> None:
    """Write volume curves as CSV: one row for each label and frame.

    Parameters
    ----------
    file : text file
        Opened with `newline=""`.
    curves : sequence of VolumeCurve
        One for each label.
    percents : sequence of float
        Position of each frame in the whole sequence, in percent.
    acquired : sequence of bool
        Whether the labels of a frame are those that were drawn; all others were carried and are marked as synthetic.
    """
    rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    rows.writeheader()
    for curve in curves:
        phases: Mapping[int, str] = {curve.es_frame: "ES", curve.ed_frame: "ED"}
        for frame, (percent, drawn, ml) in enumerate(zip(percents, acquired, curve.ml)):
            rows.writerow({"label": curve.label, "name": curve.name, "frame": frame, "percent": f"{percent:.6g}",
                           "mark": mark(drawn), "volume_ml": round(ml, 4), "phase": phases.get(frame, ""),
                           **curve.summary()})
