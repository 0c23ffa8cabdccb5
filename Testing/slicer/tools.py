"""What several tests of the Slicer side use."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from ttt4d.images.volume import Geometry
from ttt4d.temporal.phantom import BeatingHeart

# The stand-ins of the folder `host` are loaded where the application is not. In the application `slicer.app` has no
# `mainWindow` for Python, and the host has a `layoutManager` too.
IN_SLICER = "host" not in sys.modules

DATA = os.environ.get("TTT4D_DATA", os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "data"))
PATIENTS = os.path.join(DATA, "acdc")

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
    return Geometry(SMALL.shape, SMALL.spacing, (12.345678901, -31.4159, 77.7),
                    cube_directions(left_handed=left_handed))


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


REPORT = {
    "settings": {"seed": 3, "frames": 1}, "weights": {"name": "cardiac", "sha256": "ab12"}, "device": "cpu",
    "versions": {"ttt4d": "0.1.0"}, "date": "2026-01-01", "messages": ["Said by the engine; with \"quotes\""],
    "adaptation": [{"batch": 0, "losses": [0.5, 0.25], "held_out_loss": [0.4, 0.3], "kept": True}],
}


def built(scene, geometry, dtype=np.int16, times=(0.0, 0.5, 1.0)):
    """A sequence in the scene with real frames, as a run builds it from files, and the nodes it was made from."""
    from TTTInterpolationLib import browsing, sequences, volumes

    nodes = heart(scene, geometry, times=times, dtype=dtype)
    sequence = sequences.newSequence("result")
    for n, time_ in enumerate(times):
        frame = BeatingHeart.within(geometry).frame(geometry, time_, dtype=dtype)
        sequences.addItem(sequence, volumes.fromEngine(frame), 100 * time_, acquired=n != 1)
    frames = browsing.place(scene, sequence)
    sequences.annotate(frames, REPORT, [nodes[0], nodes[-1]])
    return nodes, frames


def matrix_of(node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def same_grid(a, b) -> bool:
    """To the last digits: MRML keeps spacing and directions, so a matrix is computed anew each time it is asked for."""
    return np.allclose(matrix_of(a), matrix_of(b), rtol=0, atol=1e-12)


def contents(scene) -> list:
    """Every node of the scene, to compare before and after."""
    return sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))


@dataclass
class Turns:
    """The longest turn of the event loop: seconds by the clock, and seconds of computing in this thread."""

    wall: float = 0.0
    computing: float = 0.0


def turn_until(condition, seconds: float = 900.0) -> Turns:
    """Turn the event loop until a condition holds."""
    end, longest = time.monotonic() + seconds, Turns()
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        wall, computing = time.monotonic(), time.thread_time()
        slicer.app.processEvents()
        longest.wall = max(longest.wall, time.monotonic() - wall)
        longest.computing = max(longest.computing, time.thread_time() - computing)
        time.sleep(0.001)
    return longest


@dataclass
class OwnWork:
    """The longest call from the event loop into the module, in seconds of computing in this thread.

    A turn of the application's event loop also renders, which takes as long as the graphics card wants.
    """

    longest: float = 0.0
    calls: int = 0

    def measured(self, function):
        """Return the function, measured."""
        @functools.wraps(function)
        def call(*arguments):
            began = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.longest = max(self.longest, time.thread_time() - began)
                self.calls += 1

        return call


def exists(pid: int) -> bool:
    """Whether a process is there and not a zombie that only waits to be buried."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def run_python(program: str, *arguments: str, options: tuple = (), **environment: str) -> str:
    """Run a program in a fresh Python beside the host, and return what it prints. Not for the application."""
    done = subprocess.run([sys.executable, *options, "-c", program, *arguments], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, "QT_QPA_PLATFORM": "offscreen", **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_segmentation(scene, volume, segments: dict, color=(0.2, 0.4, 0.6)):
    """Add a segmentation drawn on a volume: `segments` holds boolean arrays (k, j, i) by the names of the segments."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name, inside in segments.items():
        identity = node.GetSegmentation().AddEmptySegment("", name, color)
        slicer.util.updateSegmentBinaryLabelmapFromArray(inside.astype(np.uint8), node, identity, volume)
    return node


def add_patient(scene, name: str = "patient066") -> list:
    """Add the end-diastole and the end-systole of a patient to a scene, and return both nodes."""
    from ttt4d.images.readers import read_sequence
    from TTTInterpolationLib import volumes

    phases = read_sequence(os.path.join(PATIENTS, name, f"{name}_4d.nii.gz")).phases
    nodes = []
    for moment, number in moments_of(name).items():
        node = volumes.fromEngine(phases[number - 1])
        node.SetName(moment)
        nodes.append(scene.AddNode(node))
    return nodes


def moments_of(name: str) -> dict:
    """The numbers of a patient's phases, from 1, that an expert called end-diastole and end-systole."""
    with open(os.path.join(PATIENTS, name, "Info.cfg"), encoding="utf-8") as file:
        info = dict(line.split(":") for line in file if ":" in line)
    return {moment: int(info[moment]) for moment in ("ED", "ES")}
