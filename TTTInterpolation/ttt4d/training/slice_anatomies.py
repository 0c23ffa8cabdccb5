"""Generated anatomies in 3D, and generated video: thin slices free of any data licence and of any one contrast."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .augmentation import integer, uniform


def _smooth(edge: int, knots: int, generator: Generator) -> Tensor:
    """(k, j, i): a random cubic B-spline field over a cube that bends about `knots` times along each axis."""
    coarse = torch.randn(knots + 4, knots + 4, knots + 4, generator=generator)
    x = torch.linspace(0, knots, edge)
    first = x.floor().long().clamp(max=knots - 1)
    t = x - first
    weights = torch.stack([(1 - t)**3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    matrix = torch.zeros(edge, knots + 4).scatter_(1, first[:, None] + torch.arange(4), weights)
    return 2.5 * torch.einsum("abc,ka,jb,ic->kji", coarse, matrix, matrix, matrix)


def _distance(field: Tensor) -> Tensor:
    """About the signed distance in voxels to the surface where a field is zero."""
    gradient = torch.stack(torch.gradient(field)).square().sum(0).sqrt()
    return field / gradient.clamp(min=1e-3)


def _shape(edge: int, generator: Generator) -> Tensor:
    """Draw a shape (k, j, i) from 0 outside to 1 inside: an organ, a sheet such as a cortex, or vessels.

    Its edges are a voxel or two wide.
    """
    kind = uniform(0, 1, generator)
    surface = _distance(_smooth(edge, integer(1, 10, generator), generator) - uniform(-0.5, 1.2, generator))
    if kind < 0.3:
        surface = uniform(0.7, 4.0, generator) - surface.abs()
    elif kind < 0.55:
        other = _distance(_smooth(edge, integer(1, 8, generator), generator))
        surface = uniform(0.8, 4.0, generator) - (surface**2 + other**2).sqrt()
    return torch.sigmoid(surface * uniform(1.0, 5.0, generator))


def anatomy(generator: Generator, edge: int = 96) -> Tensor:
    """Draw a cube (k, j, i) in [0, 1]: shapes inside shapes, each with its own grey value and texture."""
    image = uniform(0, 1, generator) + 0.05 * _smooth(edge, 4, generator)
    for _ in range(integer(8, 22, generator)):
        grey = uniform(0, 1, generator) + uniform(0, 0.08, generator) * _smooth(
            edge, integer(4, 24, generator), generator)
        image = image + _shape(edge, generator) * (grey - image)
    image = image + uniform(0, 0.02, generator) * torch.randn(image.shape, generator=generator)
    low, high = torch.quantile(image.flatten()[::7], torch.tensor([0.002, 0.998]))
    return ((image - low) / (high - low)).clamp(0, 1)


def video(generator: Generator, edge: int = 96, frames: int = 41) -> Tensor:
    """Draw a short film (time, j, i) in [0, 1]: a plane of an anatomy that bends, and passes through the plane."""
    volume = anatomy(generator, edge)
    bend = torch.stack([_smooth(edge, 3, generator)[0] for _ in range(3)])
    speed = torch.tensor([uniform(0, 0.3, generator), uniform(0, 1, generator), uniform(0, 1, generator)])
    grid = torch.stack(torch.meshgrid(torch.arange(edge / 1.0), torch.arange(edge / 1.0), indexing="ij"))
    still = torch.cat([torch.full((1, edge, edge), edge / 2), grid])
    course = torch.linspace(-0.5, 0.5, frames).view(-1, 1, 1, 1) * frames
    index = still + course * speed.view(3, 1, 1) * 0.4 * bend
    index = (2 * index / (edge - 1) - 1).flip(1).permute(0, 2, 3, 1)
    return F.grid_sample(volume[None, None], index[None], padding_mode="reflection", align_corners=True)[0, 0]
