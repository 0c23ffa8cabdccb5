"""`ttt4d batch`: many cases, bad ones among them, and whatever disturbs it, the results of an undisturbed run.

The cohort is small, so that the file takes seconds. With TTT4D_COHORT=200 it is the one of the measurements.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
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

from shell import PATIENCE, SMALL, files_in, until, written
from ttt4d.cohort.claims import STALE_SECONDS
from ttt4d.commands import cli
from ttt4d.images.resampling import to_sitk
from ttt4d.temporal.phantom import beating_heart

COUNT = int(os.environ.get("TTT4D_COHORT", 12))
BAD = 5 if COUNT >= 100 else 2
QUICK = ["--frames", "1", "--iterations", "1"]
# Long enough for a disturbance to find a case in the middle.
SLOWER = ["--frames", "1", "--iterations", "12"]


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
    said = [child.communicate(timeout=PATIENCE)[0].decode() for child in children]
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


def test_frames_of_a_cohort_get_new_slices_too_and_are_done_only_with_the_same_ones(tmp_path, weights):
    cases, results = tmp_path / "cases", tmp_path / "results"
    make_cohort(cases, 1)
    command = ["batch", str(cases), str(results), *QUICK, *weights]
    sizes = []
    for more, status in ([], "done"), (["2"], "done"), (["2"], "skipped"), (["3"], "done"), ([], "done"):
        assert cli.run(command + (["--slices-factor", *more, "--slices", "gap"] if more else [])) == 0
        assert [row["status"] for row in summary_of(results)] == [status]
        sizes.append(sitk.ReadImage(str(results / "p0.seq.nrrd")).GetSize()[2])
    assert sizes == [5, 9, 9, 13, 5]


@pytest.mark.parametrize("arguments, words", [
    (["--factor", "2", "--frames", "3"], "frames is for frames, not for slices"),
    (["--factor", "2", "--slices-factor", "3"], "slices-factor is for frames, not for slices"),
    (["--slices", "gap"], "give --slices-factor too"),
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


def reports(results) -> List[str]:
    return sorted(path.stem for path in results.glob("*.json"))


def holders(results) -> Dict[str, int]:
    """The cases that are computed, and their processes. A claim may be given back while it is looked at."""
    found: Dict[str, int] = {}
    for claim in (results / ".ttt4d").glob("*.claim"):
        with contextlib.suppress(FileNotFoundError):
            found.update((claim.stem, int(name.partition("-")[0])) for name in os.listdir(claim))
    return found


def stop(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    until(lambda: state_of(process) in "TZ")


def stopped_in_mid_case(results, child: subprocess.Popen, done: int = 0, without: int = 0) -> int:
    """The process that computes a case, stopped before the case is done, once so many others are."""
    while True:
        assert child.poll() is None, "nothing is in the middle any more"
        for case, process in holders(results).items() if len(reports(results)) >= done else ():
            if process not in (child.pid, without) and (results / ".ttt4d" / f"{case}.part").exists():
                stop(process)
                if holders(results).get(case) == process and case not in reports(results):
                    return process
                os.kill(process, signal.SIGCONT)
        time.sleep(0.01)


def state_of(process: int) -> str:
    """As Linux tells it: R, S or D where it lives, T where it is stopped, Z where it is gone."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


linux = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at processes as Linux shows them")


