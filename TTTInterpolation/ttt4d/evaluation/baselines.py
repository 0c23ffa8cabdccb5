"""Registration methods as interpolators, for comparison; most need the optional extra `peers`.

Each method estimates the motion between the two phases in both directions. The fields are scaled in time and the two
warped phases are blended: flow0t = t flow01, flow1t = (1 - t) flow10, frame = (1 - t) warp(phase0, flow0t) +
t warp(phase1, flow1t). The settings were chosen on training cases for the highest PSNR of the frames between.
"""

from __future__ import annotations

import io
from importlib import import_module
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from ..images.volume import Triple
from .protocol import Method


class Blend(Method):
    """Blend the two phases linearly, which needs no method at all."""

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        """Blend linearly in time."""
        return [(1 - t) * phase0 + t * phase1 for t in times]

    def displacement(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Optional[Triple]) -> np.ndarray:
        """Leave everything where it is; see `Method.displacement`."""
        return np.zeros((*phase0.shape, 3), np.float32)


class Registration(Method):
    """Interpolate by registration. A subclass defines `field`, or `both_ways` if it finds both fields at once.

    Attributes
    ----------
    fewest_voxels : int
        Axes with fewer voxels are padded to this length: the libraries smooth along every axis and refuse short ones.
    """

    fewest_voxels = 5

    def field(self, fixed: np.ndarray, moving: np.ndarray, spacing: Triple) -> np.ndarray:
        """Return the displacement that makes `moving` look like `fixed`.

        Parameters
        ----------
        fixed, moving : ndarray of shape (k, j, i)
            Intensities in [0, 1].
        spacing : tuple of float
            Voxel spacing in mm along (k, j, i); ones if it is unknown.

        Returns
        -------
        ndarray of shape (3, k, j, i)
            Displacements in voxels, components in the order (k, j, i), from each voxel of `fixed` to the position in
            `moving` that shows the same tissue.
        """
        raise NotImplementedError

    def both_ways(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Triple) -> Tuple[np.ndarray, np.ndarray]:
        """Return flow01, from the grid of phase 1 into phase 0, and flow10, the other way; see `field`."""
        return self.field(phase1, phase0, spacing), self.field(phase0, phase1, spacing)

    def __call__(self, phase0: np.ndarray, phase1: np.ndarray, times: Sequence[float],
                 spacing: Optional[Triple]) -> Sequence[np.ndarray]:
        """Register the phases, warp both to each time and blend them."""
        flow01, flow10 = self._flows(phase0, phase1, spacing)
        return [(1 - t) * _warp(phase0, t * flow01) + t * _warp(phase1, (1 - t) * flow10) for t in times]

    def displacement(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Optional[Triple]) -> np.ndarray:
        """Register the phases; see `Method.displacement`."""
        return np.moveaxis(self._flows(phase0, phase1, spacing)[0], 0, -1)

    def _flows(self, phase0: np.ndarray, phase1: np.ndarray,
               spacing: Optional[Triple]) -> Tuple[np.ndarray, np.ndarray]:
        pad = [(0, max(0, self.fewest_voxels - n)) for n in phase0.shape]
        padded0, padded1 = (np.pad(phase, pad, mode="edge") for phase in (phase0, phase1))
        flows = self.both_ways(padded0, padded1, spacing or (1.0, 1.0, 1.0))
        k, j, i = phase0.shape
        return flows[0][:, :k, :j, :i], flows[1][:, :k, :j, :i]


class Demons(Registration):
    """Diffeomorphic demons with symmetric forces [1]_, by SimpleITK.

    Parameters
    ----------
    smoothing : float
        Standard deviation of the field's smoothing in voxels.
    iterations : int
        Iterations at full resolution.

    References
    ----------
    .. [1] Vercauteren et al., "Diffeomorphic demons: efficient non-parametric image registration", NeuroImage 45(1),
       2009, doi:10.1016/j.neuroimage.2008.10.040.
    """

    def __init__(self, smoothing: float = 6.0, iterations: int = 50) -> None:
        self.smoothing, self.iterations = smoothing, iterations

    def field(self, fixed: np.ndarray, moving: np.ndarray, spacing: Triple) -> np.ndarray:
        """Register by demons; see `Registration.field`."""
        import SimpleITK as sitk

        # In voxels: the slices are so few and so far apart that millimetres would smooth nothing across them.
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetStandardDeviations(self.smoothing)
        demons.SetNumberOfIterations(self.iterations)
        field = demons.Execute(*(sitk.GetImageFromArray(np.asarray(x, dtype=np.float32)) for x in (fixed, moving)))
        return _components_first(sitk.GetArrayFromImage(field))


