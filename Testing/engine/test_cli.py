"""What the command line makes of good input: the outputs, the report, the preview, and nothing after an interrupt."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from shell import PATIENCE, SMALL, files_in, until
from ttt4d.commands import cli
from ttt4d.commands.job import Job
from ttt4d.commands.progress_bar import ProgressBar
from ttt4d.commands.request import Request
from ttt4d.errors import Cancelled
from ttt4d.images import readers
from ttt4d.images.preview import ACQUIRED, EDGE, SYNTHETIC
from ttt4d.images.readers import read_sequence, read_volume
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry, Volume
from ttt4d.images.writers import open_writer
from ttt4d.progress import Progress
from ttt4d.settings import AdaptationSettings, InterpolationSettings
from ttt4d.temporal.phantom import beating_heart

QUICK = ["--iterations", "1", "--frames", "2"]


@pytest.fixture(autouse=True)
def in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def interpolate(small_weights):
    def run(*arguments: str) -> None:
        assert cli.run(["interpolate", *arguments, "--weights", small_weights]) == 0
    return run


@pytest.mark.parametrize("output", ["out.seq.nrrd", "out.nii.gz", "out.nii", "out"])
def test_every_output_holds_the_phases_unchanged_and_the_frames_between_them_on_their_grid(output, pair, interpolate):
    interpolate(*pair, "-o", output, *QUICK)
    given = [read_volume(path) for path in pair]
    frames = read_sequence(output).phases
    assert len(frames) == 4
    for frame in frames:
        assert frame.array.dtype == given[0].array.dtype
        assert not frame.geometry.differences(given[0].geometry)
    np.testing.assert_array_equal(frames[0].array, given[0].array)
    np.testing.assert_array_equal(frames[-1].array, given[1].array)
    assert not any(np.array_equal(frame.array, phase.array) for frame in frames[1:-1] for phase in given)


def test_the_index_of_a_seq_nrrd_is_in_percent_at_the_times_asked_for(pair, interpolate):
    interpolate(*pair, "-o", "out.seq.nrrd", "--iterations", "1", "--times", "0.25", "0.6")
    sequence = read_sequence("out.seq.nrrd")
    assert (sequence.index, sequence.index_name, sequence.index_unit) == ((0, 25, 60, 100), "phase", "%")


@pytest.mark.parametrize("cyclic, index", [([], (0, 25, 50, 75, 100)),
                                           (["--cyclic"], (0, 100 / 6, 200 / 6, 50, 400 / 6, 500 / 6))])
def test_a_sequence_gets_frames_between_its_phases_and_a_cycle_also_after_its_last(cyclic, index, interpolate):
    phases = beating_heart((0, 0.5, 1), SMALL)[0]
    sitk.WriteImage(sitk.JoinSeries([to_sitk(phase) for phase in phases]), "cine.nii.gz")
    interpolate("cine.nii.gz", "-o", "out.seq.nrrd", "--iterations", "1", "--frames-between", "1", *cyclic)
    result = read_sequence("out.seq.nrrd")
    np.testing.assert_allclose(result.index, index, atol=1e-3)
    for phase, frame in zip(phases, result.phases[::2]):
        np.testing.assert_array_equal(frame.array, phase.array)


@pytest.mark.parametrize("cyclic, index", [([], (0, 5, 10, 55, 100)),
                                           (["--cyclic"], (0, 10 / 3, 20 / 3, 110 / 3, 200 / 3, 250 / 3))])
def test_a_phase_keeps_its_place_in_time_where_a_sequence_tells_it(cyclic, index, interpolate):
    with open_writer("cine.seq.nrrd", SMALL, np.int16, (30, 40, 130), [True] * 3, {}) as writer:
        for number, phase in enumerate(beating_heart((0, 0.1, 1), SMALL)[0]):
            writer.write(number, phase.array)
    interpolate("cine.seq.nrrd", "-o", "out.seq.nrrd", "--iterations", "1", "--frames", "1", "--report", "r.json",
                *cyclic)
    np.testing.assert_allclose(read_sequence("out.seq.nrrd").index, index, atol=1e-3)
    with open("r.json") as file:
        np.testing.assert_allclose([frame["index"] for frame in json.load(file)["frames"]], index)


@pytest.mark.parametrize("size", [(1, 24, 20), (24, 1, 20), (24, 20, 1)])
def test_a_single_slice_is_interpolated_along_whichever_axis_it_is_stored(size, interpolate):
    for number in (0, 1):
        values = np.random.default_rng(number).integers(0, 400, size, np.int16)
        sitk.WriteImage(to_sitk(Volume(values, Geometry(size, (2.0, 2.0, 2.0)))), f"{number}.nii.gz")
    interpolate("0.nii.gz", "1.nii.gz", "-o", "out.nii.gz", *QUICK, "--displacements", "motion", "--preview", "p.png")
    assert [phase.array.shape for phase in read_sequence("out.nii.gz").phases] == [size] * 4


def test_the_same_seed_gives_the_same_frames_bit_for_bit(pair, interpolate):
    for output in ("one", "two"):
        interpolate(*pair, "-o", output, *QUICK, "--seed", "7")
    for one, two in zip(read_sequence("one").phases, read_sequence("two").phases):
        np.testing.assert_array_equal(one.array, two.array)


def test_the_report_says_what_was_done_with_what_and_how_long_it_took(pair, interpolate, small_weights):
    interpolate(*pair, "-o", "out.seq.nrrd", "--report", "report.json", "--iterations", "3", "--frames", "2",
                "--auxiliary", "rotation", "--scheme", "naive", "--seed", "5")
    with open("report.json") as file:
        report = json.load(file)
    settings = report["settings"]
    assert (settings["seed"], settings["frames"]) == (5, 2)
    assert settings["weights"] == os.path.basename(small_weights), "a folder may name a person"
    assert (settings["adaptation"]["auxiliary"], settings["adaptation"]["scheme"]) == ("rotation", "naive")
    assert len(report["weights"]["sha256"]) == 64 and report["weights"]["date"]
    assert report["device"] == "cpu"
    assert {"ttt4d", "python", "torch", "numpy", "SimpleITK"} <= set(report["versions"])
    assert {"reading", "adaptation", "interpolation", "writing"} <= set(report["seconds"])
    assert all(seconds >= 0 for seconds in report["seconds"].values()) and report["seconds"]["adaptation"] > 0
    assert 50 < report["peak_memory_mib"] < 100000 and report["peak_gpu_memory_mib"] is None
    assert len(report["canvas"]) == 3
    assert [len(batch["losses"]) for batch in report["adaptation"]] == [3]
    assert [frame["acquired"] for frame in report["frames"]] == [True, False, False, True]
    assert report["not_for_clinical_use"] is True
    assert report["date"][:2] == "20"


def test_the_header_of_the_result_keeps_where_it_comes_from(pair, interpolate):
    interpolate(*pair, "-o", "out.seq.nrrd", *QUICK, "--seed", "3")
    reader = sitk.ImageFileReader()
    reader.SetFileName("out.seq.nrrd")
    reader.ReadImageInformation()
    assert reader.GetMetaData("ttt4d.seed") == "3"
    assert json.loads(reader.GetMetaData("ttt4d.settings"))["frames"] == 2
    assert len(reader.GetMetaData("ttt4d.weights.sha256")) == 64
    assert "Not for clinical use" in reader.GetMetaData("ttt4d.notice")


def test_displacements_are_one_vector_image_a_frame_in_mm_and_lead_to_the_phase_before_it(pair, interpolate):
    interpolate(*pair, "-o", "out.seq.nrrd", *QUICK, "--auxiliary", "none", "--displacements", "motion")
    assert files_in("motion") == [f"displacement_{n:03d}.nrrd" for n in range(4)]
    fields = [sitk.ReadImage(f"motion/{name}") for name in files_in("motion")]
    for field in fields:
        assert (field.GetSize(), field.GetNumberOfComponentsPerPixel()) == (SMALL.shape[::-1], 3)
        assert field.GetOrigin() == pytest.approx(SMALL.origin)
    assert [field.GetMetaData("ttt4d.frame") for field in fields] == ["acquired", "synthetic", "synthetic", "acquired"]
    assert "Not for clinical use" in fields[1].GetMetaData("ttt4d.notice")
    assert np.all(sitk.GetArrayViewFromImage(fields[0]) == 0)
    assert np.abs(sitk.GetArrayViewFromImage(fields[1])).max() > 0


def test_a_second_phase_on_another_grid_is_resampled_and_said(pair, interpolate, capsys):
    finer = Geometry((5, 30, 30), (8.0, 4.0, 4.0), SMALL.origin)
    heart = beating_heart([0], SMALL)[1]
    sitk.WriteImage(to_sitk(heart.frame(finer, 1.0)), "finer.nrrd")
    interpolate(pair[0], "finer.nrrd", "-o", "out", *QUICK)
    assert "Phase 1 is on another grid (size 5 x 24 x 24 and 5 x 30 x 30" in capsys.readouterr().err
    assert not read_sequence("out").phases[-1].geometry.differences(SMALL)


def test_a_phase_that_does_not_cover_the_first_ones_space_is_drawn_out_and_it_is_said(pair, interpolate, capsys):
    sitk.WriteImage(sitk.ReadImage(pair[1])[:18], "part.nrrd")
    interpolate(pair[0], "part.nrrd", "-o", "out.seq.nrrd", *QUICK)
    said = "25% of that grid lies outside phase 1 and was filled with its edge values"
    assert said in capsys.readouterr().err
    reader = sitk.ImageFileReader()
    reader.SetFileName("out.seq.nrrd")
    reader.ReadImageInformation()
    assert said in reader.GetMetaData("ttt4d.messages")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows grants links to few")
def test_a_linked_output_stays_a_link(pair, interpolate):
    os.mkdir("elsewhere")
    os.mkdir("elsewhere/motion")
    for name in ("out.seq.nrrd", "motion", "report.json"):
        os.symlink(f"elsewhere/{name}", name)
    interpolate(*pair, "-o", "out.seq.nrrd", *QUICK, "--displacements", "motion", "--report", "report.json")
    assert all(os.path.islink(name) for name in ("out.seq.nrrd", "motion", "report.json"))
    assert len(files_in("elsewhere/motion")) == len(read_sequence("elsewhere/out.seq.nrrd").phases) == 4
    assert os.path.isfile("elsewhere/report.json")
    os.symlink("elsewhere/blob", "out.nii")
    interpolate(*pair, "-o", "out.nii", *QUICK)
    assert len(read_sequence("out.nii").phases) == 4, "the kind goes by the name that was given"


def test_displacements_go_into_the_empty_folder_one_is_in(pair, interpolate, tmp_path, monkeypatch):
    os.mkdir("motion")
    monkeypatch.chdir("motion")
    interpolate(*pair, "-o", "../out.seq.nrrd", *QUICK, "--displacements", ".")
    assert files_in(tmp_path / "motion") == [f"displacement_{n:03d}.nrrd" for n in range(4)]


def test_a_second_phase_of_another_scalar_type_takes_the_first_ones_and_it_is_said(pair, interpolate, capsys):
    values = read_volume(pair[1]).array + 0.4
    sitk.WriteImage(to_sitk(Volume(values.astype(np.float32), SMALL)), "float.nrrd")
    interpolate(pair[0], "float.nrrd", "-o", "out", *QUICK)
    assert "Phase 1 was converted from float32 to phase 0's type int16" in capsys.readouterr().err
    np.testing.assert_array_equal(read_sequence("out").phases[-1].array, read_volume(pair[1]).array)


def test_the_preview_shows_every_frame_and_marks_the_synthetic_ones(pair, interpolate):
    interpolate(*pair, "-o", "one.nii", *QUICK, "--preview", "strip.png")
    interpolate(*pair, "-o", "two.nii", *QUICK, "--preview", "beat.gif")
    strip = Image.open("strip.png").convert("RGB")
    tile = strip.width // 4
    assert tile >= EDGE  # the grid is square, so both edges are as long
    assert [strip.getpixel((tile * n + 2, tile // 2)) for n in range(4)] == [ACQUIRED, SYNTHETIC, SYNTHETIC, ACQUIRED]
    assert Image.open("beat.gif").n_frames == 4


@pytest.mark.parametrize("size", [(1, 24, 20), (24, 1, 20), (24, 20, 1)])
def test_the_preview_shows_a_single_slice_whichever_way_it_is_stored(size, interpolate):
    array = np.random.default_rng(0).integers(0, 400, size, dtype=np.int16)
    for name, image in (("a.nrrd", array), ("b.nrrd", array[::-1, ::-1, ::-1])):
        sitk.WriteImage(to_sitk(Volume(np.ascontiguousarray(image), Geometry(size, (2.0, 2.0, 2.0)))), name)
    interpolate("a.nrrd", "b.nrrd", "-o", "out.nii", *QUICK, "--preview", "strip.png")
    first = np.asarray(Image.open("strip.png").convert("L"))[10:EDGE - 30, 10:100]
    assert first.std(axis=0).min() > 20 and first.std(axis=1).min() > 20


def test_the_preview_keeps_the_proportions_of_the_body(interpolate):
    grid = Geometry((3, 20, 40), (8.0, 6.0, 1.5))
    for name, volume in zip(("a.nrrd", "b.nrrd"), beating_heart((0, 1), grid)[0]):
        sitk.WriteImage(to_sitk(volume), name)
    interpolate("a.nrrd", "b.nrrd", "-o", "out.nii", "--iterations", "1", "--frames", "1", "--preview", "strip.png")
    strip = np.asarray(Image.open("strip.png").convert("RGB"))
    border = np.all(strip[EDGE // 2] == SYNTHETIC, axis=-1).nonzero()[0]
    assert border.max() - border.min() == pytest.approx(EDGE / 2, abs=8)  # 60 mm wide, 120 mm high


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child")
@pytest.mark.parametrize("names", [
    ["SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGTERM", "SIGHUP"], ["SIGHUP", "SIGHUP"]], ids="+".join)
def test_an_interrupt_in_mid_run_leaves_nothing_behind_and_exits_with_130(names, tmp_path, pair, start, small_weights):
    before = files_in(tmp_path)
    child = start("-m", "ttt4d", "interpolate", *pair, "-o", "out.seq.nrrd", "--weights", small_weights,
                  "--displacements", "motion", "--report", "report.json", "--preview", "beat.gif",
                  "--auxiliary", "rotation", "--iterations", "10000")
    until(lambda: len(files_in(tmp_path)) >= len(before) + 4)  # all four outputs are begun
    time.sleep(0.2)
    for name in names:
        child.send_signal(getattr(signal, name))
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (130, b"")
    assert err == b"ttt4d: Interrupted: nothing was written.\n"
    assert files_in(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_what_nohup_has_started_outlives_its_terminal(tmp_path, pair, start, small_weights):
    before = files_in(tmp_path)
    child = start("-m", "ttt4d", "interpolate", *pair, "-o", "out.seq.nrrd", "--weights", small_weights, *QUICK,
                  preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    until(lambda: len(files_in(tmp_path)) > len(before))
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 0 and "out.seq.nrrd" in files_in(tmp_path)


@pytest.mark.parametrize("output", ["out.seq.nrrd", "out.nii.gz", "out"])
@pytest.mark.parametrize("trouble", [Cancelled, KeyboardInterrupt, ZeroDivisionError])
def test_whatever_stops_a_job_between_two_frames_leaves_nothing_behind(trouble, output, tmp_path, pair, small_weights):
    before = files_in(tmp_path)
    settings = InterpolationSettings(frames=3, weights=small_weights, adaptation=AdaptationSettings("none"))
    request = Request(output, tuple(pair), settings=settings, displacements="motion", report="r.json", preview="p.png")

    def stop_after_two(number: int, *_) -> None:
        if number == 1:
            raise trouble()

    with pytest.raises(trouble):
        Job(request).run(lambda progress: None, stop_after_two, lambda: False)
    assert files_in(tmp_path) == before


def test_an_existing_output_survives_a_run_that_fails(pair, small_weights):
    with open("out.seq.nrrd", "w") as file:
        file.write("yesterday's result")
    settings = InterpolationSettings(weights=small_weights, adaptation=AdaptationSettings("none"))
    with pytest.raises(Cancelled):
        Job(Request("out.seq.nrrd", tuple(pair), settings=settings)).run(lambda p: None, lambda *f: None, lambda: True)
    with open("out.seq.nrrd") as file:
        assert file.read() == "yesterday's result"


def test_progress_never_falls_and_ends_at_one(pair, small_weights):
    seen = []
    adaptation = AdaptationSettings("rotation", iterations=3)
    settings = InterpolationSettings(frames=2, weights=small_weights, adaptation=adaptation)
    Job(Request("out", tuple(pair), settings=settings)).run(seen.append, lambda *frame: None, lambda: False)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    stages = [progress.stage for progress in seen]
    assert sorted(set(stages), key=stages.index) == ["reading", "adaptation", "interpolation", "writing"]


def test_the_bar_shows_the_stage_and_the_remaining_time(tmp_path, monkeypatch):
    seconds = iter(range(0, 100, 7))
    monkeypatch.setattr("ttt4d.progress.clock", SimpleNamespace(monotonic=lambda: next(seconds)))
    with open(tmp_path / "terminal", "w+", encoding="utf-8") as terminal:
        with ProgressBar(terminal, disable=False) as show:
            for step in range(2, 6):
                show(Progress("adaptation", step / 10, "Adapting to the patient"))
        terminal.seek(0)
        shown = terminal.read()
    assert "adaptation: Adapting to the patient  50%" in shown
    assert "about 35 s left" in shown, "7 s for each tenth, and five are left"


def test_a_request_is_the_same_after_a_journey_through_json():
    settings = InterpolationSettings(times=(0.5,), seed=3)
    request = Request("out.nii", ("a.nrrd", "b.nrrd"), settings=settings, report="r.json")
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_info_lists_devices_tasks_schemes_and_weights(capsys):
    assert cli.run(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"version", "devices", "tasks", "schemes", "weights", "slices"}
    assert found["slices"]["tasks"] == ["none", "in-plane", "cross-view", "consistency"]
    names = [[entry["name"] for entry in axis["weights"]] for axis in (found, found["slices"])]
    assert "cardiac" in names[0] and "slices" in names[1] and not set(names[0]) & set(names[1])
    assert found["devices"][0]["name"] == "cpu"
    assert found["tasks"][0] == "none" and "rotation" in found["tasks"]
    assert found["schemes"] == ["naive", "online", "mini-batch"]
    assert cli.run(["info"]) == 0
    assert "mini-batch" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a writer that its reader is gone")
def test_a_reader_that_has_read_enough_is_no_error(start):
    child = start("-m", "ttt4d", "info")
    child.stdout.close()
    assert (child.wait(PATIENCE), child.stderr.read()) == (0, b"")
    closed = start("-c", "import os, sys; sys.stdout = None\n"
                   "from ttt4d.commands import cli; os._exit(cli.run(['info']))")
    assert (closed.wait(PATIENCE), closed.stderr.read()) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_run_without_a_standard_error_is_as_good_as_another(pair, start, small_weights):
    child = start("-c", "import os, sys; os.close(2); sys.stderr = None\n"
                  "from ttt4d.commands import cli; os._exit(cli.run(sys.argv[1:]))", "interpolate", *pair, "-o",
                  "out.seq.nrrd", "--weights", small_weights, "--auxiliary", "none")
    assert child.wait(PATIENCE) == 0 and os.path.isfile("out.seq.nrrd")


def test_help_names_every_command_and_exit_status_without_loading_the_engine(start):
    script = ("import sys; from ttt4d.commands import cli; cli.run(['--help'])\n"
              "print({'torch', 'numpy'} & set(sys.modules))")
    out, _ = start("-c", script).communicate(timeout=PATIENCE)
    for word in (*cli.COMMANDS, "exit status", "130", "Not for clinical use"):
        assert word in out.decode()
    assert out.decode().endswith("set()\n")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself_and_the_exit_status(command, capsys):
    assert cli.run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: ttt4d {command}" in text and "exit status:" in text


def test_a_bug_shows_its_traceback_and_exits_with_3(pair, small_weights, monkeypatch, capsys):
    monkeypatch.setattr(readers, "read_volume", None)
    assert cli.run(["interpolate", *pair, "-o", "out.nii", "--weights", small_weights]) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err and "This is a bug in ttt4d (TypeError)" in err
