"""The network over a whole stack, tile by tile, so that memory stays bounded whatever the size."""

from __future__ import annotations

from typing import Callable, Iterator, Sequence, Tuple

import torch
from torch import Tensor

from . import classical
from .network.through_plane import Estimate, ThroughPlaneNetwork
from .network.views import CUTS
from .stack import SliceStack

# Pixels by which tiles overlap: as far as the convolutions reach within a slice.
HALO = 10
# Voxels of acquired slices in a tile, and of new slices read from it at once.
TILE_VOXELS = 1_000_000
READ_VOXELS = 20_000

Combine = Callable[[Estimate], Tensor]


def fused(estimate: Estimate) -> Tensor:
    """Return the mean of the views, weighted by their confidence: what a user gets."""
    return estimate.fused


@torch.no_grad()
def interpolate(network: ThroughPlaneNetwork, stack: SliceStack, positions: Tensor, views: Sequence[str] = CUTS,
                combine: Combine = fused, on_tile: Callable[[float], None] = lambda fraction: None) -> Tensor:
    """Return the slices at real slice numbers.

    Parameters
    ----------
    network : ThroughPlaneNetwork
    stack : SliceStack
    positions : Tensor of shape (n,)
        Real slice numbers, 0 to k - 1.
    views : the views that take part
    combine : what to make of their estimates; must return (1, n, j, i)
    on_tile : called with the fraction done after every part; may raise `Cancelled`

    Returns
    -------
    Tensor of shape (n, j, i), on the network's intensity scale
    """
    lower, fraction = classical.split(positions.to(stack.slices), len(stack.slices))
    result = stack.slices.new_empty(len(positions), *stack.slices.shape[1:])
    done, sampling = 0, stack.sampling
    for outer, inner, within in tiles(stack.slices.shape):
        tile = stack.slices[(slice(None), *outer)][None].contiguous()
        features = network.features(tile, sampling, views)
        slopes = classical.pchip_slopes(tile, stack.steps.to(tile))
        on_tile((done + 0.5 * (result[0][inner].numel())) / result[0].numel())
        for part in torch.arange(len(positions)).split(max(1, READ_VOXELS // tile[0, 0].numel())):
            base = classical.hermite(tile, slopes, stack.steps.to(tile), lower[part], fraction[part])
            estimate = network.read(features, base, lower[part], fraction[part], sampling, views)
            result[(part, *inner)] = combine(estimate)[0][(slice(None), *within)]
            on_tile((done + (0.5 + 0.5 * (int(part[-1]) + 1) / len(positions)) * result[0][inner].numel())
                    / result[0].numel())
        done += result[0][inner].numel()
    return result


Window = Tuple[slice, ...]


def tiles(size: Sequence[int]) -> Iterator[Tuple[Window, Window, Window]]:
    """Cut slices (k, j, i) into tiles, each with a halo.

    Yields, as windows of (rows, columns): where the tile with its halo lies, where its result goes, and where that
    result lies within the tile.
    """
    slices, rows, columns = size
    along_columns = -(-columns // max(64, min(columns, 256)))
    width = -(-columns // along_columns)
    height = max(16, TILE_VOXELS // (slices * (width + 2 * HALO)) - 2 * HALO)
    height = -(-rows // -(-rows // height))
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            inner = slice(top, min(top + height, rows)), slice(left, min(left + width, columns))
            outer = tuple(slice(max(0, s.start - HALO), min(n, s.stop + HALO)) for s, n in zip(inner, (rows, columns)))
            within = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(inner, outer))
            yield outer, inner, within
