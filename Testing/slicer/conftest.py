"""What the tests of the Slicer side stand on: real MRML, the real engine, and a host for the panel outside the application.

Inside 3D Slicer (see run_in_slicer.py) the same tests find the application itself in place of the host.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: it exists for Python 3.10 to 3.13")
IN_SLICER = hasattr(slicer, "app")
if not IN_SLICER:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("PySide6", reason="PySide6-Essentials is not installed")
    sys.path.insert(0, os.path.dirname(__file__))
    import host

    host.install()

import numpy as np  # noqa: E402
import qt  # noqa: E402
import vtk  # noqa: E402

from ttt4d.phantom import BeatingHeart  # noqa: E402
from ttt4d.settings import AdaptationSettings, InterpolationSettings  # noqa: E402
from ttt4d.volume import Geometry  # noqa: E402

# The worker gets what it needs from its environment; two test processes at a time must not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL = Geometry((5, 20, 24), (8.0, 4.0, 4.0), (-46.0, -38.0, -16.0))


def cube_directions(angle: float = 0.4, left_handed: bool = False):
    """Oblique axis directions: a turn about two axes, and a mirrored slice axis."""
    c, s = np.cos(angle), np.sin(angle)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    columns = turned[:, ::-1].copy()  # as (k, j, i)
    if left_handed:
        columns[:, 0] *= -1
    return tuple(map(tuple, columns.tolist()))


def oblique(left_handed: bool = False) -> Geometry:
    return Geometry(SMALL.size, SMALL.spacing, (12.345678901, -31.4159, 77.7), cube_directions(left_handed=left_handed))


@pytest.fixture
def scene():
    """An empty scene, the one the module works in."""
    if IN_SLICER:
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
    from TTTInterpolationLib.job import engineEnvironment

    subprocess.run([sys.executable, "-c", (
        "import sys, pathlib, torch\n"
        "from ttt4d import weights\n"
        "torch.manual_seed(0)\n"
        "weights.save(pathlib.Path(sys.argv[1]), weights.new_model(), {'description': 'untrained, for tests'})"),
        str(path)], check=True, env={**os.environ, **engineEnvironment()})
    return str(path)


@pytest.fixture
def quick(weights) -> InterpolationSettings:
    """The smallest run that goes through every stage."""
    return InterpolationSettings(frames=2, weights=weights, device="cpu", adaptation=AdaptationSettings(iterations=1))


@pytest.fixture
def pair(scene):
    """Two phases of a small beating heart in the scene, with a window of their own."""
    return heart(scene, SMALL)


def heart(scene, geometry, times=(0.0, 1.0), dtype=np.int16):
    """Frames of the phantom as volume nodes of the scene."""
    from TTTInterpolationLib import volumes

    nodes = []
    for time_, name in zip(times, ("ED", "ES", "mid")):
        node = volumes.fromEngine(BeatingHeart.within(geometry).frame(geometry, time_, dtype=dtype))
        node.SetName(name)
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(800, 400)
        nodes.append(node)
    return nodes


def matrix_of(node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def contents(scene) -> list:
    """Every node of the scene, to compare before and after."""
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


def turn_until(condition, seconds: float = 120.0):
    """Turn the event loop until a condition holds; returns the longest time in seconds that one turn took."""
    end, longest = time.monotonic() + seconds, 0.0
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        before = time.monotonic()
        qt.QApplication.processEvents()
        longest = max(longest, time.monotonic() - before)
        time.sleep(0.001)
    return longest


class Panel:
    """The module's panel as the application would show it."""

    def __init__(self) -> None:
        from TTTInterpolationLib.widget import TTTInterpolationWidget

        if IN_SLICER:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        else:
            self.parent = slicer.qMRMLWidget()
            qt.QVBoxLayout(self.parent)
        self.parent.isEntered = True
        self.widget = TTTInterpolationWidget(self.parent)
        self.widget.setup()
        self.ui = self.widget.ui
        self.logic = self.widget.logic

    @property
    def choices(self):
        return self.widget._parameterNode

    @property
    def running(self) -> bool:
        return self.logic.runOf(self.choices) is not None

    def close(self) -> None:
        self.widget.cleanup()
        self.parent.deleteLater()


@pytest.fixture
def panels(scene):
    """Opens panels, and closes them after the test."""
    opened = []

    def open_panel() -> Panel:
        opened.append(Panel())
        return opened[-1]

    yield open_panel
    for panel in opened:
        panel.close()


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
