"""The figure of the axis between slices: one cut across the slices, as it is, and as methods fill it in."""

from __future__ import annotations

from typing import Sequence, Tuple

import torch
from torch import Tensor

from .slice_problems import Problem


def draw(problem: Problem, results: Sequence[Tuple[str, Tensor]], path: str) -> None:
    """Draw the truth and each result, with the difference below it, and write the picture.

    Parameters
    ----------
    problem : Problem
        Slices, and the truth.
    results : sequence of (str, Tensor of shape (n, j, i))
        The name of each method, and what it made of the slices.
    path : str
        The picture to write: .png, .pdf or .svg. Needs matplotlib (the extra `peers`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    row = middle_of_most_contrast(problem.truth)
    height = problem.truth.shape[0] * problem.target / problem.spacing[2]
    images = [("truth", problem.truth), *results]
    figure, axes = pyplot.subplots(2, len(images), dpi=120, squeeze=False,
                                   figsize=(3 * len(images), 6.4 * max(0.4, height / problem.truth.shape[2])))
    for column, (name, volume) in enumerate(images):
        cut = volume[:, row].flip(0)
        difference = cut - problem.truth[:, row].flip(0)
        aspect = problem.target / problem.spacing[2]
        axes[0][column].imshow(cut, cmap="gray", vmin=0, vmax=float(problem.truth.max()), aspect=aspect)
        axes[0][column].set_title(name, fontsize=9)
        if column:
            axes[1][column].imshow(difference, cmap="RdBu", vmin=-0.2, vmax=0.2, aspect=aspect)
            axes[1][column].set_title("difference, -0.2 to 0.2 of the range", fontsize=7)
    for one in axes.flat:
        one.axis("off")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def middle_of_most_contrast(volume: Tensor) -> int:
    """Return the row of a volume (k, j, i) whose cut across the slices changes most from slice to slice."""
    return int(torch.argmax(volume.diff(dim=0).square().mean(dim=(0, 2))))
