"""What the tests of the Slicer side stand on: real MRML, the real engine, and a host for the panel.

Inside 3D Slicer (see run_in_slicer.py) the same tests find the application itself in place of the host.
"""

from __future__ import annotations

import gc
import os
import subprocess

import pytest

# pytest looks for examples in every module. This one starts pytest itself.
collect_ignore = ["run_in_slicer.py"]

try:
    import slicer

    if hasattr(slicer, "app"):
        collect_ignore_glob = ["host/*"]  # stands in for the application, with a Qt that is not there
    else:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        import host

        host.install()
    import tools
    from panel_driver import Panel
    from ttt4d.settings import AdaptationSettings, InterpolationSettings
except ImportError as missing:
    # slicer-core exists for Python 3.10 to 3.13 only; the engine runs on 3.9 too.
    print(f"The tests of the Slicer side are left out: {missing}")
    collect_ignore_glob = ["*.py"]  # also what the tests stand on

# The worker gets what it needs from its environment; two processes at a time must not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def collected_in_this_thread():
    """Qt and VTK crash if another thread destroys their objects, and Python collects in whichever thread is at work.

    A progress bar of an earlier test has such a thread. So the collector waits for the end of each test, and then runs
    here. What was there before the test is frozen: to look through it each time would take minutes.
    """
    gc.disable()
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def scene():
    """An empty scene, the one the module works in."""
    if tools.IN_SLICER:
        slicer.mrmlScene.Clear(0)
        yield slicer.mrmlScene
        slicer.mrmlScene.Clear(0)
        return
    from host.application import newScene

    scene = newScene()
    yield scene
    scene.Clear(0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> str:
    """A weights file of the engine's own making, untrained: these tests ask whether a run works, not how well."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    from TTTInterpolationLib.engine_process import engineCommand, engineEnvironment

    subprocess.run([engineCommand()[0], "-c", (
        "import sys, pathlib, torch\n"
        "from ttt4d.temporal.models import new_model\n"
        "from ttt4d.weights.files import save\n"
        "torch.manual_seed(0)\n"
        "save(pathlib.Path(sys.argv[1]), new_model(), {'description': 'untrained, for tests'})"),
        str(path)], check=True, env={**os.environ, **engineEnvironment()})
    return str(path)


@pytest.fixture
def quick(weights) -> InterpolationSettings:
    """The smallest run that goes through every stage."""
    return InterpolationSettings(frames=2, weights=weights, device="cpu", adaptation=AdaptationSettings(iterations=1))


@pytest.fixture
def pair(scene):
    """Two phases of a small beating heart in the scene, with a window of their own."""
    return tools.heart(scene, tools.SMALL)


@pytest.fixture(params=[False, True], ids=["right-handed", "left-handed"])
def geometry(request):
    """An oblique grid, turned about two axes."""
    return tools.oblique(left_handed=request.param)


@pytest.fixture
def panels(scene, monkeypatch):
    """Opens panels of a user who has agreed to the conditions of all weights, and closes them after the test."""
    from TTTInterpolationLib import acknowledgement
    from TTTInterpolationLib.job import EventLoopJob

    monkeypatch.setattr(acknowledgement, "ask", lambda names: None)
    opened = []

    def open_panel() -> Panel:
        opened.append(Panel())
        return opened[-1]

    yield open_panel
    for panel in opened:
        panel.close()
    tools.turn_until(lambda: not EventLoopJob.withChild)


@pytest.fixture
def panel(panels, pair, weights) -> Panel:
    """A panel with two phases chosen and settings for a quick run."""
    panel = panels()
    panel.choices.phase0, panel.choices.phase1 = pair
    panel.choices.adaptation.iterations = 1
    panel.choices.adaptation.weights = weights
    panel.choices.output.frames = 2
    panel.choices.advanced.device = "cpu"
    return panel


@pytest.fixture
def temporary_folder(panel, tmp_path):
    """A folder of the test's own for what is passed to the child, to see that nothing stays there."""
    panel.choices.advanced.temporaryFolder = str(tmp_path)
    return tmp_path


@pytest.fixture
def shown(monkeypatch) -> list:
    """What the application would show in message boxes."""
    messages = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: messages.append((text, options)))
    return messages


@pytest.fixture
def own_work(monkeypatch) -> tools.OwnWork:
    """Measures the calls from the event loop into the module, from the start of the test."""
    from TTTInterpolationLib.job import EventLoopJob
    from TTTInterpolationLib.run import Turns

    work = tools.OwnWork()
    for cls, name in ((Turns, "_takeTurn"), (EventLoopJob, "_readOutput"), (EventLoopJob, "_readLog"),
                      (EventLoopJob, "_onProcessFinished")):
        monkeypatch.setattr(cls, name, work.measured(getattr(cls, name)))
    return work