class Elastix(Registration):
    """B-spline registration with the default parameters of elastix [1]_, but for the number of scales and the grid.

    Parameters
    ----------
    grid : float
        Distance of the control points in mm.
    scales : int
        Levels of the image pyramid.
    iterations : int
        Most iterations of a level.
    metric : str
        Another image metric than the default one; empty for the default.

    References
    ----------
    .. [1] Klein et al., "elastix: a toolbox for intensity-based medical image registration", IEEE Transactions on
       Medical Imaging 29(1), 2010, doi:10.1109/TMI.2009.2035616.
    """

    def __init__(self, grid: float = 12.0, scales: int = 3, iterations: int = 256, metric: str = "") -> None:
        self.grid, self.scales, self.iterations, self.metric = grid, scales, iterations, metric

    def field(self, fixed: np.ndarray, moving: np.ndarray, spacing: Triple) -> np.ndarray:
        """Register by elastix; see `Registration.field`."""
        itk = load_extra("itk", "itk-elastix")
        parameters = itk.ParameterObject.New()
        stage = parameters.GetDefaultParameterMap("bspline", self.scales, self.grid)
        stage["MaximumNumberOfIterations"] = [str(self.iterations)]
        if self.metric:
            stage["Metric"] = [self.metric, *stage["Metric"][1:]]
        # The pyramid shrinks the pixels within the slices, never the few slices.
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
        return _in_voxels(_components_first(itk.array_from_image(field)), spacing)


class SyN(Registration):
    """Symmetric diffeomorphic registration [1]_, by ANTs. The parameters are those of `ants.registration`.

    References
    ----------
    .. [1] Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", Medical Image Analysis
       12(1), 2008, doi:10.1016/j.media.2007.06.004.
    """

    def __init__(self, transform: str = "SyNOnly", metric: str = "mattes", flow: float = 3.0, total: float = 1.0,
                 iterations: Sequence[int] = (40, 20, 10), step: float = 0.2, sampling: int = 32) -> None:
        self.options = {"type_of_transform": transform, "syn_metric": metric, "flow_sigma": flow, "total_sigma": total,
                        "reg_iterations": tuple(iterations), "grad_step": step, "syn_sampling": sampling}

    def both_ways(self, phase0: np.ndarray, phase1: np.ndarray, spacing: Triple) -> Tuple[np.ndarray, np.ndarray]:
        """Register by SyN, which finds both fields at once; see `Registration.both_ways`."""
        ants = load_extra("ants", "antspyx")
        moving, fixed = (ants.from_numpy(np.asarray(x, dtype=np.float32), spacing=tuple(map(float, spacing)))
                         for x in (phase0, phase1))
        with TemporaryDirectory() as folder:
            found = ants.registration(fixed, moving, random_seed=0, initial_transform="Identity",
                                      outprefix=f"{folder}/", **self.options)

            def field(transforms: str) -> np.ndarray:
                (warp,) = [path for path in found[transforms] if path.endswith("Warp.nii.gz")]
                # from_numpy took (k, j, i) as the axes of ITK, so the vectors come back in that order too.
                return _in_voxels(np.moveaxis(ants.image_read(warp).numpy(), -1, 0), spacing)

            return field("fwdtransforms"), field("invtransforms")


class Greedy(Registration):
    """Greedy diffeomorphic registration of the Penn Image Computing and Science Laboratory [1]_.

    Parameters
    ----------
    options : str
        Options of the program `greedy`: the metric, the iterations of each level, and the smoothing.

    References
    ----------
    .. [1] Yushkevich et al., "Fast automatic segmentation of hippocampal subfields and medial temporal lobe subregions
       in 3 Tesla and 7 Tesla T2-weighted MRI", Alzheimer's & Dementia 12(7), 2016, doi:10.1016/j.jalz.2016.06.205.
    """

    # It halves every axis at the coarser of its two levels and needs four voxels there.
    fewest_voxels = 8

    def __init__(self, options: str = "-m NCC 2x2x1 -n 100x50 -s 2vox 1vox") -> None:
        self.options = options

    def field(self, fixed: np.ndarray, moving: np.ndarray, spacing: Triple) -> np.ndarray:
        """Register by greedy; see `Registration.field`."""
        import SimpleITK as sitk

        images = []
        for array in (fixed, moving):
            images.append(sitk.GetImageFromArray(np.asarray(array, dtype=np.float32)))
            images[-1].SetSpacing([float(s) for s in reversed(spacing)])
        greedy, printed = load_extra("picsl_greedy", "picsl-greedy").Greedy3D(), io.StringIO()
        greedy.execute(f"{self.options} -V 0 -i fixed moving -o field", fixed=images[0], moving=images[1], field=None,
                       out=printed, err=printed)
        return _in_voxels(_components_first(sitk.GetArrayFromImage(greedy["field"])), spacing)


def load_extra(module: str, package: str) -> ModuleType:
    """Import a module of the extra `peers`. Raises UserError if it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"This needs {package}: install the extra with pip install 'ttt4d[peers]'.") from error


def _warp(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    import torch

    from ..motion.warping import warp

    tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    return warp(tensor, torch.from_numpy(np.ascontiguousarray(displacement, dtype=np.float32))[None])[0, 0].numpy()


def _components_first(field: np.ndarray) -> np.ndarray:
    """Turn a field of ITK (k, j, i, xyz) into (kji, k, j, i)."""
    return np.moveaxis(np.asarray(field)[..., ::-1], -1, 0)


def _in_voxels(field: np.ndarray, spacing: Triple) -> np.ndarray:
    """Turn a field (kji, k, j, i) in mm into one in voxels."""
    return field / np.asarray(spacing, dtype=np.float32).reshape(3, 1, 1, 1)
