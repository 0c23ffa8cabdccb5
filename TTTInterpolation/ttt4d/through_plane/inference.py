"""The network over a whole stack, tile by tile, so that memory stays bounded whatever the size."""

from __future__ import annotations

import math
from typing import Callable, Iterator, Sequence, Tuple

import torch
from torch import Tensor

from . import classical
from .network.through_plane import Estimate, ThroughPlaneNetwork
from .network.views import CUTS
from .stack import SliceStack

# Rows and columns by which a tile must be larger than its result: as far as the convolutions of a view reach. Across
# its images a view sees the next one only.
HALO = {"coronal": (1, 10), "sagittal": (10, 1), "axial": (10, 10)}
# Voxels of acquired slices in a tile.
TILE_VOXELS = 1_000_000
# Voxels of new slices that are read at once: on the CPU as many as stay in its cache, elsewhere enough to keep it busy.
READ_VOXELS = {"cpu": 4_096}
READ_VOXELS_ELSEWHERE = 100_000

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
    on_tile : called with the fraction done, many times a tile; may raise `Cancelled`

    Returns
    -------
    Tensor of shape (n, j, i), on the network's intensity scale
    """
    lower, fraction = classical.split(positions.to(stack.slices), len(stack.slices))
    steps, layers = stack.steps.to(stack.slices), network.layers(fraction, stack.sampling, views)
    result = stack.slices.new_empty(len(positions), *stack.slices.shape[1:])
    if not len(positions):
        return result
    at_once = READ_VOXELS.get(stack.device.type, READ_VOXELS_ELSEWHERE)
    done, pixels = 0.0, result[0].numel()
    for tile in tiles(stack.slices.shape):
        features = [_features(network, stack, tile, view) for view in views]
        done += 0.5 * result[0][tile].numel()
        on_tile(done / pixels)
        for block, rows in _blocks(tile, at_once):
            # Copied once, so that each of its slices is one piece of memory; the first read brings it into the cache.
            slices = stack.slices[(slice(None), *block)][None].contiguous()
            near = [seen[:, :, rows].contiguous() for seen in features]
            slopes = classical.pchip_slopes(slices, steps)
            few = max(1, at_once // slices[0, 0].numel())
            for part in (slice(first, first + few) for first in range(0, len(positions), few)):
                base = classical.hermite(slices, slopes, steps, lower[part], fraction[part])
                estimate = network.read(near, base, lower[part], [weights.at(part) for weights in layers], views)
                result[(part, *block)] = combine(estimate)[0]
            done += 0.5 * slices[0, 0].numel()
            on_tile(done / pixels)
    return result


Window = Tuple[slice, slice]


def _features(network: ThroughPlaneNetwork, stack: SliceStack, tile: Window, view: str) -> Tensor:
    """Return a view's features (1, k, j, i, channel) of a tile."""
    outer, within = with_halo(tile, stack.slices.shape[1:], HALO[view])
    [seen] = network.features(stack.slices[(slice(None), *outer)][None], stack.sampling, (view,))
    return seen[(slice(None), slice(None), *within)]


def tiles(size: Sequence[int]) -> Iterator[Window]:
    """Cut slices (k, j, i) into tiles, windows of (rows, columns), about square so that their halos are small."""
    slices, rows, columns = size
    area = max(256, TILE_VOXELS // slices)
    height = _even(rows, math.isqrt(area))
    width = _even(columns, area // height)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, min(top + height, rows)), slice(left, min(left + width, columns))


def _even(length: int, most: int) -> int:
    """Return the length of as few parts as can be, none longer than `most`, that are about equally long."""
    return -(-length // -(-length // most))


def with_halo(tile: Window, size: Sequence[int], halo: Sequence[int]) -> Tuple[Window, Window]:
    """Return where a tile lies with its halo, within slices of (rows, columns), and where the tile lies in that."""
    (top, bottom), (left, right) = ((max(0, s.start - h), min(n, s.stop + h)) for s, n, h in zip(tile, size, halo))
    rows, columns = tile
    return ((slice(top, bottom), slice(left, right)),
            (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)))


def _blocks(tile: Window, pixels: int) -> Iterator[Tuple[Window, slice]]:
    """Cut a tile into blocks of whole rows and about so many pixels; yield each, and its rows within the tile."""
    rows, columns = tile
    height = max(1, pixels // (columns.stop - columns.start))
    for top in range(rows.start, rows.stop, height):
        bottom = min(top + height, rows.stop)
        yield (slice(top, bottom), columns), slice(top - rows.start, bottom - rows.start)
