"""Generated hearts in motion: a bright ventricle in a ring of muscle, beside a second one, on any background.

Cine images of hearts are sharp, nearly free of noise and of high contrast. Nearly all that moves is the inner border
of the muscle. It moves inwards, the muscle gets thicker, and little moves outside. The shapes here are ellipsoids with
wavy borders; no image of a patient is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Generator, Tensor

from ..motion import warping
from .augmentation import integer, uniform

Size = Tuple[int, int, int]


@dataclass(frozen=True)
class Heart:
    """A heart at phase 0, in voxels of a grid (k, j, i).

    Parameters
    ----------
    offset : Tensor of shape (1, 2, k, j, i)
        From the axis of the left ventricle to each voxel, along (j, i).
    inner, outer : Tensor of shape (1, 1, k, j, i)
        Radius of the inner and of the outer border of the muscle, in the direction of each voxel. Both shrink towards
        the apex, and are small beyond it.
    right : Tensor of shape (1, 2, 1, 1, 1)
        From the axis of the left ventricle to that of the right one, along (j, i).
    """

    offset: Tensor
    inner: Tensor
    outer: Tensor
    right: Tensor

    @property
    def radius(self) -> Tensor:
        """Distance of each voxel from the axis of the left ventricle, of shape (1, 1, k, j, i)."""
        return _length(self.offset).clamp(min=1e-3)


def draw_heart(size: Size, generator: Generator) -> Heart:
    """Draw the shape of a heart that lies in a grid of a given size (k, j, i)."""
    nk, nj, ni = size
    edge = min(nj, ni)
    k, j, i = warping.identity(size, torch.zeros(())).split(1, dim=1)
    tilt = [uniform(-0.15, 0.15, generator) * edge * (k / max(nk - 1, 1) - 0.5) for _ in range(2)]
    j, i = (x - uniform(0.35, 0.65, generator) * n - t for x, n, t in zip((j, i), (nj, ni), tilt))
    offset = torch.cat([j, i], dim=1)
    # An ellipsoid along k, of which the grid shows a part.
    length, middle = uniform(0.5, 1.5, generator) * nk, uniform(0.0, 0.6, generator) * nk
    profile = (1 - ((k - middle) / length).square()).clamp(min=0.02).sqrt()
    direction = torch.atan2(offset[:, :1], offset[:, 1:])
    inner = uniform(0.08, 0.25, generator) * edge * profile
    inner = inner * (1 + _wavy(direction, 0.10, generator))
    outer = inner + uniform(0.03, 0.12, generator) * edge * profile.sqrt() * (1 + _wavy(direction, 0.15, generator))
    side = uniform(-math.pi, math.pi, generator)
    distance = float(outer.max()) * uniform(0.7, 1.2, generator)
    right = distance * torch.tensor([math.sin(side), math.cos(side)]).view(1, 2, 1, 1, 1)
    return Heart(offset, inner, outer, right)


def paint(heart: Heart, background: Tensor, generator: Generator) -> Tensor:
    """Draw a heart on a background (1, 1, k, j, i): blood bright in three of four, muscle of another grey value."""
    blood, muscle = uniform(0.6, 1.0, generator), uniform(0.05, 0.45, generator)
    if uniform(0, 1, generator) < 0.25:
        blood, muscle = muscle, blood
    edge = uniform(0.3, 0.9, generator)
    radius = heart.radius
    second = heart.offset - heart.right
    long = math.exp(uniform(-0.3, 0.3, generator))
    second = _length(torch.cat([second[:, :1] * long, second[:, 1:] / long], dim=1))
    size = uniform(0.7, 1.1, generator) * heart.outer
    fat = uniform(0, 1, generator)
    thin = uniform(1.0, 3.0, generator)
    image = _over(background, second - size - thin, muscle, edge)
    image = _over(image, second - size, blood, edge)
    if uniform(0, 1, generator) < 0.5:
        image = _over(image, radius - heart.outer - uniform(0.5, 2.0, generator), fat, edge)
    image = _over(image, radius - heart.outer, muscle, edge)
    image = _over(image, radius - heart.inner, blood, edge)
    for _ in range(integer(0, 4, generator)):  # papillary muscles
        angle = uniform(-math.pi, math.pi, generator)
        place = uniform(0.5, 0.95, generator) * heart.inner.amax((3, 4), keepdim=True)
        at = torch.cat([place * math.sin(angle), place * math.cos(angle)], dim=1)
        width = uniform(0.08, 0.25, generator) * heart.inner.amax((3, 4), keepdim=True)
        image = _over(image, _length(heart.offset - at) - width, muscle, edge)
    return image


def beat(heart: Heart, generator: Generator) -> Tensor:
    """Draw a beat: the displacement (1, 3, k, j, i) from the grid at the end of systole into phase 0, in voxels.

    The inner border moves inwards to a part of its radius. The muscle keeps its area nearly, so its outer border
    follows less; outside, the motion fades.
    """
    part = uniform(0.4, 0.9, generator)
    radius = heart.radius
    inner = part * heart.inner
    # Equal areas: r0^2 = r1^2 + inner^2 (1 - part^2) outside the inner border, of which the muscle keeps a share.
    keep = uniform(0.6, 1.1, generator)
    beyond = (radius.square() + keep * (heart.inner.square() - inner.square())).sqrt()
    inside = radius * (inner.square() + keep * (heart.inner.square() - inner.square())).sqrt() / inner
    target = torch.where(radius < inner, inside, beyond)
    fade = torch.exp(-((radius - heart.outer) / (uniform(0.3, 1.0, generator) * heart.outer)).clamp(min=0).square())
    outward = (target - radius) * fade / radius
    turn = uniform(-0.25, 0.25, generator) * fade
    j, i = heart.offset.split(1, dim=1)
    moved = torch.cat([outward * j + turn * i, outward * i - turn * j], dim=1)
    second = heart.offset - heart.right
    spread = uniform(0.5, 1.0, generator) * float(heart.outer.max())
    bump = torch.exp(-second.square().sum(1, keepdim=True) / (2 * spread**2))
    moved = moved + uniform(0.0, 0.5, generator) * second * bump
    along = uniform(-0.5, 0.5, generator) * fade
    return torch.cat([along, moved], dim=1)


def _length(offset: Tensor) -> Tensor:
    """Return the length (1, 1, k, j, i) of offsets (1, 2, k, j, i)."""
    return offset.square().sum(1, keepdim=True).sqrt()


def _wavy(direction: Tensor, amount: float, generator: Generator) -> Tensor:
    """Draw a wave around the axis, of at most `amount`."""
    wave = torch.zeros_like(direction)
    for n in (2, 3, 4):
        wave = wave + uniform(0, amount / n, generator) * torch.cos(n * direction + uniform(0, 6.3, generator))
    return wave


def _over(image: Tensor, distance: Tensor, grey: float, edge: float) -> Tensor:
    """Paint a grey value where a signed distance in voxels is below 0, with an edge of a given width in voxels."""
    return image + torch.sigmoid(-distance / edge) * (grey - image)
