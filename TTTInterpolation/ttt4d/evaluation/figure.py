"""The figure of a report: how much better each method is than the first, over the time between the phases."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

BINS = 8


def gains_over_time(report: Mapping[str, Any]) -> Tuple[List[float], Dict[str, List[float]]]:
    """Average the gains in PSNR over equal parts of the time.

    Parameters
    ----------
    report : mapping
        What `ttt4d.evaluation.protocol.evaluate` returns.

    Returns
    -------
    tuple of list and dict
        The middles of those parts of the time that have frames, and for each method after the first its mean gain in
        dB over the first.
    """
    methods = list(report["methods"])
    sums = {name: [0.0] * BINS for name in methods}
    counts = [0] * BINS
    for case in report["cases"]:
        for name in methods:
            for time, psnr in case["methods"][name]["curve"]:
                part = min(int(time * BINS), BINS - 1)
                sums[name][part] += psnr
                counts[part] += name == methods[0]
    filled = [n for n in range(BINS) if counts[n]]
    mean = {name: [sums[name][n] / counts[n] for n in filled] for name in methods}
    gains = {name: [a - b for a, b in zip(mean[name], mean[methods[0]])] for name in methods[1:]}
    return [(n + 0.5) / BINS for n in filled], gains


def draw(report: Mapping[str, Any], path: str) -> None:
    """Draw the gains over time and write them as a picture; needs matplotlib (the extra `peers`).

    Parameters
    ----------
    report : mapping
        What `ttt4d.evaluation.protocol.evaluate` returns.
    path : str
        The picture to write: .png, .pdf or .svg.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    times, gains = gains_over_time(report)
    figure, axes = pyplot.subplots(figsize=(7, 3.6), dpi=120)
    for name, values in gains.items():
        axes.plot(times, values, marker="o", markersize=3, label=name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="time between the phases", ylabel=f"gain over {next(iter(report['methods']))} (dB)", xlim=(0, 1))
    axes.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
