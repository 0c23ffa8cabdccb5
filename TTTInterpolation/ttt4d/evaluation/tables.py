"""The paper's tables, with our rows beside them, as Markdown."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from .metrics import METRICS
from .protocol import PROTOCOLS

Row = Tuple[float, float, float, float]

PUBLISHED: Dict[str, Dict[str, Row]] = {
    "cardiac": {
        "SVIN": (32.51, 0.559, 0.972, 2.930),
        "MPVF": (33.15, 0.561, 0.971, 2.435),
        "VoxelMorph": (31.02, 0.555, 0.966, 4.254),
        "TransMorph": (30.45, 0.547, 0.958, 4.826),
        "Fourier-Net+": (29.98, 0.544, 0.957, 5.503),
        "R2Net": (28.59, 0.509, 0.930, 7.281),
        "DDM": (29.71, 0.541, 0.956, 5.007),
        "IDIR": (31.56, 0.557, 0.968, 3.806),
        "UVI-Net": (33.59, 0.565, 0.978, 2.384),
        "TTT, rotation": (33.70, 0.568, 0.978, 2.263),
        "TTT, 3D-MAE": (33.73, 0.571, 0.978, 2.230),
    },
    "lung": {
        "SVIN": (30.99, 0.312, 0.973, 0.852),
        "MPVF": (31.18, 0.310, 0.972, 0.761),
        "VoxelMorph": (32.29, 0.316, 0.977, 0.641),
        "TransMorph": (30.92, 0.313, 0.973, 0.786),
        "Fourier-Net+": (30.26, 0.308, 0.971, 0.959),
        "R2Net": (29.34, 0.294, 0.962, 1.061),
        "DDM": (30.27, 0.308, 0.971, 0.905),
        "IDIR": (32.91, 0.321, 0.980, 0.586),
        "UVI-Net": (34.00, 0.320, 0.980, 0.552),
        "TTT, rotation": (33.98, 0.320, 0.980, 0.553),
        "TTT, 3D-MAE": (34.02, 0.320, 0.981, 0.551),
    },
}

HEADER = ["method", "PSNR dB", "NCC", "SSIM", "NMSE %", "seconds a case"]


def markdown(report: Mapping[str, Any]) -> str:
    """The report of `ttt4d evaluate` as tables: measured rows, published rows, and the shifts if any."""
    protocol = PROTOCOLS[report["protocol"]]
    counts = f"{report['frames']} frames of {len(report['cases'])} cases"
    lines = [f"{counts}; {protocol.words}. Mean +- standard error.", ""]
    rows = report["methods"].items()
    lines += _table(HEADER, [[name, *_figures(row), f"{row['seconds']:.2f}"] for name, row in rows])
    table = PUBLISHED[protocol.comparable or "cardiac"]
    note = "same protocol" if protocol.comparable else "another protocol (cardiac): NOT comparable with the rows above"
    lines += ["", f"Published figures, {note}.", ""]
    lines += _table(HEADER[:-1], [[name, *_published(row)] for name, row in table.items()])
    if report.get("shifts"):
        lines += ["", "PSNR in dB under each distribution shift; gains are over the first method.", ""]
        lines += _shifts(report["shifts"])
    return "\n".join(lines)


def _figures(row: Mapping[str, float]) -> List[str]:
    return [f"{row[key]:.{digits}f} +- {row[key + '_se']:.{digits}f}" for key, digits in zip(METRICS, (2, 3, 3, 3))]


def _published(row: Row) -> List[str]:
    return [f"{value:.{digits}f}" for value, digits in zip(row, (2, 3, 3, 3))]


def _shifts(shifts: Mapping[str, Any]) -> List[str]:
    methods = list(next(iter(shifts.values()))["methods"])
    psnr = {method: [shift["methods"][method]["psnr"] for shift in shifts.values()] for method in methods}
    rows = []
    for method in methods:
        values = psnr[method] + [sum(psnr[method]) / len(shifts)]
        first = psnr[methods[0]] + [sum(psnr[methods[0]]) / len(shifts)]
        rows.append([method] + [f"{v:.2f} ({v - f:+.2f})" for v, f in zip(values, first)])
    return _table(["method", *shifts, "mean"], rows)


def _table(header: List[str], rows: List[List[str]]) -> List[str]:
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(width) for c, width in zip(row, widths)) + " |" for row in [header, *rows]]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
