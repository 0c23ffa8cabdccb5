"""In-plane: the volume's own slices are sharp along their rows and columns; degrade them there, and restore them.

References
----------
Zhao et al., SMORE: a self-supervised anti-aliasing and super-resolution algorithm for MRI using deep learning, IEEE
Trans. Med. Imaging 40(3), 2021.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Generator, Tensor

from .. import classical
from ..network.through_plane import Sampling, ThroughPlaneNetwork
from ..profile import projection_matrix
from ..stack import SliceStack
from .slice_task import SliceTask, pointwise, integer, place, upsampled

# Simulated slices in a patch at most, and voxels across them.
SLICES, EDGE = 8, 28
PATCHES = 2
# Weight of voxels between acquired slices, which are estimates themselves.
BETWEEN = 0.25


class InPlane(SliceTask):
    """Rows or columns play the slice axis, at the PHYSICAL scale of what is looked for between the slices.

    Pixels finer than the target spacing are first brought to it: a texture of half the size is another texture.
    """

    def loss(self, network: ThroughPlaneNetwork, batch: SliceStack, generator: Generator) -> Tensor:
        losses = [self._patch_loss(network, batch, generator) for _ in range(PATCHES)]
        return torch.stack(losses).mean()

    def _patch_loss(self, network: ThroughPlaneNetwork, stack: SliceStack, generator: Generator) -> Tensor:
        block, weight, pixels, line = thin_lines(stack, generator)
        factor = max(2, round(stack.spacing / line))
        count = min(SLICES, (len(block) - 1) // factor + 1)
        length = (count - 1) * factor + 1
        start = integer(0, len(block) - length, generator)
        fine = torch.arange(len(block), dtype=torch.float32)
        width = stack.thickness / stack.spacing * factor
        matrix = projection_matrix(fine, fine[start:start + length:factor], width)
        slices = classical.apply(matrix.to(block), block)[None]
        offset = integer(0 if width else 1, factor - 1, generator)
        positions = torch.arange(count - 1, device=block.device) + offset / factor
        truth = block[start + offset:start + length:factor][:count - 1]
        ratios = [[factor * line / pixel for pixel in pixels]]
        sampling = Sampling(torch.tensor(ratios, device=block.device),
                            torch.tensor([width / factor], device=block.device))
        estimate = network(slices, positions, sampling)
        return weighted(estimate.fused[0] - truth, weight)


def weighted(error: Tensor, weight: Tensor) -> Tensor:
    """The loss of an error (n, j, i) with a weight a row (j,)."""
    return ((pointwise(error).mean((0, 2)) * weight).sum() / weight.sum())


def thin_lines(stack: SliceStack, generator: Generator) -> Tuple[Tensor, Tensor, Tuple[float, float], float]:
    """Draw a block whose first axis is a row or column axis of the slices.

    Returns
    -------
    block : Tensor of shape (lines, depth, across)
        Depth is the real slice axis, interpolated classically to the target spacing.
    weight : Tensor of shape (depth,)
        1 at acquired slices, less between.
    pixels : spacing of (depth, across), mm
    line : spacing of the lines, mm
    """
    axis = integer(1, 2, generator)
    pixel, across = stack.pixels[axis - 1], stack.pixels[2 - axis]
    line = max(pixel, min(stack.target, stack.spacing / 2))
    per_step = max(1, round(stack.spacing / max(stack.target, across)))
    slices = stack.slices[place(len(stack.slices), -(-EDGE // per_step) + 1, generator)]
    lines_wanted = int((SLICES - 1) * stack.spacing / pixel) + 2
    windows = [place(slices.shape[axis], lines_wanted, generator), place(slices.shape[3 - axis], EDGE, generator)]
    if axis == 2:
        windows.reverse()
    block = upsampled(slices[(slice(None), *windows)], (len(slices) - 1) * per_step + 1).movedim(axis, 0)
    if line > pixel * 1.05:
        fine = torch.arange(len(block)) * pixel
        centres = torch.arange(int(fine[-1] / line) + 1) * line
        block = classical.apply(projection_matrix(fine, centres, line, "box").to(block), block)
    else:
        line = pixel
    weight = torch.full((block.shape[1],), BETWEEN, device=block.device)
    weight[::per_step] = 1.0
    return block, weight, (stack.spacing / per_step, across), line
