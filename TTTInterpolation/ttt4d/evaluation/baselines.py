"""Registration methods as interpolators, for comparison: the optional extra `peers`.

Each estimates the motion both ways between the two phases. The fields are scaled in time and both warped phases are
blended: flow0t = t flow01, flow1t = (1 - t) flow10, frame = (1 - t) warp(phase0, flow0t) + t warp(phase1, flow1t).
Their settings were chosen on training cases for the highest PSNR of the frames between.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Optional, Sequence

import numpy as np

from ..errors import UserError
from ..images.datasets import Triple
from .protocol import Method

FEWEST_VOXELS = 5


class Blend(Method):
    """The two phases faded into each other: what one has without any method."""

    def __call__(self, phase0, phase1, times, spacing):
        return [(1 - t) * phase0 + t * phase1 for t in times]


class Registration(Method):
    """Subclasses give `field`: the displacement (3, k, j, i), in voxels, that makes moving like fixed."""

    def field(self, fixed: np.ndarray, moving: np.ndarray, spacing: Triple) -> np.ndarray:
        raise NotImplementedError

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        # elastix and ANTs smooth along every axis and give up on one of fewer than five voxels: repeat its last.
        pad = [(0, max(0, FEWEST_VOXELS - n)) for n in phase0.shape]
        flows = self.both_ways(*(np.pad(p, pad, mode="edge") for p in (phase0, phase1)), spacing or (1.0, 1.0, 1.0))
        k, j, i = phase0.shape
        flow01, flow10 = (flow[:, :k, :j, :i] for flow in flows)
        return [(1 - t) * _warp(phase0, t * flow01) + t * _warp(phase1, (1 - t) * flow10) for t in times]

    def both_ways(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Triple):
        """flow01, which samples phase 0 where phase 1 lies, and flow10."""
        return self.field(phase1, phase0, spacing), self.field(phase0, phase1, spacing)


class Demons(Registration):
    """SimpleITK: diffeomorphic demons with symmetric forces."""

    def __init__(self, smoothing: float = 6.0, iterations: int = 50) -> None:
        self.smoothing, self.iterations = smoothing, iterations

    def field(self, fixed, moving, spacing):
        import SimpleITK as sitk

        # In voxels: the slices are so few and so far apart that millimetres would smooth nothing across them.
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetStandardDeviations(self.smoothing)
        demons.SetNumberOfIterations(self.iterations)
        field = demons.Execute(*(sitk.GetImageFromArray(np.asarray(x, dtype=np.float32)) for x in (fixed, moving)))
        return _components_first(sitk.GetArrayFromImage(field))


class Elastix(Registration):
    """elastix: B-splines with its own default parameters, but for the number of scales and the grid."""

    def __init__(self, grid: float = 12.0, scales: int = 3, iterations: int = 256, metric: str = "") -> None:
        self.grid, self.scales, self.iterations, self.metric = grid, scales, iterations, metric

    def field(self, fixed, moving, spacing):
        itk = load_extra("itk", "itk-elastix")
        parameters = itk.ParameterObject.New()
        stage = parameters.GetDefaultParameterMap("bspline", self.scales, self.grid)
        stage["MaximumNumberOfIterations"] = [str(self.iterations)]
        if self.metric:
            stage["Metric"] = [self.metric, *stage["Metric"][1:]]
        # Slices are never shrunk away: only the pixels within them.
        powers = [2**s for s in reversed(range(self.scales))]
        stage["ImagePyramidSchedule"] = [str(f) for p in powers for f in (p, p, 1)]
        stage["RandomSeed"] = ["0"]
        parameters.AddParameterMap(stage)
        images = []
        for array in (fixed, moving):
            image = itk.image_from_array(np.ascontiguousarray(array, dtype=np.float32))
            image.SetSpacing([float(s) for s in reversed(spacing)])
            images.append(image)
        with TemporaryDirectory() as folder:
            _, transform = itk.elastix_registration_method(*images, parameter_object=parameters, log_to_console=False)
            field = itk.transformix_deformation_field(images[1], transform, output_directory=folder)
        return _components_first(itk.array_from_image(field)) / np.asarray(spacing).reshape(3, 1, 1, 1)


class SyN(Registration):
    """ANTs: symmetric diffeomorphic registration."""

    def __init__(self, transform: str = "SyNOnly", metric: str = "mattes", flow: float = 3.0, total: float = 1.0,
                 iterations: Sequence[int] = (40, 20, 10), step: float = 0.2, sampling: int = 32) -> None:
        self.options = {"type_of_transform": transform, "syn_metric": metric, "flow_sigma": flow, "total_sigma": total,
                        "reg_iterations": tuple(iterations), "grad_step": step, "syn_sampling": sampling}

    def both_ways(self, phase0, phase1, spacing):
        ants = load_extra("ants", "antspyx")
        images = [ants.from_numpy(np.asarray(x, dtype=np.float32), spacing=tuple(map(float, spacing)))
                  for x in (phase0, phase1)]
        fields = []
        with TemporaryDirectory() as folder:
            found = ants.registration(images[1], images[0], random_seed=0, initial_transform="Identity",
                                      outprefix=f"{folder}/", **self.options)
            for name in ("fwdtransforms", "invtransforms"):
                (warp,) = [path for path in found[name] if path.endswith("Warp.nii.gz")]
                # from_numpy read (k, j, i) as ITK's axes, so the vectors come back in that order too.
                fields.append(np.moveaxis(ants.image_read(warp).numpy(), -1, 0)
                              / np.asarray(spacing, dtype=np.float32).reshape(3, 1, 1, 1))
        return fields


def load_extra(module: str, package: str):
    """A module of the extra `peers`; UserError where it is not installed."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"This needs {package}: install the extra with pip install 'ttt4d[peers]'.") from error


def _warp(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    import torch

    from ..motion.warping import warp

    image = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    return warp(image, torch.from_numpy(np.ascontiguousarray(displacement, dtype=np.float32))[None])[0, 0].numpy()


def _components_first(field: np.ndarray) -> np.ndarray:
    """ITK's (k, j, i, xyz) as (kji, k, j, i)."""
    return np.moveaxis(np.asarray(field)[..., ::-1], -1, 0)
