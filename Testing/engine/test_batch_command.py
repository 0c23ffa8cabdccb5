"""`ttt4d batch`: many cases, bad ones among them, and whatever disturbs it, the results of an undisturbed run.

The cohort is small, so that the file takes seconds. With TTT4D_COHORT=200 it is the one of the measurements.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import socket
import subprocess
import time
from typing import Any, Dict, List

import numpy as np
import pytest
import SimpleITK as sitk

from shell import SMALL, files_in, written
from ttt4d.commands import cli
from ttt4d.images.resampling import to_sitk
from ttt4d.temporal.phantom import beating_heart

COUNT = int(os.environ.get("TTT4D_COHORT", 12))
BAD = 5 if COUNT >= 100 else 2
QUICK = ["--frames", "1", "--iterations", "1"]
# Long enough for a disturbance to find a case in the middle.
SLOWER = ["--frames", "1", "--iterations", "60"]


def make_cohort(folder, count: int, bad: int = 0) -> None:
    """Pairs of phases that differ from case to case; the second image of some is cut short."""
    phases = [to_sitk(volume) for volume in beating_heart((0, 1), SMALL)[0]]
    for n in range(count):
        patient = folder / f"p{n}"
        patient.mkdir(parents=True)
        for name, phase in zip(("ed.nrrd", "es.nrrd"), phases):
            sitk.WriteImage(phase + n, str(patient / name))
    for n in range(bad):
        image = folder / f"p{3 * n + 1}" / "es.nrrd"
        image.write_bytes(image.read_bytes()[:-200])


def summary_of(folder) -> List[Dict[str, str]]:
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def content_of(folder) -> Dict[str, Any]:
    """Voxels and grid of every result, and of every report what does not tell the hour."""
    found: Dict[str, Any] = {}
    for path in folder.glob("*.seq.nrrd"):
        image = sitk.ReadImage(str(path))
        found[path.name] = (image.GetOrigin(), image.GetSpacing(), sitk.GetArrayFromImage(image).tobytes())
    for path in folder.glob("*.json"):
        report = json.loads(path.read_text())
        found[path.name] = {name: report[name] for name in ("settings", "weights", "adaptation", "frames", "inputs")}
    return found


@pytest.fixture(scope="module")
def weights(small_weights) -> List[str]:
    return ["--weights", small_weights, "--device", "cpu"]


def test_a_cohort_with_bad_cases_gives_all_other_results_rows_that_say_why_and_status_1(tmp_path, weights, capsys):
    cases, results = tmp_path / "cases", tmp_path / "results"
    make_cohort(cases, COUNT, BAD)
    command = ["batch", str(cases), str(results), *QUICK, *weights, "--jobs", "2"]
    assert cli.run(command) == 1
    rows = summary_of(results)
    bad = [f"p{3 * n + 1}" for n in range(BAD)]
    assert [row["case"] for row in rows] == [f"p{n}" for n in range(COUNT)]
    assert [row["case"] for row in rows if row["status"] == "failed"] == bad
    assert all("'es.nrrd'" in row["message"] for row in rows if row["case"] in bad)
    assert sum(row["status"] == "done" for row in rows) == COUNT - BAD
    assert f"{COUNT} cases" in capsys.readouterr().out
    for ending in (".seq.nrrd", ".json", ".png"):
        assert len(list(results.glob(f"*{ending}"))) == COUNT - BAD
    assert files_in(results / ".ttt4d") == [f"{name}.failed.json" for name in sorted(bad)]

    times = {path: os.path.getmtime(path) for path in results.glob("p*")}
    assert cli.run(command) == 1, "the bad cases are still bad"
    assert {row["status"] for row in summary_of(results) if row["case"] not in bad} == {"skipped"}
    assert times == {path: os.path.getmtime(path) for path in results.glob("p*")}, "nothing is computed again"

    make_cohort(tmp_path / "whole", 4)
    (tmp_path / "whole" / "p1").rename(tmp_path / "p1")
    for name in os.listdir(cases / "p1"):
        os.replace(tmp_path / "p1" / name, cases / "p1" / name)
    assert cli.run([*command, "--dry-run"]) == 0
    assert f"{COUNT - BAD} done, {BAD} to compute" in capsys.readouterr().out
    assert cli.run(command) == (1 if BAD > 1 else 0)
    assert {row["case"]: row["status"] for row in summary_of(results)}["p1"] == "done"
    assert cli.run(["summary", str(results)]) == 1
    assert [row["status"] for row in summary_of(results)].count("failed") == BAD - 1


def test_parts_that_run_at_once_and_twice_do_each_case_once_and_need_nothing_but_the_folder(tmp_path, weights, start):
    cases, results = tmp_path / "cases", tmp_path / "results"
    make_cohort(cases, 5)
    children = [start("-m", "ttt4d", "batch", str(cases), str(results), *QUICK, *weights, "--part", part)
                for part in ("1/2", "2/2", "2/2")]
    said = [child.communicate(timeout=900)[0].decode() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    for n in range(5):
        assert sum(f"p{n}: done in" in text for text in said) == 1
    assert not (results / "summary.csv").exists()
    assert cli.run(["summary", str(results)]) == 0
    assert [row["status"] for row in summary_of(results)] == ["done"] * 5
    assert not (results / ".ttt4d").exists()


def test_slices_are_filled_in_over_a_cohort_too(tmp_path, slice_weights):
    cases, results = tmp_path / "cases", tmp_path / "results"
    cases.mkdir()
    for n in range(2):
        written(str(cases / f"v{n}.nrrd"), seed=n)
    assert cli.run(["batch", str(cases), str(results), "--factor", "2", "--iterations", "1", "--weights",
                    slice_weights, "--device", "cpu"]) == 0
    for n in range(2):
        assert sitk.ReadImage(str(results / f"v{n}.nii.gz")).GetSize()[2] == 9
    assert [row["frames"] for row in summary_of(results)] == ["1", "1"]


@pytest.mark.parametrize("arguments, words", [
    (["--factor", "2", "--frames", "3"], "frames is for frames, not for slices"),
    (["--thickness", "2"], "thickness is for slices"),
    (["--jobs", "0"], "jobs is 0"),
    (["--part", "5/4"], "no part 5/4"),
    (["--weights", "nobody"], "no weights 'nobody'"),
])
def test_arguments_that_make_no_sense_are_refused_before_anything_is_made(arguments, words, tmp_path, capsys):
    make_cohort(tmp_path / "cases", 1)
    assert cli.run(["batch", str(tmp_path / "cases"), str(tmp_path / "results"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


# -- disturbances ------------------------------------------------------------------------------------------------------


def until(condition, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def claimed_by(results, done: int = 1) -> int:
    """The process that computes a case, once some are done."""
    found: List[int] = []

    def one() -> bool:
        for path in (results / ".ttt4d").glob("*.claim") if len(list(results.glob("*.json"))) >= done else ():
            try:
                found.append(json.loads(path.read_text())["process"])
            except (OSError, ValueError):
                pass
        return bool(found)

    until(one)
    return found[0]


def is_gone(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at processes the way Linux shows them")
def test_after_every_disturbance_a_rerun_gives_the_results_of_an_undisturbed_run(tmp_path, weights, start):
    cases, results, calm = tmp_path / "cases", tmp_path / "results", tmp_path / "calm"
    make_cohort(cases, 7)

    def batch(folder, **options) -> subprocess.Popen:
        return start("-m", "ttt4d", "batch", str(cases), str(folder), *SLOWER, *weights, **options)

    def whole() -> int:
        """How many results there are, each of them with a report and readable."""
        names = sorted(path.name for path in results.iterdir() if path.name.startswith("p"))
        made = {name.partition(".")[0] for name in names}
        assert names == sorted(f"{name}{ending}" for name in made for ending in (".json", ".png", ".seq.nrrd"))
        return len(content_of(results)) // 2

    undisturbed = batch(calm)
    # A full disk: no file may grow beyond a few kilobytes.
    full = batch(results, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)))
    assert b"The disk is full" in full.communicate(timeout=900)[0]
    assert full.returncode == 1 and whole() == 0

    # kill -9 of the command: its worker ends by itself.
    killed = batch(results)
    worker = claimed_by(results)
    killed.kill()
    until(lambda: is_gone(worker), 60)
    done = whole()
    assert 1 <= done < 7

    # SIGTERM: everything ends within seconds.
    ended = batch(results)
    worker = claimed_by(results, done + 1)
    began = time.monotonic()
    ended.send_signal(signal.SIGTERM)
    assert b"Interrupted" in ended.communicate(timeout=120)[1]
    assert ended.returncode == 130 and time.monotonic() - began < 60 and is_gone(worker)
    done = whole()
    assert not list((results / ".ttt4d").glob("*.part")) and not list((results / ".ttt4d").glob("*.claim"))

    # kill -9 of a worker: its case is computed on a smaller canvas, and on the full one by a rerun.
    hurt = batch(results)
    os.kill(claimed_by(results, done), signal.SIGKILL)
    out, _ = hurt.communicate(timeout=900)
    assert hurt.returncode == 0 and out.decode().count("smaller canvas") == 1 and whole() == 7
    assert [row["status"] for row in summary_of(results)].count("done") == 7 - done

    last = batch(results)
    assert last.communicate(timeout=900)[0].count(b": done in") == 1 and last.returncode == 0
    undisturbed.communicate(timeout=900)
    calm_content, content = content_of(calm), content_of(results)
    assert len(content) == 14 and content == calm_content
    assert not (results / ".ttt4d").exists()


def test_what_a_killed_process_left_of_a_done_case_goes_with_the_next_run_and_what_a_living_one_holds_stays(
        tmp_path, weights):
    make_cohort(tmp_path / "cases", 1)
    state = tmp_path / "results" / ".ttt4d"
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name, process in (("p0", dead.pid), ("other", os.getpid())):
        (state / f"{name}.part").mkdir(parents=True)
        (state / f"{name}.part" / f"{name}.json").touch()
        (state / f"{name}.claim").write_text(json.dumps({"host": socket.gethostname(), "process": process}))
    for _ in range(2):  # computed by the first run, done before the second
        assert cli.run(["batch", str(tmp_path / "cases"), str(tmp_path / "results"), *QUICK, *weights]) == 0
        assert sorted(path.name for path in state.iterdir()) == ["other.claim", "other.part"]
        (state / "p0.part").mkdir()
    assert (state / "other.part" / "other.json").exists()


def test_a_case_that_ends_its_process_twice_is_a_row_and_the_others_go_on(tmp_path, weights, start):
    cases, results = tmp_path / "cases", tmp_path / "results"
    make_cohort(cases, 2)
    child = start("-m", "ttt4d", "batch", str(cases), str(results), "--frames", "1", "--iterations", "100", *weights)
    first = claimed_by(results, 0)
    os.kill(first, signal.SIGKILL)
    until(lambda: claimed_by(results, 0) != first)
    os.kill(claimed_by(results, 0), signal.SIGKILL)
    out, _ = child.communicate(timeout=900)
    assert child.returncode == 1
    rows = summary_of(results)
    assert [row["status"] for row in rows] == ["failed", "done"]
    assert "killed or ran out of memory, twice" in rows[0]["message"] and rows[0]["message"] in out.decode()


def test_the_voxels_of_a_case_do_not_depend_on_the_cases_before_it(tmp_path, weights):
    make_cohort(tmp_path / "cases", 2)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "p1").symlink_to(tmp_path / "cases" / "p1")
    for name in ("cases", "alone"):
        assert cli.run(["batch", str(tmp_path / name), str(tmp_path / f"{name}-results"), *QUICK, *weights]) == 0
    one, other = (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{name}-results" / "p1.seq.nrrd")))
                  for name in ("cases", "alone"))
    np.testing.assert_array_equal(one, other)