@linux
def test_after_every_disturbance_a_rerun_gives_the_results_of_an_undisturbed_run(tmp_path, weights, start):
    cases, results, calm = tmp_path / "cases", tmp_path / "results", tmp_path / "calm"
    make_cohort(cases, 7)

    def batch(folder, **options) -> subprocess.Popen:
        return start("-m", "ttt4d", "batch", str(cases), str(folder), *SLOWER, *weights, **options)

    def whole() -> int:
        """How many reports there are, each with all that it tells of; other files are whole, and of one case at most.

        Those are of a process that was killed between putting a result and its report in place.
        """
        names = sorted(path.name for path in results.iterdir() if path.name.startswith("p"))
        made = reports(results)
        assert {f"{name}{ending}" for name in made for ending in (".json", ".png", ".seq.nrrd")} <= set(names)
        assert len({name.partition(".")[0] for name in names} - set(made)) <= 1
        content = content_of(results)
        return sum(name.endswith(".json") for name in content)

    undisturbed = batch(calm)
    # A full disk: no file may grow beyond a few kilobytes.
    full = batch(results, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)))
    assert b"The disk is full" in full.communicate(timeout=PATIENCE)[0]
    assert full.returncode == 1 and whole() == 0 and not list(results.glob("p*"))

    # kill -9 of the command, stopped so that it hands out no more: its worker ends by itself.
    killed = batch(results)
    worker = stopped_in_mid_case(results, killed, 1)
    stop(killed.pid)
    os.kill(worker, signal.SIGCONT)
    killed.kill()
    until(lambda: state_of(worker) == "Z")
    done = whole()
    assert 1 <= done < 7

    # SIGTERM: everything ends within seconds, and the case in the middle is not waited for.
    ended = batch(results)
    worker = stopped_in_mid_case(results, ended, done + 1)
    done, began = whole(), time.monotonic()
    ended.send_signal(signal.SIGTERM)
    assert b"Interrupted" in ended.communicate(timeout=PATIENCE)[1]
    assert ended.returncode == 130 and time.monotonic() - began < 60 and state_of(worker) == "Z"
    assert whole() == done < 7
    assert not list((results / ".ttt4d").glob("*.part")) and not list((results / ".ttt4d").glob("*.claim"))

    # kill -9 of a worker: its case is computed on a smaller canvas, and on the full one by a rerun.
    hurt = batch(results)
    os.kill(stopped_in_mid_case(results, hurt, done), signal.SIGKILL)
    out, _ = hurt.communicate(timeout=PATIENCE)
    assert hurt.returncode == 0 and out.decode().count("smaller canvas") == 1 and whole() == 7
    assert [row["status"] for row in summary_of(results)].count("done") == 7 - done

    last = batch(results)
    assert last.communicate(timeout=PATIENCE)[0].count(b": done in") == 1 and last.returncode == 0
    undisturbed.communicate(timeout=PATIENCE)
    calm_content, content = content_of(calm), content_of(results)
    assert len(content) == 14 and content == calm_content
    assert not (results / ".ttt4d").exists()


@linux
def test_a_part_that_slept_while_another_took_its_case_over_skips_it(tmp_path, weights, start):
    cases, results = tmp_path / "cases", tmp_path / "results"
    make_cohort(cases, 1)
    command = ["-m", "ttt4d", "batch", str(cases), str(results), *SLOWER, *weights, "--part", "1/1"]
    slept = start(*command)
    worker = stopped_in_mid_case(results, slept)
    claim, = (results / ".ttt4d").glob("p0.claim/*")
    os.utime(claim, (0, time.time() - STALE_SECONDS - 5))
    other = start(*command)
    out, _ = other.communicate(timeout=PATIENCE)
    assert other.returncode == 0 and b"p0: done" in out
    times = {path: os.path.getmtime(path) for path in results.glob("p0.*")}
    os.kill(worker, signal.SIGCONT)
    out, _ = slept.communicate(timeout=PATIENCE)
    assert slept.returncode == 0 and b"p0: skipped" in out
    assert times == {path: os.path.getmtime(path) for path in results.glob("p0.*")}
    assert not (results / ".ttt4d").exists()


