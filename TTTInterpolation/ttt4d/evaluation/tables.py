"""The tables that `ttt4d evaluate` prints, as Markdown: measured rows, and the published rows beside them."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from .label_protocol import STRUCTURES, VENTRICLES
from .metrics import METRICS
from .protocol import PROTOCOLS

# The tables of "Test Time Training for 4D Medical Image Interpolation", arXiv 2502.02341.
PUBLISHED_METRICS = ("psnr", "ncc", "ssim", "nmse")
PUBLISHED: Dict[str, Dict[str, Tuple[float, ...]]] = {
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
NOT_PUBLISHED = "-"


def markdown(report: Mapping[str, Any]) -> str:
    """Write the report of `ttt4d evaluate` as Markdown tables.

    Parameters
    ----------
    report : mapping
        What `protocol.evaluate` returns, with the name of the `protocol`, and `shifts` if they were measured.

    Returns
    -------
    str
        The measured figures, the gains of each group and of each case if there are several, the published figures, and
        the gains under each distribution shift.
    """
    protocol = PROTOCOLS[report["protocol"]]
    counts = f"{report['frames']} frames of {len(report['cases'])} cases"
    lines = [f"{counts}; {protocol.description}. Mean +- standard error.", ""]
    header = ["method", *(metric.header for metric in METRICS.values())]
    rows = [[name, *_figures(row), f"{row['seconds']:.2f}"] for name, row in report["methods"].items()]
    lines += table([*header, "seconds a case"], rows)
    if len(report.get("groups", ())) > 1:
        lines += ["", "PSNR in dB of the cases of each group; gains are over the first method.", ""]
        lines += _rows("group", report["groups"])
    if len(report["cases"]) > 1:
        lines += ["", "PSNR in dB of each case; gains are over the first method.", ""]
        lines += _rows("case", {case["name"]: case["methods"] for case in report["cases"]})
    note = "same protocol" if protocol.comparable else "another protocol (cardiac): NOT comparable with the rows above"
    lines += ["", f"Published figures, {note}.", ""]
    published = PUBLISHED[protocol.comparable or "cardiac"]
    lines += table(header, [[name, *_published(row)] for name, row in published.items()])
    if report.get("shifts"):
        lines += ["", "PSNR in dB under each distribution shift; gains are over the first method.", ""]
        lines += _shifts(report["shifts"])
    return "\n".join(lines)


def labels_markdown(report: Mapping[str, Any]) -> str:
    """Write the report of `ttt4d evaluate --labels` as Markdown tables: means, and ejection fractions by case."""
    columns = [(f"dice_{name}", f"Dice {name}", 3) for name in STRUCTURES.values()]
    columns += [(f"hd95_{name}", f"HD95 {name} mm", 1) for name in STRUCTURES.values()]
    columns += [(f"ef_error_{STRUCTURES[v]}", f"EF error {STRUCTURES[v]}, points", 1) for v in VENTRICLES]
    columns += [("folded_percent", "folded %", 3), ("seconds", "seconds a case", 1)]
    lines: List[str] = []
    for group, title in (("methods", "all cases"), ("held_out", "cases that no weights were trained on"),
                         ("trained_on", "cases that our weights were trained on")):
        if report[group]:
            count = sum(group == "methods" or case["trained_on"] == (group == "trained_on") for case in report["cases"])
            lines += [f"Labels of phase 0, carried to phase 1; {title} ({count}), means.", ""]
            lines += [*table(["method", *(label for _, label, _ in columns)],
                              [[name, *(f"{row[key]:.{digits}f}" for key, _, digits in columns)]
                               for name, row in report[group].items()]), ""]
    left = STRUCTURES[VENTRICLES[-1]]
    lines += [f"Ejection fraction of the {left} in percent: experts' labels, and carried ones.", ""]
    methods = list(report["methods"])
    rows = [[case["name"] + (" (trained on)" if case["trained_on"] else ""),
             f"{case['methods'][methods[0]][f'ef_{left}_true']:.1f}",
             *(f"{case['methods'][name][f'ef_{left}']:.1f}" for name in methods)] for case in report["cases"]]
    return "\n".join([*lines, *table(["case", "experts", *methods], rows)])


def _figures(row: Mapping[str, float]) -> List[str]:
    return [f"{metric.text(row[name])} +- {metric.text(row[name + '_se'])}" for name, metric in METRICS.items()]


def _published(row: Tuple[float, ...]) -> List[str]:
    values = dict(zip(PUBLISHED_METRICS, row))
    return [metric.text(values[name]) if name in values else NOT_PUBLISHED for name, metric in METRICS.items()]


def _rows(head: str, named: Mapping[str, Any]) -> List[str]:
    """Make a row for each group or case and a column for each method."""
    methods = list(next(iter(named.values())))
    rows = [[name or "unknown", *_gains([methods_of[method]["psnr"] for method in methods])]
            for name, methods_of in named.items()]
    return table([head, *methods], rows)


def _shifts(shifts: Mapping[str, Any]) -> List[str]:
    """Make a row for each method and a column for each shift, with their mean at the end."""
    methods = list(next(iter(shifts.values()))["methods"])
    columns = [[shift["methods"][method]["psnr"] for method in methods] for shift in shifts.values()]
    columns.append([sum(values) / len(shifts) for values in zip(*columns)])
    cells = zip(*map(_gains, columns))
    return table(["method", *shifts, "mean"], [[method, *row] for method, row in zip(methods, cells)])


def _gains(values: List[float]) -> List[str]:
    """Write each value with its gain over the first."""
    return [f"{value:.2f} ({value - values[0]:+.2f})" for value in values]


def table(header: List[str], rows: List[List[str]]) -> List[str]:
    """Return the lines of a Markdown table."""
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(width) for c, width in zip(row, widths)) + " |" for row in [header, *rows]]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
