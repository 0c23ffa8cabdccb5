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
from ..network.views import CUTS
from ..profile import projection_matrix
from ..stack import SliceStack
from .slice_task import SliceTask, integer, place, pointwise

# Acquired slices in a step, simulated slices in each, and pixels across them.
IMAGES, SLICES, EDGE = 8, 8, 48


class InPlane(SliceTask):
    """Rows or columns play the slice axis, at the PHYSICAL scale of what is looked for between the slices.

    Pixels finer than the target spacing are first brought to it: a texture of half the size is another texture. What is
    degraded and restored is a 2D image, a cut through slices that do not exist; the weights of cuts learn from it.
    """

    iterations = 150

    def loss(self, network: ThroughPlaneNetwork, batch: SliceStack, generator: Generator) -> Tensor:
        """Return the error on in-plane images that were thinned out along a row or a column."""
        lines, line, across = thin_lines(batch, generator)
        factor = max(2, round(batch.spacing / line))
        width = batch.thickness / batch.spacing * factor
        count = min(SLICES, (len(lines) - 1) // factor + 1)
        length = (count - 1) * factor + 1
        fine = torch.arange(float(len(lines)))
        slices = classical.apply(projection_matrix(fine, fine[:length:factor], width).to(lines), lines)
        offset = integer(0 if width else 1, factor - 1, generator)
        positions = torch.arange(count - 1, device=lines.device) + offset / factor
        ratio, items = factor * line / across, lines.shape[1]
        sampling = Sampling(lines.new_full((items, 2), ratio), lines.new_full((items,), width / factor))
        # (k, item, across) -> a volume (k, 1, across) an item, whose only coronal cut is the image.
        estimate = network(slices.transpose(0, 1)[:, :, None], positions, sampling, CUTS[:1])
        return pointwise(estimate.fused[:, :, 0].transpose(0, 1) - lines[offset:length:factor][:count - 1]).mean()


def thin_lines(stack: SliceStack, generator: Generator) -> Tuple[Tensor, float, float]:
    """Draw images from the slices and name one of their axes the slice axis.

    Returns
    -------
    lines : Tensor of shape (line, image, across)
    line, across : spacing of the lines, and of the pixels along them, mm
    """
    axis = integer(1, 2, generator)
    pixel, across = stack.pixels[axis - 1], stack.pixels[2 - axis]
    line = max(pixel, min(stack.target, stack.spacing / 2))
    slices = stack.slices if axis == 1 else stack.slices.transpose(1, 2)
    wanted = int(SLICES * stack.spacing / pixel) + 2
    images = [slices[integer(0, len(slices) - 1, generator), place(slices.shape[1], wanted, generator),
                     place(slices.shape[2], EDGE, generator)] for _ in range(IMAGES)]
    lines = torch.stack(images, dim=1)
    if line < 1.05 * pixel:
        return lines, pixel, across
    fine = torch.arange(len(lines)) * pixel
    centres = torch.arange(int(fine[-1] / line) + 1) * line
    return classical.apply(projection_matrix(fine, centres, line, "box").to(lines), lines), line, across
