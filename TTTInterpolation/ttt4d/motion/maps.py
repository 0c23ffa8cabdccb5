"""Maps of the motion: how far tissue has moved, how its volume has changed, and how it is stretched."""

from __future__ import annotations

from typing import Dict, Sequence

import numpy as np
import torch

from .diffeomorphism import deformation_gradient

STRAINS = ("strain_1", "strain_2", "strain_3")
MAPS = ("displacement", "jacobian", *STRAINS)
CONFIDENCE = "confidence"
# The least volume that a voxel counts as when it is divided by: where the field nearly folds, the maps stay finite.
_LEAST_DETERMINANT = 1e-3


def motion_maps(displacement: np.ndarray, spacing: Sequence[float]) -> Dict[str, np.ndarray]:
    """Return the maps of the motion from the first phase to a frame, on the grid of the frame.

    Parameters
    ----------
    displacement : ndarray of shape (k, j, i, 3)
        From the grid of the frame to the first phase, in voxels along (k, j, i).
    spacing : sequence of float
        Voxel spacing in mm along (k, j, i).

    Returns
    -------
    dict of str to ndarray of shape (k, j, i), float32
        `displacement`: distance from the place in the first phase, mm. `jacobian`: volume of the tissue in the frame
        over its volume in the first phase; 0 where the field folds. `strain_1` to `strain_3`: principal Green-Lagrange
        strains, largest first; above 0 where tissue is longer than in the first phase.

    Notes
    -----
    With G = I + du/dx of the displacement u (frame to first phase), the deformation gradient of the tissue is F =
    inverse(G), the Jacobian det F = 1 / det G, and the principal strains are (s**2 - 1) / 2 for the singular values s
    of F.

    Examples
    --------
    >>> index = np.stack(np.meshgrid(*3 * [np.arange(5.0)], indexing="ij"), axis=-1)
    >>> maps = motion_maps(index * (0.25, 0, 0), (4, 1, 1))  # 1.25 mm were 1 mm: shortened to 80 %
    >>> [round(float(maps[name][2, 2, 2]), 3) for name in ("displacement", "jacobian", "strain_1", "strain_3")]
    [2.0, 0.8, 0.0, -0.18]
    """
    size = torch.tensor([float(s) for s in spacing])
    field = torch.from_numpy(np.ascontiguousarray(displacement, dtype=np.float32))
    # In mm along each axis: a stretch must not depend on the shape of the voxels.
    gradient = deformation_gradient(field.permute(3, 0, 1, 2)[None])[0] * size[:, None] / size[None]
    determinant = torch.linalg.det(gradient)
    stretches = 1 / torch.linalg.svdvals(gradient).clamp(min=_LEAST_DETERMINANT)
    strains = ((stretches**2 - 1) / 2).flip(-1)
    jacobian = torch.where(determinant > 0, 1 / determinant.clamp(min=_LEAST_DETERMINANT), 0.0)
    maps = {"displacement": (field * size).norm(dim=-1), "jacobian": jacobian,
            **{name: strains[..., n] for n, name in enumerate(STRAINS)}}
    return {name: maps[name].contiguous().numpy() for name in MAPS}
