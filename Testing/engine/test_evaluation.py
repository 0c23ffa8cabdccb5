import argparse
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from ttt4d.commands import evaluate as evaluate_command
from ttt4d.errors import InputError, OutputError, SettingsError
from ttt4d.evaluation import metrics, protocol
from ttt4d.evaluation.baselines import Blend, Demons, Elastix, SyN
from ttt4d.evaluation.methods import METHODS, make_method
from ttt4d.evaluation.protocol import PROTOCOLS, Method, evaluate, pair_of
from ttt4d.evaluation.shifts import SHIFTS
from ttt4d.evaluation.tables import PUBLISHED, markdown
from ttt4d.images.datasets import Case, open_data

DATA = Path(os.environ.get("TTT4D_DATA", Path(__file__).parents[3] / "shared" / "data"))


def moving_ball(frames=5, size=(6, 28, 30), travel=5.0, seed=0):
    """A bright ball on a textured ground that moves along j: (T, k, j, i), intensities far from [0, 1]."""
    k, j, i = np.indices(size)
    ground = np.random.default_rng(seed).random(size) * 20
    place = 10 + travel * np.linspace(0, 1, frames)
    return np.stack([100 + ground + 500 / (1 + np.exp(np.hypot(j - y, i - 15) - 6)) for y in place])


def case_of(frames, name="001", first=0, last=None, spacing=(10.0, 1.5, 1.5)):
    return Case(name, first, len(frames) - 1 if last is None else last, spacing, lambda: frames)


def pair(frames, name="001", **options):
    return pair_of(case_of(frames, name), PROTOCOLS["crop"], **options)


class Oracle(Method):
    """Gives the true frames of the pairs in their order, above 1 where they are 1."""

    def prepare(self, pairs):
        self.truths = [p.truth for p in pairs]

    def __call__(self, phase0, phase1, times, spacing):
        return [frame + 0.1 * (frame == 1) for frame in self.truths.pop(0)]


# -- protocol


def test_each_frame_is_scaled_by_itself_and_only_those_between_are_the_truth():
    frames = moving_ball() * np.array([1, 2, 3, 4, 5]).reshape(-1, 1, 1, 1)
    made = pair(frames)
    assert made.truth.shape[0] == len(made.times) == 3
    assert made.times == pytest.approx((0.25, 0.5, 0.75))
    for frame in (made.phase0, made.phase1, *made.truth):
        assert (frame.min(), frame.max()) == (0, 1) and frame.dtype == np.float32


def test_the_papers_cardiac_grid_is_cut_and_padded_about_the_centre_before_scaling():
    frames = np.full((2, 10, 150, 100), 300.0)
    frames[:, :, 11:139] = 500
    fitted = PROTOCOLS["acdc-paper"].fit(frames)
    assert fitted.shape == (2, 32, 128, 128)
    assert (fitted[:, 11:21, :, 14:114] == 500).all(), "the middle is not in the middle"
    assert fitted.sum() == 2 * 10 * 128 * 100 * 500, "what was added is not zero"


def test_means_are_over_frames_and_not_over_cases():
    pairs = [pair(moving_ball(frames=4), "001"), pair(moving_ball(frames=9, travel=9), "002")]
    report = evaluate(pairs, {"blend": Blend()})
    figures = [db for case in report["cases"] for _, db in case["methods"]["blend"]["curve"]]
    assert report["frames"] == len(figures) == 9
    row = report["methods"]["blend"]
    assert row["psnr"] == pytest.approx(np.mean(figures))
    assert row["psnr_se"] == pytest.approx(np.std(figures, ddof=1) / 3)
    assert row["psnr"] != pytest.approx(np.mean([c["methods"]["blend"]["psnr"] for c in report["cases"]]), abs=1e-3)


def test_the_figures_of_a_case_are_those_of_its_frames():
    made = pair(moving_ball())
    report = evaluate([made], {"blend": Blend()})
    middle = 0.5 * (made.phase0 + made.phase1)
    (t, db) = report["cases"][0]["methods"]["blend"]["curve"][1]
    assert t == 0.5 and db == pytest.approx(metrics.psnr(made.truth[1], middle), abs=1e-4)
    assert report["cases"][0]["methods"]["blend"]["ncc"] == report["methods"]["blend"]["ncc"]


def test_what_lies_outside_zero_and_one_is_cut_off_for_every_method():
    report = evaluate([pair(moving_ball())], {"truth": Oracle()})
    assert report["methods"]["truth"]["psnr"] == metrics.HIGHEST_PSNR


def test_methods_see_the_cohort_before_the_first_case():
    pairs = [pair(moving_ball(), "001"), pair(moving_ball(seed=1), "002")]
    report = evaluate(pairs, {"truth": Oracle()})
    assert [c["methods"]["truth"]["nmse"] for c in report["cases"]] == [0, 0]


