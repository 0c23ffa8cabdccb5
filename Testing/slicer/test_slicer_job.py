"""The child process: how it ends, and what is said of it."""

from __future__ import annotations

import json

import pytest

import tools
from TTTInterpolationLib import job
from TTTInterpolationLib.conversation import Outcome
from TTTInterpolationLib.engine_process import engineCommand
from TTTInterpolationLib.job import BlockingJob, EventLoopJob

STOPPED = "stopped from outside or ran out of memory"


def waited_for(request: dict) -> Outcome:
    with BlockingJob(lambda message: None) as child:
        return child.run(request)


def beside_the_event_loop(request: dict) -> Outcome:
    outcomes = []
    child = EventLoopJob(lambda message: None, lambda line: None, outcomes.append)
    child.start()
    child.send(request)
    tools.turn_until(lambda: outcomes)
    return outcomes[0]


@pytest.fixture(params=[waited_for, beside_the_event_loop])
def run(request, scene):
    return request.param


@pytest.fixture
def child(monkeypatch):
    """Gives the child other arguments for Python than those of the engine's worker."""
    python = engineCommand()[0]
    return lambda *arguments: monkeypatch.setattr(job, "engineCommand", lambda *words: [python, *arguments])


@pytest.mark.parametrize("arguments, reason", [
    (("-c", "import no_such_package"), "ModuleNotFoundError: No module named 'no_such_package'"),
    (("-m", "no_such_package"), "No module named no_such_package"),
    (("-c", "import sys; print('NumPy 2.0 and PyTorch 2.2 do not fit.', file=sys.stderr); sys.exit(2)"),
     "NumPy 2.0 and PyTorch 2.2 do not fit."),
])
def test_a_child_that_does_not_get_to_its_work_says_why_in_its_own_last_line(run, child, arguments, reason):
    child(*arguments)
    outcome = run({})
    assert outcome.kind == "bug" and outcome.message.startswith("The computation could not be started: ")
    assert outcome.message.endswith(reason) and "memory" not in outcome.message
    assert reason in outcome.log


PROGRESS = "import os, sys; print('a warning', file=sys.stderr, flush=True); print('%s', flush=True); " % json.dumps(
    {"type": "progress"})


@pytest.mark.parametrize("program", [
    "raise MemoryError", "import os; os.kill(os.getpid(), 9)", "import os; os.abort()", PROGRESS + "os._exit(1)",
    PROGRESS + "os.kill(os.getpid(), 9)",
    "import sys; sys.exit('error: [python-real] exit abnormally - Report the problem.')",
], ids=["no memory at the start", "killed at the start", "aborted", "ended at work", "killed at work",
        "killed, as Slicer's launcher says it"])
def test_a_child_that_is_killed_or_has_no_memory_is_said_to_be(run, child, program):
    child("-c", program)
    outcome = run({})
    assert outcome.kind == "bug" and STOPPED in outcome.message


def test_a_package_that_the_engine_cannot_import_is_named(run, scene, pair, tmp_path, monkeypatch):
    """The child has begun by then: torch is imported when the images are read."""
    from TTTInterpolationLib import volumes

    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('libtorch.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    phases = [str(tmp_path / f"phase{n}.nrrd") for n in range(2)]
    for node, path in zip(pair, phases):
        volumes.writePhase(node, path)
    outcome = run({"phases": phases, "output": str(tmp_path / "out")})
    assert outcome.kind == "user" and "libtorch.so: cannot open shared object file" in outcome.message
    assert "\n" not in outcome.message and STOPPED not in outcome.message
