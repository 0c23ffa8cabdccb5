"""The corridor: one request in, JSON lines out, end-of-file cancels within a second."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import SimpleITK as sitk

from shell import PATIENCE, ends_within, files_in, until
from ttt4d.images.readers import read_sequence
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Geometry
from ttt4d.temporal.phantom import beating_heart

WORKER = ("-u", "-m", "ttt4d", "worker")


def ask(child, **request) -> None:
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()


def lines(child):
    """What the worker says, line by line, until it has ended; its standard input stays open."""
    for line in child.stdout:
        yield json.loads(line)


def quick(weights: str, **settings) -> dict:
    return {"weights": weights, "frames": 2, "adaptation": {"auxiliary": "rotation", "iterations": 2}, **settings}


def endless(weights: str, **settings) -> dict:
    return quick(weights, adaptation={"auxiliary": "rotation", "iterations": 10000}, **settings)


def wait_for(child, stage: str) -> None:
    assert any(line.get("stage") == stage for line in lines(child))


def test_a_request_is_answered_with_progress_every_frame_and_the_result(tmp_path, pair, start, small_weights):
    child = start(*WORKER)
    ask(child, phases=pair, output="out", settings=quick(small_weights), displacements="motion", report="r.json",
        preview="p.png")
    said = list(lines(child))
    assert child.wait(PATIENCE) == 0
    assert said[0]["type"] == "progress" and said[0]["fraction"] == 0
    assert {"stage", "fraction", "message", "metrics", "elapsed", "remaining"} <= set(said[0])
    steps = [line["metrics"] for line in said if line.get("stage") == "adaptation" and "loss" in line["metrics"]]
    assert [(step["batch"], step["iteration"], step["iterations"]) for step in steps] == [(0, 1, 2), (0, 2, 2)]
    frames = [line for line in said if line["type"] == "frame"]
    assert [(frame["number"], frame["acquired"]) for frame in frames] == [(0, True), (1, False), (2, False), (3, True)]
    assert [os.path.basename(frame["path"]) for frame in frames] == [f"frame_{n:03d}.nrrd" for n in range(4)]
    assert said[-1]["type"] == "result" and said[-1]["output"] == "out"
    with open(tmp_path / "r.json") as file:
        assert set(json.load(file)) == set(said[-1]["report"])
    assert len(read_sequence(tmp_path / "out").phases) == len(files_in(tmp_path / "motion")) == 4


def test_the_first_line_comes_before_torch_is_loaded(pair, start, small_weights):
    script = ("import sys; from ttt4d.commands import cli, worker; send = worker.Worker._send\n"
              "def told(self, message):\n"
              "    vars(message)['torch'] = 'torch' in sys.modules; send(self, message)\n"
              "worker.Worker._send = told\n"
              "cli.run(['worker'])")
    child = start("-c", script)
    ask(child, phases=pair, output="out", settings=quick(small_weights))
    assert [line["torch"] for line in lines(child)][0] is False


def test_what_libraries_print_does_not_reach_the_lines(pair, start, small_weights):
    script = ("import os, sys, threading, time\n"
              "def shout():\n"
              "    while True:\n"
              "        print('noise', flush=True); os.write(1, b'noise'); time.sleep(0.005)\n"
              "from ttt4d.commands import cli, worker\n"
              "run = worker.Worker.run\n"
              "worker.Worker.run = lambda self: (threading.Thread(target=shout, daemon=True).start(), run(self))[1]\n"
              "status = cli.run(['worker']); os._exit(status)")
    child = start("-c", script)
    ask(child, phases=pair, output="out", settings=quick(small_weights))
    assert list(lines(child))[-1]["type"] == "result"  # every line was JSON
    assert b"noise" in child.stderr.read()


def test_end_of_file_cancels_an_adaptation_within_a_second_and_leaves_nothing(tmp_path, pair, start, small_weights):
    before = files_in(tmp_path)
    child = start(*WORKER)
    ask(child, phases=pair, output="out.seq.nrrd", settings=endless(small_weights), displacements="motion",
        report="r.json", preview="p.gif")
    wait_for(child, "adaptation")
    assert_cancelled_within_a_second(child)
    assert files_in(tmp_path) == before


def test_end_of_file_cancels_while_the_engine_is_still_loading(tmp_path, pair, start, small_weights):
    before = files_in(tmp_path)
    child = start(*WORKER)
    ask(child, phases=pair, output="out", settings=endless(small_weights))
    wait_for(child, "reading")
    assert_cancelled_within_a_second(child)
    assert files_in(tmp_path) == before


def test_end_of_file_cancels_a_step_that_takes_longer_than_a_second(tmp_path, start, small_weights):
    grid = Geometry((40, 128, 128), (2.0, 1.0, 1.0))
    for name, volume in zip(("a.nrrd", "b.nrrd"), beating_heart((0, 1), grid)[0]):
        sitk.WriteImage(to_sitk(volume), str(tmp_path / name))
    before = files_in(tmp_path)
    child = start(*WORKER)
    ask(child, phases=["a.nrrd", "b.nrrd"], output="out.seq.nrrd", settings=endless(small_weights), report="r.json")
    until(lambda: len(files_in(tmp_path)) >= len(before) + 2)  # the outputs are begun, so the first step is on its way
    time.sleep(0.3)
    assert_cancelled_within_a_second(child)
    assert files_in(tmp_path) == before


def assert_cancelled_within_a_second(child) -> None:
    with ends_within(1.0, child):
        child.stdin.close()
        said = list(lines(child))
    assert (said[-1], child.returncode) == ({"type": "cancelled"}, 130)


def test_end_of_file_instead_of_a_request_is_a_cancel(start):
    child = start(*WORKER)
    child.stdin.close()
    assert list(lines(child)) == [{"type": "cancelled"}]
    assert child.wait(PATIENCE) == 130


@pytest.mark.parametrize("request_line, words", [
    (b"interpolate, please\n", "one line of JSON"),
    (b"[]\n", "not a JSON object"),
    (b'{"output": "out", "phases": ["a.nrrd"]}\n', "One phase is not enough"),
    (b'{"output": "out"}\n', "either phases or one sequence"),
    (b'{"output": "out", "sequence": "a", "colour": 1}\n', "Unknown entry 'colour'"),
    (b'{"output": "out", "sequence": "a", "settings": {"speed": 1}}\n', "Unknown setting 'speed'"),
    (b'{"output": "out", "sequence": 5}\n', "not the path"),
    (b'{"output": "out", "sequence": "a", "phase_times": [0, 2, 1]}\n', "rising"),
    (b'{"output": "out", "sequence": "a", "phase_times": "now"}\n', "rising"),
    (b'{"output": "out", "sequence": "missing.nrrd"}\n', "no file or folder 'missing.nrrd'"),
])
def test_a_request_that_cannot_be_served_is_answered_with_one_sentence(request_line, words, tmp_path, start):
    child = start(*WORKER)
    child.stdin.write(request_line)
    child.stdin.flush()
    last = list(lines(child))[-1]
    assert (last["type"], last["kind"], last["details"]) == ("error", "user", None)
    assert words in last["message"] and "\n" not in last["message"]
    assert child.wait(PATIENCE) == 2
    assert files_in(tmp_path) == []


def test_phases_lie_where_the_request_says_and_each_has_its_moment(pair, start, small_weights):
    child = start(*WORKER)
    ask(child, phases=[*pair, pair[0]], phase_times=[7, 8, 12], output="out", settings=quick(small_weights, frames=1))
    frames = [line for line in lines(child) if line["type"] == "frame"]
    assert [frame["index"] for frame in frames] == pytest.approx([0, 10, 20, 60, 100])
    child = start(*WORKER)
    ask(child, phases=pair, phase_times=[7, 8, 12], output="other", settings=quick(small_weights))
    assert "3 phase times for 2 phases" in list(lines(child))[-1]["message"]


def test_phases_that_lie_too_unevenly_to_tell_their_frames_apart_count_evenly_and_it_is_said(
        pair, start, small_weights):
    child = start(*WORKER)
    ask(child, phases=[*pair, pair[0]], phase_times=[0, 1, 1e6], output="out", settings=quick(small_weights, frames=1))
    said = list(lines(child))
    assert [line["index"] for line in said if line["type"] == "frame"] == pytest.approx([0, 25, 50, 75, 100])
    assert any("too uneven" in message for message in said[-1]["report"]["messages"])


def test_a_bug_is_answered_with_its_traceback(pair, start):
    child = start("-c", "import sys; from ttt4d.commands import cli; from ttt4d.images import readers\n"
                  "readers.read_volume = None; sys.exit(cli.run(['worker']))")
    ask(child, phases=pair, output="out")
    last = list(lines(child))[-1]
    assert (last["type"], last["kind"]) == ("error", "bug")
    assert "Traceback" in last["details"] and "TypeError" in last["details"]
    assert child.wait(PATIENCE) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a writer that its reader is gone")
def test_a_worker_whose_listener_is_gone_stops_and_leaves_nothing(tmp_path, pair, start, small_weights):
    before = files_in(tmp_path)
    child = start(*WORKER)
    ask(child, phases=pair, output="out.seq.nrrd", settings=endless(small_weights))
    wait_for(child, "adaptation")
    child.stdout.close()
    assert child.wait(PATIENCE) == 130
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("stage", [None, "adaptation", "writing"])
def test_the_images_of_a_caller_that_was_killed_are_removed(tmp_path, pair, start, small_weights, stage):
    """Before it has asked, in the middle of the work, and at its very end."""
    child = start(*WORKER, "--scratch", str(tmp_path / "phases"))
    if stage:
        settings = endless if stage == "adaptation" else quick
        ask(child, phases=pair, output="phases/out", settings=settings(small_weights))
        wait_for(child, stage)
    child.stdin.close()
    child.stdout.close()
    child.wait(PATIENCE)
    assert not os.path.exists(tmp_path / "phases")


@pytest.mark.parametrize("request_line, last", [(None, "result"), (b"interpolate, please\n", "error")])
def test_the_images_stay_until_the_caller_lets_go_of_them(tmp_path, pair, start, small_weights, request_line, last):
    child = start(*WORKER, "--scratch", str(tmp_path / "phases"))
    if request_line:
        child.stdin.write(request_line)
        child.stdin.flush()
    else:
        ask(child, phases=pair, output="phases/out", settings=quick(small_weights))
    assert any(line["type"] == last for line in lines(child))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    assert os.path.isdir(tmp_path / "phases")
    child.stdin.close()
    child.wait(PATIENCE)
    assert not os.path.exists(tmp_path / "phases")


def test_an_interrupt_while_it_waits_for_the_request_does_not_keep_the_images(tmp_path, pair, start):
    script = ("from ttt4d.commands import cli, worker\n"
              "def interrupted(self): raise KeyboardInterrupt\n"
              "worker.Worker._receive = interrupted\n"
              "cli.run(['worker', '--scratch', 'phases'])")
    child = start("-c", script)
    assert json.loads(child.stdout.readline()) == {"type": "cancelled"}
    child.stdin.close()
    child.wait(PATIENCE)
    assert not os.path.exists(tmp_path / "phases")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_that_ends_the_caller_too_does_not_keep_the_images(tmp_path, pair, start, small_weights, number):
    child = start(*WORKER, "--scratch", str(tmp_path / "phases"))
    ask(child, phases=pair, output="phases/out", settings=quick(small_weights))
    assert any(line["type"] == "result" for line in lines(child))
    for _ in range(2):
        child.send_signal(getattr(signal, number))
        time.sleep(0.1)
    child.stdin.close()
    child.wait(PATIENCE)
    assert not os.path.exists(tmp_path / "phases")