def test_a_method_that_gives_too_few_frames_is_an_error():
    class Short(Method):
        def __call__(self, phase0, phase1, times, spacing):
            return [phase0]

    with pytest.raises(ValueError, match="1 frames for 3 times"):
        evaluate([pair(moving_ball())], {"short": Short()})


def test_the_curve_gathers_psnr_by_tenths_of_the_way():
    report = evaluate([pair(moving_ball(frames=5))], {"blend": Blend()})
    assert [t for t, _ in report["methods"]["blend"]["curve"]] == pytest.approx([0.25, 0.55, 0.75])


# -- shifts


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_is_repeatable_and_changes_what_is_shown(name):
    frames = moving_ball()
    once, again = (pair(frames, shift=SHIFTS[name], shift_name=name) for _ in range(2))
    assert np.array_equal(once.phase0, again.phase0) and np.array_equal(once.truth, again.truth)
    plain = pair(frames)
    assert once.phase0.shape != plain.phase0.shape or np.abs(once.phase0 - plain.phase0).mean() > 0.005
    assert once.phase0.min() == 0 and once.phase0.max() == 1


@pytest.mark.parametrize("name", ["bias-field", "noise"])
def test_each_case_has_its_own_random_shift(name):
    frames = moving_ball()
    one, other = (pair(frames, case, shift=SHIFTS[name], shift_name=name) for case in ("001", "002"))
    assert np.abs(one.phase0 - other.phase0).mean() > 0.005


def test_noise_is_drawn_for_each_frame_and_the_truth_stays_clean():
    still = np.stack([moving_ball(frames=2)[0]] * 4)
    noisy = pair(still, shift=SHIFTS["noise"], shift_name="noise")
    assert not np.array_equal(noisy.phase0, noisy.phase1)
    assert np.array_equal(noisy.truth, pair(still).truth)


@pytest.mark.parametrize("name", sorted(set(SHIFTS) - {"noise"}))
def test_phases_and_truth_go_through_the_same_scanner(name):
    still = np.stack([moving_ball(frames=2)[0]] * 4)
    shown = pair(still, shift=SHIFTS[name], shift_name=name)
    assert np.array_equal(shown.phase0, shown.truth[0]) and np.array_equal(shown.phase1, shown.truth[1])


def test_thick_slices_are_means_of_two_and_their_spacing_is_known():
    frames = moving_ball(size=(7, 28, 30))
    shown = pair(frames, shift=SHIFTS["thick-slices"], shift_name="thick-slices")
    assert shown.phase0.shape == (3, 28, 30) and shown.spacing == (20.0, 1.5, 1.5)
    unknown = pair_of(case_of(frames, spacing=None), PROTOCOLS["crop"], SHIFTS["thick-slices"], "thick-slices")
    assert unknown.spacing is None


# -- peers


# SyN without the smoothing of its whole field, which small hearts want and which holds this large motion back.
@pytest.mark.parametrize("peer,needs", [
    (Demons(), "SimpleITK"), (Elastix(iterations=30), "itk"), (SyN(total=0.0), "ants")])
