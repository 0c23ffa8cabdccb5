"""Data consistency (thick slices): seen through the slice profile, the result must be what was acquired.

The network's result is changed by the least amount (in the mean square) that makes it so, as far as the acquired slices
can be trusted: where they are noisy, less.

References
----------
Aggarwal, Mani and Jacob, MoDL: model-based deep learning architecture for inverse problems, IEEE Trans. Med. Imaging
38(2), 2019: the data-consistency step, here in closed form.
Immerkaer, Fast noise variance estimation, Computer Vision and Image Understanding 64(2), 1996.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import classical
from .profile import projection_matrix
from .stack import SliceStack

# Median of the absolute value of a normal variable, as a part of its standard deviation.
MEDIAN = 0.6745
# Pixels of each slice that are corrected at once.
PIXELS = 65_536


def made_consistent(result: Tensor, stack: SliceStack, positions: Tensor) -> Tensor:
    """Return x + P'(PP' + v I)^-1 (y - P x) for computed slices x, acquired slices y and the slice profile P.

    Parameters
    ----------
    result : Tensor of shape (n, j, i)
        Computed slices on the network's intensity scale; changed in place.
    stack : SliceStack
        The acquired slices.
    positions : Tensor of shape (n,)
        The places of the computed slices, as real slice numbers.

    Returns
    -------
    Tensor of shape (n, j, i)
        `result`, corrected. The ratio v, the variance of the noise over that of the result's error, follows from the
        noise of the acquired slices and from how far they are from P x: what is not noise is error.
    """
    count = len(stack.slices)
    profile = projection_matrix(positions.cpu().double(), torch.arange(count, dtype=torch.float64),
                                stack.thickness / stack.spacing)
    gram = profile @ profile.T
    missing = stack.slices - classical.apply(profile.float().to(result), result)
    noise = noise_deviation(stack.slices)**2
    error = (missing.square().mean().item() - noise) / gram.diagonal().mean().item()
    if error <= 0:  # what is missing is no more than noise
        return result
    correction = (profile.T @ torch.linalg.inv(gram + noise / error * torch.eye(count))).to(result)
    flat, flat_missing = result.flatten(1), missing.flatten(1)
    for part, part_missing in zip(flat.split(PIXELS, dim=1), flat_missing.split(PIXELS, dim=1)):
        part.addmm_(correction, part_missing)
    return result


def noise_deviation(slices: Tensor) -> float:
    """Return the standard deviation of white noise in slices (k, j, i): structures hardly pass the mask, noise does.

    Voxels where the mask answers nothing (constant background) do not count.
    """
    if min(slices.shape[1:]) < 3:
        return 0.0
    mask = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).to(slices)
    answer = F.conv2d(slices[:, None], mask[None, None]).abs() / 6
    answer = answer[answer > 0]
    return float(answer.median()) / MEDIAN if answer.numel() else 0.0
