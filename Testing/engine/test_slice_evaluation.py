"""`ttt4d evaluate --axis slices`: problems whose answer is known, measured and shown."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from ttt4d.commands import cli
from ttt4d.evaluation import slice_protocol, slice_tables
from ttt4d.through_plane import classical


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two volumes of one kind with thin slices, and their index."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    for name in ("mr-body-1", "mr-body-2"):
        image = sitk.GetImageFromArray(rng.random((21, 20, 18)).astype(np.float32))
        smooth = sitk.GetArrayFromImage(sitk.DiscreteGaussian(image, 4.0))
        nibabel.save(nibabel.Nifti1Image((1000 * (smooth - smooth.min())).T.astype(np.int16), np.eye(4)),
                     folder / f"{name}.nii.gz")
    rows = ["name,split,kind"] + [f"{name},validation,mr" for name in ("mr-body-1", "mr-body-2")]
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def evaluate(data, *arguments):
    return cli.run(["evaluate", "--axis", "slices", "--data", str(data), "--device", "cpu", *arguments])


def test_the_table_has_a_row_for_each_method_and_says_what_gains_are_over(data, slice_weights, tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert evaluate(data, "--problems", "gap-2,thick-4", "--methods", "pchip,none", "--weights", str(slice_weights),
                    "--json", str(file)) == 0
    table = capsys.readouterr().out
    assert "gap-2; gains are over the best of linear, pchip, B-spline and Lanczos" in table and "thick-4;" in table
    assert table.count("| mr-body | 2      | pchip") == 2 and table.count("| none ") == 2
    figures = json.loads(file.read_text())["figures"]
    assert len(figures) == 2 * 2 * 2 and all(row["gain"] <= 1e-6 for row in figures if row["method"] == "pchip")


def test_the_figure_shows_one_cut_of_the_first_volume(data, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    figure = tmp_path / "cut.png"
    assert evaluate(data, "--problems", "gap-2", "--methods", "pchip,linear", "--figure", str(figure)) == 0
    assert figure.stat().st_size > 5000


def test_the_psnr_is_that_of_an_independent_program(data):
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    (name, case), *_ = slice_protocol.cases(data, "gap-2")
    row = next(slice_protocol.evaluate([(name, case)], "gap-2", [("linear", lambda problems: (
        classical.linear(p.acquired, p.positions) for p in problems))], with_ssim=False))
    result = classical.linear(case.acquired, case.positions)[1::2].numpy()
    judge = skimage.peak_signal_noise_ratio(case.truth[1::2].numpy(), result, data_range=1)
    assert row.psnr == pytest.approx(judge, abs=1e-3)


def test_a_table_tells_mean_and_spread(data):
    rows = [slice_protocol.SliceFigures("mr-1", "mr", "gap-2", "none", psnr, 30.0, 0.9, gain, 0.01, 1.0)
            for psnr, gain in ((30.0, 1.0), (32.0, 2.0))]
    assert "31.00 +- 1.00" in slice_tables.markdown(rows) and "+1.50 +- 0.50" in slice_tables.markdown(rows)


def test_a_stack_of_a_patient_who_has_moved_is_compared_where_it_fits(tmp_path, capsys):
    rng = np.random.default_rng(1)
    fine = sitk.DiscreteGaussian(sitk.GetImageFromArray(rng.random((48, 48, 48)).astype(np.float32)), 3.0)
    body = 1000 * sitk.GetArrayFromImage(fine).T  # (i, j, k) at 1 mm
    thin = (slice(None), slice(None), slice(2, None, 4))
    thick = body.reshape(48, 12, 4, 48).mean(2).transpose(0, 2, 1)  # (i, k, j), each a mean over 4 mm
    axial, coronal = np.diag([1.0, 1, 4, 1]), np.array([[1.0, 0, 0, 0], [0, 0, 4, 1.5], [0, 1, 0, 0], [0, 0, 0, 1]])
    axial[2, 3], coronal[2, 3] = 2.0, 1.6  # the coronal stack is told 1.6 mm too high
    for name, array, affine in (("mr-body-tra", body[thin], axial), ("mr-body-cor", thick, coronal)):
        nibabel.save(nibabel.Nifti1Image(array.astype(np.float32), affine), tmp_path / f"{name}.nii.gz")
    (tmp_path / "index.csv").write_text("name,split,kind\nmr-body-tra,views,mr\nmr-body-cor,views,mr\n")
    file = tmp_path / "views.json"
    assert evaluate(tmp_path, "--problems", "views", "--methods", "linear", "--json", str(file)) == 0
    row, *_others = json.loads(file.read_text())["views"]
    assert np.allclose(row["moved_mm"], (0, 0, -1.6), atol=0.5) and row["ncc_aligned"] > row["ncc"] + 0.02
    assert f"{row['ncc_aligned']:.4f} when moved by" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, words", [
    (["--problems", "gap-3"], "gap-2"), (["--methods", "magic"], "pchip"), (["--cases", "nobody"], "no volume"),
    (["--problems", "views"], "crossing views"), (["--labels"], "phases only")])
def test_what_cannot_be_measured_is_refused_with_one_sentence(arguments, words, data, capsys):
    assert evaluate(data, "--methods", "linear", *arguments) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_a_folder_without_an_index_is_refused(tmp_path, capsys):
    assert evaluate(tmp_path, "--methods", "linear") == 2
    assert "index.csv" in capsys.readouterr().err