def test_a_registration_peer_follows_a_motion_that_blending_cannot(peer, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    report = evaluate([pair(moving_ball(frames=3))], {"blend": Blend(), "peer": peer})
    gain = report["methods"]["peer"]["psnr"] - report["methods"]["blend"]["psnr"]
    assert gain > 1, f"it gains {gain:.2f} dB"


@pytest.mark.parametrize("peer,needs", [(Elastix(iterations=5), "itk"), (SyN(), "ants")])
def test_a_registration_peer_manages_two_slices(peer, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    report = evaluate([pair(moving_ball(frames=3, size=(2, 28, 30)))], {"peer": peer})
    assert np.isfinite(report["methods"]["peer"]["psnr"])


# -- the command


def run(*words):
    parser = argparse.ArgumentParser()
    evaluate_command.add_arguments(parser)
    return evaluate_command.run(parser.parse_args(words))


def write_acdc(folder, number, frames):
    sitk = pytest.importorskip("SimpleITK")
    patient = folder / f"patient{number}"
    patient.mkdir()
    (patient / "Info.cfg").write_text(f"ED: 1\nES: {len(frames)}\n")
    image = sitk.GetImageFromArray(frames.astype(np.float32), isVector=False)
    image.SetSpacing((1.5, 1.5, 10, 1))
    sitk.WriteImage(image, str(patient / f"patient{number}_4d.nii.gz"))


def test_evaluate_prints_tables_and_writes_every_figure(tmp_path, capsys):
    for number in ("001", "002"):
        write_acdc(tmp_path, number, moving_ball(seed=int(number)))
    (tmp_path / "index.csv").write_text("patient,split,spacing_known\n001,validation,no\n002,validation,no\n")
    out = tmp_path / "figures.json"
    assert run("--data", str(tmp_path), "--methods", "blend", "--shifts", "--json", str(out)) == 0
    report = json.loads(out.read_text())
    assert report["protocol"] == "crop" and [case["name"] for case in report["cases"]] == ["001", "002"]
    assert set(report["methods"]["blend"]) >= {"psnr", "psnr_se", "ncc", "ncc_se", "ssim", "ssim_se", "nmse", "nmse_se",
                                               "seconds"}
    assert set(report["shifts"]) == set(SHIFTS)
    printed = capsys.readouterr().out
    assert "NOT comparable" in printed and "33.73" in printed and f"{report['methods']['blend']['psnr']:.2f}" in printed


def test_the_table_is_printed_though_a_file_fails(tmp_path, capsys, monkeypatch):
    write_acdc(tmp_path, "001", moving_ball())
    monkeypatch.setattr(Path, "write_text", lambda path, text: Path(path, "under a file").write_bytes(b""))
    with pytest.raises(OutputError, match="'figures.json' cannot be written"):
        run("--data", str(tmp_path), "--cases", "001", "--methods", "blend", "--json", str(tmp_path / "figures.json"))
    assert "blend" in capsys.readouterr().out


def test_an_hour_of_measuring_is_not_begun_in_vain(tmp_path):
    write_acdc(tmp_path, "001", moving_ball())
    arguments = ["--data", str(tmp_path), "--cases", "001", "--methods", "blend"]
    with pytest.raises(OutputError, match="is a folder"):
        run(*arguments, "--json", str(tmp_path))
    with pytest.raises(SettingsError, match="two or more"):
        run(*arguments, "--figure", str(tmp_path / "figure.png"))
    info = tmp_path / "patient001" / "Info.cfg"
    info.write_text(re.sub(r"ES: \d+", "ES: 2", info.read_text()))
    with pytest.raises(InputError, match="no frame between"):
        run(*arguments)


def test_evaluate_measures_the_named_cases_alone(tmp_path):
    for number in ("001", "002"):
        write_acdc(tmp_path, number, moving_ball())
    out = tmp_path / "figures.json"
    assert run("--data", str(tmp_path), "--cases", "002,002", "--methods", "blend", "--json", str(out)) == 0
    assert [case["name"] for case in json.loads(out.read_text())["cases"]] == ["002"]


def test_evaluate_refuses_what_it_does_not_know(tmp_path):
    write_acdc(tmp_path, "001", moving_ball())
    with pytest.raises(SettingsError, match="Unknown method 'blnd'.*blend"):
        run("--data", str(tmp_path), "--cases", "001", "--methods", "blnd")
    with pytest.raises(InputError, match="no case '099'"):
        run("--data", str(tmp_path), "--cases", "099")
    with pytest.raises(OutputError, match="does not exist"):
        run("--data", str(tmp_path), "--json", str(tmp_path / "nowhere" / "figures.json"))
    with pytest.raises(OutputError, match="figure.xyz ends in none of .png"):
        run("--data", str(tmp_path), "--figure", str(tmp_path / "figure.xyz"))
    with pytest.raises(SettingsError, match="--uvinet"):
        make_method("uvinet")


def test_published_rows_are_called_comparable_only_under_their_own_protocol():
    report = {**evaluate([pair(moving_ball())], {"blend": Blend()}), "protocol": "acdc-paper"}
    assert "same protocol" in markdown(report)
    assert "NOT comparable" in markdown({**report, "protocol": "crop"})
    assert {len(row) for rows in PUBLISHED.values() for row in rows.values()} == {len(metrics.METRICS)}


def test_every_scheme_of_every_task_can_be_measured_by_name():
    assert {"base", "default", "rotation-online", "reconstruction-naive", "rotation-mini-batch"} <= set(METHODS)
    assert {protocol.PROTOCOLS[p].comparable for p in protocol.PROTOCOLS} == {"", "cardiac", "lung"}


# -- real data


@pytest.mark.skipif(not (DATA / "acdc").is_dir(), reason="real data are absent: set TTT4D_DATA to their folder")
def test_plain_blending_of_a_real_heart_has_the_known_figures():
    (case,) = open_data(DATA).cases(["017"])
    row = evaluate([pair_of(case, PROTOCOLS["crop"])], {"blend": Blend()})["methods"]["blend"]
    assert row["psnr"] == pytest.approx(29.34, abs=0.01)


def test_the_figure_shows_gains_over_the_first_method_by_time():
    from ttt4d.evaluation.figure import gains_over_time

    def case(*curve):
        return {"methods": {"blend": {"curve": [[t, p] for t, p, _ in curve]},
                            "base": {"curve": [[t, p] for t, _, p in curve]}}}

    report = {"methods": {"blend": {}, "base": {}}, "cases": [case((0.1, 30, 31), (0.9, 28, 28)), case((0.12, 20, 23))]}
    assert gains_over_time(report) == ([0.0625, 0.9375], {"base": [2.0, 0.0]})
