import numpy as np
import pytest

from ttt4d.evaluation import metrics


def pair(size, seed=0):
    rng = np.random.default_rng(seed)
    k, j, i = np.indices(size)
    truth = 0.5 + 0.3 * np.sin(0.5 * j + 0.2 * k) * np.cos(0.4 * i) + 0.05 * rng.standard_normal(size)
    frame = np.clip(truth + 0.08 * rng.standard_normal(size), 0, 1)
    return np.clip(truth, 0, 1).astype(np.float32), frame.astype(np.float32)


@pytest.mark.parametrize("size", [(5, 40, 38), (24, 23, 22)])
def test_psnr_and_nmse_agree_with_scikit_image(size):
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    truth, frame = (x.astype(float) for x in pair(size))
    assert metrics.psnr(truth, frame) == pytest.approx(skimage.peak_signal_noise_ratio(truth, frame, data_range=1))
    root = skimage.normalized_root_mse(truth, frame, normalization="euclidean")
    assert metrics.nmse(truth, frame) == pytest.approx(100 * root**2)


def test_psnr_of_equal_frames_is_the_highest_figure_there_is():
    truth, _ = pair((5, 9, 8))
    assert metrics.psnr(truth, truth) == metrics.HIGHEST_PSNR
    assert metrics.nmse(truth, truth) == 0


@pytest.mark.parametrize("size", [(5, 40, 38), (24, 23, 22)])
def test_ncc_agrees_with_monai_where_there_is_contrast_and_on_thin_volumes(size):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")
    truth, frame = pair(size)
    loss = losses.LocalNormalizedCrossCorrelationLoss(kernel_size=metrics.NCC_WINDOW)
    a, b = (torch.from_numpy(x.astype(float))[None, None] for x in (frame, truth))
    assert metrics.ncc(truth, frame) == pytest.approx(-float(loss(a, b)), rel=1e-4)


def test_ncc_counts_windows_without_contrast_as_nothing():
    flat = np.zeros((10, 30, 30), np.float32)
    assert metrics.ncc(flat, flat) == 0
    flat[:, :8, :8] = np.random.default_rng(0).random((10, 8, 8))
    assert 0 < metrics.ncc(flat, flat) < 0.5


@pytest.mark.parametrize("size", [(5, 40, 38), (24, 23, 22)])
def test_ssim_agrees_with_monai_on_volumes_with_a_border_of_zeros(size):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    regression = pytest.importorskip("monai.metrics.regression", reason="MONAI is not installed")
    truth, frame = pair(size)
    a, b = (torch.from_numpy(np.pad(x, metrics.SSIM_WINDOW // 2))[None, None] for x in (frame, truth))
    theirs, _ = regression.compute_ssim_and_cs(
        a, b, spatial_dims=3, data_range=1.0, kernel_type="gaussian", kernel_size=[metrics.SSIM_WINDOW] * 3,
        kernel_sigma=[metrics.SSIM_SIGMA] * 3)
    assert metrics.ssim(truth, frame) == pytest.approx(float(theirs.mean()), abs=1e-5)


def test_ssim_agrees_with_scikit_image_away_from_the_border():
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    truth, frame = (np.pad(x.astype(float), 12) for x in pair((10, 11, 12)))
    _, everywhere = skimage.structural_similarity(
        truth, frame, data_range=1, gaussian_weights=True, sigma=metrics.SSIM_SIGMA, use_sample_covariance=False,
        full=True)
    assert metrics.ssim(truth, frame) == pytest.approx(float(everywhere.mean()), abs=1e-9)


@pytest.mark.parametrize("metric,better", [("psnr", 1), ("ncc", 1), ("ssim", 1), ("nmse", -1)])
def test_every_figure_prefers_the_frame_with_less_noise(metric, better):
    truth, frame = pair((7, 30, 31))
    nearer = (truth + frame) / 2
    figure = metrics.METRICS[metric]
    assert better * figure(truth, nearer) > better * figure(truth, frame)


def test_frames_of_different_size_are_not_compared():
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.psnr(np.zeros((5, 4, 3)), np.zeros((5, 4, 1)))