KILLED_AT = """
import os, signal, sys
import PIL.Image, SimpleITK  # once, before all forks, as the network
from ttt4d.cohort.cases import find_cases
from ttt4d.cohort.one_case import compute, loaded
from ttt4d.cohort.results import Plan, Row, clear_state
from ttt4d.settings import InterpolationSettings

cases, results, weights = sys.argv[1:]
case, = find_cases(cases)
STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime")

def plan(frames):
    return Plan.of(results, InterpolationSettings.from_json({
        "frames": frames, "weights": weights, "device": "cpu", "adaptation": {"auxiliary": "none"}}))

def run(frames, last):
    left = [last]
    def step(event, arguments):
        if event in STEPS and str(arguments[0]).startswith(results):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    made = os.fork()
    if made:
        return os.waitpid(made, 0)[1]
    sys.addaudithook(step)
    row = compute(case, plan(frames))
    clear_state(results)
    os._exit(0 if row is not None and row.status == "done" else 1)

loaded(plan(1).settings)
last, ended = 0, 9
while ended == 9:
    plan(1).note_failure(Row(case.name, "failed"), case)
    ended = run(1 + last % 2, last)  # each time with other settings than the files that are there were made with
    print(last, ended, flush=True)
    last += 1
    sys.stdin.readline()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_process_may_be_killed_before_any_step_and_no_report_tells_of_other_files(tmp_path, small_weights, start):
    make_cohort(tmp_path / "cases", 1)
    results = tmp_path / "results"
    child = start("-c", KILLED_AT, str(tmp_path / "cases"), str(results), small_weights, bufsize=0)
    kills = 0
    for line in child.stdout:
        kills, ended = map(int, line.split())
        failed = (results / ".ttt4d" / "p0.failed.json").exists()
        if (results / "p0.json").exists():
            frames = json.loads((results / "p0.json").read_text())["settings"]["frames"]
            image = sitk.ReadImage(str(results / "p0.seq.nrrd"))
            assert image.GetNumberOfComponentsPerPixel() == 2 + frames, kills
            assert failed or frames == 1 + kills % 2, kills
        child.stdin.write(b"\n")
    assert child.wait() == 0 and ended == 0, child.stderr.read().decode()
    assert kills > 20 and files_in(results) == ["p0.json", "p0.png", "p0.seq.nrrd"]


def test_what_a_killed_process_left_of_a_done_case_goes_with_the_next_run_and_what_a_living_one_holds_stays(
        tmp_path, weights):
    make_cohort(tmp_path / "cases", 1)
    state = tmp_path / "results" / ".ttt4d"
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name, process in (("p0", dead.pid), ("other", os.getpid())):
        (state / f"{name}.part").mkdir(parents=True)
        (state / f"{name}.part" / f"{name}.json").touch()
        (state / f"{name}.claim").mkdir()
        (state / f"{name}.claim" / f"{process}-x-{socket.gethostname()}").touch()
    for _ in range(2):  # computed by the first run, done before the second
        assert cli.run(["batch", str(tmp_path / "cases"), str(tmp_path / "results"), *QUICK, *weights]) == 0
        assert sorted(path.name for path in state.iterdir()) == ["other.claim", "other.part"]
        (state / "p0.part").mkdir()
    assert (state / "other.part" / "other.json").exists()


@linux
def test_a_case_that_ends_its_process_twice_is_a_row_and_the_others_go_on(tmp_path, weights, start):
    cases, results = tmp_path / "cases", tmp_path / "results"
    make_cohort(cases, 2)
    child = start("-m", "ttt4d", "batch", str(cases), str(results), *SLOWER, *weights)
    first = stopped_in_mid_case(results, child)
    os.kill(first, signal.SIGKILL)
    os.kill(stopped_in_mid_case(results, child, without=first), signal.SIGKILL)
    out, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    rows = summary_of(results)
    assert [row["status"] for row in rows] == ["failed", "done"]
    assert "killed or ran out of memory, twice" in rows[0]["message"] and rows[0]["message"] in out.decode()


def test_a_batch_ends_on_a_machine_without_programs_that_end_processes(tmp_path, weights, start, monkeypatch):
    make_cohort(tmp_path / "cases", 1)
    monkeypatch.setenv("PATH", str(tmp_path))  # a small container has no pgrep
    child = start("-m", "ttt4d", "batch", "cases", "results", *QUICK, *weights)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0 and b"1 done" in out and b"Traceback" not in err


def test_a_machine_that_lets_processes_share_nothing_is_told_in_one_sentence(tmp_path, weights, monkeypatch, capsys):
    synchronize = importlib.import_module("joblib.externals.loky.backend.synchronize")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    make_cohort(tmp_path / "cases", 1)
    monkeypatch.setattr(synchronize, "_SemLock", refused)
    assert cli.run(["batch", str(tmp_path / "cases"), str(tmp_path / "results"), *QUICK, *weights]) == 2
    assert "mount /dev/shm" in capsys.readouterr().err
    assert not list((tmp_path / "results").glob("p*"))


def test_the_voxels_of_a_case_do_not_depend_on_the_cases_before_it(tmp_path, weights):
    make_cohort(tmp_path / "cases", 2)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "p1").symlink_to(tmp_path / "cases" / "p1")
    for name in ("cases", "alone"):
        assert cli.run(["batch", str(tmp_path / name), str(tmp_path / f"{name}-results"), *QUICK, *weights]) == 0
    one, other = (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{name}-results" / "p1.seq.nrrd")))
                  for name in ("cases", "alone"))
    np.testing.assert_array_equal(one, other)
