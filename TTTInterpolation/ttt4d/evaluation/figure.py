"""The figure of a report: how far each method is from the acquired frame, over the time between the phases."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

BINS = 8


def gains_over_time(report: Mapping[str, Any]) -> Tuple[List[float], Dict[str, List[float]]]:
    """Middles of equal parts of the time, and for each method after the first its mean gain in PSNR (dB) over the
    first.
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
    """Write the figure as a picture; needs matplotlib (the extra `peers`)."""
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
