"""Real images through the command line: what comes out has the input's grid and type, and 3D Slicer's code reads it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ttt4d.commands import cli
from ttt4d.images.datasets import open_data
from ttt4d.images.readers import read_sequence, read_volume
from ttt4d.images.resampling import to_sitk

DATA = Path(os.environ.get("TTT4D_DATA", Path(__file__).parents[3] / "shared" / "data"))
FRAMES = 3

pytestmark = pytest.mark.skipif(not (DATA / "acdc").is_dir(), reason="the real images are not here: set TTT4D_DATA")


@pytest.fixture(scope="module", params=["025", "066", "088", "echo"])
def run(request, cardiac, tmp_path_factory):
    """(phases as given, output by suffix) of a patient's ED and ES, or of three phases of the echo sequence."""
    folder = tmp_path_factory.mktemp("real")
    if request.param == "echo":
        phases = read_sequence(DATA / "echo" / "echo_11f.nii.gz").phases[::4]
        inputs, frames = [str(folder / "echo")], ["--frames-between", str(FRAMES)]
        Path(inputs[0]).mkdir()
        paths = [f"{inputs[0]}/{n}.nrrd" for n in range(len(phases))]
    else:
        case, = open_data(DATA / "acdc").cases([request.param])
        sequence = read_sequence(DATA / "acdc" / f"patient{request.param}" / f"patient{request.param}_4d.nii.gz").phases
        phases = [sequence[case.first], sequence[case.last]]
        inputs = paths = [str(folder / name) for name in ("ed.nii.gz", "es.nii.gz")]
        frames = ["--frames", str(FRAMES)]
    for path, phase in zip(paths, phases):
        sitk.WriteImage(to_sitk(phase), path)
    outputs = {suffix: str(folder / f"out{suffix}") for suffix in (".seq.nrrd", ".nii.gz")}
    for output in outputs.values():
        assert cli.run(["interpolate", *inputs, "-o", output, *frames, "--iterations", "1", "--device", "cpu"]) == 0
    return [read_volume(path) for path in paths], outputs


@pytest.mark.parametrize("suffix", [".seq.nrrd", ".nii.gz"])
def test_the_frames_have_the_phases_grid_and_type_and_hold_them_unchanged(run, suffix):
    phases, outputs = run
    frames = read_sequence(outputs[suffix]).phases
    assert len(frames) == len(phases) + (len(phases) - 1) * FRAMES
    assert all(not phases[0].geometry.differences(frame.geometry) for frame in frames)
    assert all(frame.array.dtype == phases[0].array.dtype for frame in frames)
    for phase, frame in zip(phases, frames[::FRAMES + 1]):
        assert np.array_equal(phase.array, frame.array)


def test_slicer_s_own_code_loads_the_sequence_with_its_index_values(run):
    slicer = pytest.importorskip("slicer")
    phases, outputs = run
    scene = slicer.vtkMRMLScene()
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(outputs[".seq.nrrd"])
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    assert storage.ReadData(sequence) == 1
    count = (len(phases) - 1) * (FRAMES + 1) + 1
    values = [float(sequence.GetNthIndexValue(n)) for n in range(sequence.GetNumberOfDataNodes())]
    assert np.allclose(values, np.linspace(0, 100, count), atol=1e-3)
    assert sequence.GetIndexUnit() == "%"
    scene.Clear(True)


@pytest.mark.parametrize("data, case, method, gain", [
    ("acdc", "066", "cardiac/base", 0.5), ("acdc", "066", "general/default", 0.3),
    ("echo", "1-out", "general/default", 0)])
def test_the_weights_come_closer_to_the_acquired_frames_than_blending(cardiac, data, case, method, gain):
    """Halfway between the two given phases; on echo with weights that have seen no heart at all."""
    from ttt4d.evaluation.methods import make_method
    from ttt4d.evaluation.metrics import psnr
    from ttt4d.evaluation.protocol import PROTOCOLS, pair_of

    case, = open_data(DATA / data).cases([case])
    pair = pair_of(case, PROTOCOLS["crop"])
    middle = len(pair.times) // 2
    ours, blend = (make_method(name)(pair.phase0, pair.phase1, [pair.times[middle]], pair.spacing)[0]
                   for name in (method, "blend"))
    assert psnr(pair.truth[middle], ours) > psnr(pair.truth[middle], blend) + gain
