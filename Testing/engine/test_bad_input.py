"""Whatever a user gets wrong: exit status 2, one sentence that says what, and no file more than before."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from shell import PATIENCE, SMALL, files_in
from ttt4d.commands import cli
from ttt4d.images.resampling import to_sitk
from ttt4d.images.volume import Volume
from ttt4d.images.writers import open_writer
from ttt4d.temporal.phantom import beating_heart


def volume(time: float = 0.0) -> Volume:
    return beating_heart([time], SMALL)[0][0]


def written(folder: Path, name: str, image) -> str:
    """An image, volume or array written under a name in the folder of phases."""
    if isinstance(image, np.ndarray):
        image = to_sitk(Volume(image, SMALL))
    elif isinstance(image, Volume):
        image = to_sitk(image)
    path = folder / "phases" / name
    sitk.WriteImage(image, str(path))
    return str(path)


def of_bytes(folder: Path, name: str, content: bytes) -> str:
    path = folder / "phases" / name
    path.write_bytes(content)
    return str(path)


def with_header(folder: Path, name: str, old: bytes, new: bytes) -> str:
    """A phase in an uncompressed NRRD file, its header changed."""
    image = to_sitk(volume(1.0))
    path = folder / "phases" / name
    sitk.WriteImage(image, str(path), False)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return str(path)


def filled(value: float) -> np.ndarray:
    array = volume(1.0).array.astype(np.float32)
    array[2, 3, 4] = value
    return array


def truncated_gzip(folder: Path) -> str:
    path = Path(written(folder, "cut.nii.gz", volume(1.0)))
    path.write_bytes(path.read_bytes()[:-600])
    return str(path)


def labels() -> np.ndarray:
    return (volume(1.0).array > 600).astype(np.int16) + (volume(1.0).array > 200)


def colour() -> sitk.Image:
    image = to_sitk(Volume(volume(1.0).array.astype(np.uint8), SMALL))
    return sitk.Compose(image, image, image)


def elsewhere() -> sitk.Image:
    image = to_sitk(volume(1.0))
    image.SetOrigin((5000.0, 0.0, 0.0))
    return image


def one_phase_sequence(folder: Path) -> str:
    return written(folder, "one.nii.gz", sitk.JoinSeries([to_sitk(volume())]))


def safetensors_of_another_program(folder: Path) -> str:
    from safetensors.numpy import save_file

    path = folder / "phases" / "other.safetensors"
    save_file({"x": np.zeros(3, np.float32)}, str(path))
    return str(path)


def cut_weights(folder: Path, weights: str) -> str:
    return of_bytes(folder, "cut.safetensors", Path(weights).read_bytes()[:5000])


def empty_folder(folder: Path) -> str:
    (folder / "phases" / "nothing").mkdir()
    return str(folder / "phases" / "nothing")


def sequence_of_kind_time(folder: Path) -> str:
    path = folder / "phases" / "time.seq.nrrd"
    with open_writer(path, SMALL, np.int16, (0, 100), (True, True), {}) as writer:
        for number in range(2):
            writer.write(number, volume(number).array)
    path.write_bytes(path.read_bytes().replace(b"domain list", b"domain time", 1))
    return str(path)


# The name of a case, what its sentence has to say, and how the second phase comes to be.
SECOND_PHASES = {
    "a missing file": ("no file", lambda f: str(f / "phases" / "missing.nrrd")),
    "an unknown format": ("format", lambda f: of_bytes(f, "picture.jpg", b"\xff\xd8\xff")),
    "an empty file": ("cannot be read", lambda f: of_bytes(f, "empty.nrrd", b"")),
    "text renamed to .nrrd": ("cannot be read", lambda f: of_bytes(f, "text.nrrd", b"Dear colleague,\n")),
    "a truncated gzip": ("cut short", truncated_gzip),
    "a label map": ("label map", lambda f: written(f, "labels.nrrd", labels())),
    "a colour image": ("one grey value", lambda f: written(f, "rgb.nrrd", colour())),
    "mismatched components": ("one grey value", lambda f: written(f, "vector.mha", colour())),
    "a sequence as a phase": ("sequence", lambda f: written(
        f, "cine.nii.gz", sitk.JoinSeries([to_sitk(volume(t)) for t in (0, 1)]))),
    "NaN voxels": ("NaN", lambda f: written(f, "nan.nrrd", filled(np.nan))),
    "infinite voxels": ("infinite", lambda f: written(f, "inf.nrrd", filled(np.inf))),
    "a constant volume": ("same value", lambda f: written(f, "constant.nrrd", np.full(SMALL.shape, 7, np.int16))),
    "a 2D image": ("two-dimensional", lambda f: written(f, "flat.nrrd", to_sitk(volume())[:, :, 2])),
    "an empty image": ("", lambda f: with_header(f, "empty.nrrd", b"sizes: 24 24 5", b"sizes: 24 24 0")),
    "zero spacing": ("spacing", lambda f: with_header(f, "zero.nrrd", b"(5,0,0)", b"(0,0,0)")),
    "negative spacing": ("spacing", lambda f: of_bytes(
        f, "negative.mha", Path(written(f, "positive.mha", volume())).read_bytes().replace(
            b"ElementSpacing = 5", b"ElementSpacing = -5"))),
    "phases that do not overlap": ("do not overlap", lambda f: written(f, "far.nrrd", elsewhere())),
    "the same phase twice": ("same image", lambda f: str(f / "phases" / "ed.nrrd")),
    "values the first type cannot hold": ("cannot hold", lambda f: written(f, "wide.nrrd", filled(1e6))),
    "grey levels that rounding would merge": ("would lose its content", lambda f: written(
        f, "few.nrrd", volume(1.0).array.astype(np.float32) / 50)),
    "a phase of another field of view": ("covers only", lambda f: written(f, "part.nrrd", to_sitk(volume(1.0))[:10])),
    "a computed frame": ("computed, not measured", lambda f: with_header(
        f, "result.nrrd", b"encoding:", b"ttt4d.frame:=synthetic\nencoding:")),
    "a sequence over an axis of time": ("is a sequence of 2 phases", sequence_of_kind_time),
    "fractions the first type cannot hold": ("would lose its content", lambda f: written(
        f, "unit.nrrd", volume(1.0).array.astype(np.float32) / 1000)),
}

# One input alone, where a sequence is needed.
SEQUENCES = {
    "one volume for two": ("two phases", lambda f: str(f / "phases" / "ed.nrrd")),
    "a sequence of one phase": ("two phases", one_phase_sequence),
    "a folder without phases": ("no phases", empty_folder),
}

ARGUMENTS = {
    "no frames": ("frames is 0", ["--frames", "0"]),
    "fewer than no frames": ("frames is -3", ["--frames-between", "-3"]),
    "frames that are no number": ("invalid int value", ["--frames", "many"]),
    "a time of 0": ("strictly between", ["--times", "0"]),
    "a time of 1": ("strictly between", ["--times", "0.5", "1"]),
    "a time before the first phase": ("strictly between", ["--times", "-0.2"]),
    "a time that is no number": ("choose a number", ["--times", "nan"]),
    "times that fall": ("must rise", ["--times", "0.6", "0.4"]),
    "frames and times at once": ("not allowed with", ["--frames", "3", "--times", "0.5"]),
    "an unknown task": ("Unknown auxiliary task 'jigsaw'", ["--auxiliary", "jigsaw"]),
    "an unknown scheme": ("Unknown scheme 'offline'", ["--scheme", "offline"]),
    "no iterations": ("iterations is 0", ["--iterations", "0"]),
    "a learning rate of zero": ("learning_rate", ["--learning-rate", "0"]),
    "a canvas too small": ("canvas is 3", ["--canvas", "3"]),
    "a seed below zero": ("seed is -1", ["--seed", "-1"]),
    "an unknown device": ("no device 'gpu'", ["--device", "gpu"]),
    "an absent device": ("no device 'cuda:99'", ["--device", "cuda:99"]),
    "an unknown argument": ("--colour", ["--colour"]),
    "a preview of another kind": ("neither .png nor .gif", ["--preview", "out.jpg"]),
    "two outputs of one name": ("same name", ["--report", "out.seq.nrrd"]),
    "displacements around another": ("would hold another output", ["--displacements", "d", "--report", "d/r.json"]),
    "a report in a missing folder": ("does not exist", ["--report", "nowhere/report.json"]),
    "a preview over an input": ("one of the inputs", ["--displacements", "phases/ed.nrrd"]),
}

OUTPUTS = {
    "an output in a missing folder": ("does not exist", "nowhere/out.seq.nrrd"),
    "an output under a file": ("does not exist", "phases/ed.nrrd/out.seq.nrrd"),
    "an output of no known kind": ("format cannot be determined", "out.avi"),
    "an output folder that is not empty": ("not empty", "phases"),
    "an output file that is a folder": ("is a folder", "folder.seq.nrrd"),
}

WEIGHTS = {
    "unknown weights": ("no weights 'kidney'", lambda f, w: "kidney"),
    "weights of another kind": ("damaged or not", lambda f, w: of_bytes(f, "w.safetensors", b"Dear colleague,\n" * 9)),
    "weights of another program": ("another program", lambda f, w: safetensors_of_another_program(f)),
    "damaged weights": ("damaged", cut_weights),
}


def refused(tmp_path, capfd, words: str, *arguments: str) -> None:
    before = files_in(tmp_path)
    status = cli.run(["interpolate", *arguments])
    told = capfd.readouterr()
    assert status == 2, told.err
    assert_one_sentence(told.err)
    assert words in told.err
    assert told.out == ""
    assert files_in(tmp_path) == before


def assert_one_sentence(text: str) -> None:
    assert re.fullmatch(r"ttt4d: [^\n]*\.\n", text), text
    assert not re.search(r"[.!?] [A-Z]", text), text
    assert "Traceback" not in text


@pytest.fixture(autouse=True)
def in_the_users_folder(tmp_path, pair, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.seq.nrrd").mkdir()


@pytest.mark.parametrize("case", SECOND_PHASES)
def test_a_second_phase_that_cannot_be_used_is_refused_with_one_sentence(case, tmp_path, capfd, small_weights):
    words, make = SECOND_PHASES[case]
    refused(tmp_path, capfd, words, "phases/ed.nrrd", make(tmp_path), "-o", "out.seq.nrrd", "--weights", small_weights)


@pytest.mark.parametrize("name", ["result.seq.nrrd", "result.nii.gz", "result"])
def test_a_result_is_not_taken_for_acquired_phases(name, tmp_path, pair, capfd, small_weights):
    arguments = ["--weights", small_weights, "--auxiliary", "none", "--frames", "1"]
    assert cli.run(["interpolate", *pair, "-o", name, *arguments]) == 0
    capfd.readouterr()
    refused(tmp_path, capfd, "Phase 1 was computed", name, "-o", "out.seq.nrrd", *arguments)


def test_a_copy_of_a_result_by_a_program_that_drops_its_marks_is_read(pair, small_weights):
    arguments = ["--weights", small_weights, "--auxiliary", "none", "--frames", "1"]
    assert cli.run(["interpolate", *pair, "-o", "result.nii.gz", *arguments]) == 0
    sitk.WriteImage(sitk.ReadImage("result.nii.gz"), "copy.nii.gz")
    assert cli.run(["interpolate", "copy.nii.gz", "-o", "out.seq.nrrd", *arguments]) == 0


def test_a_cycle_that_ends_as_it_began_is_refused(tmp_path, pair, capfd, small_weights):
    refused(tmp_path, capfd, "Phases 2 and 0 are the same image", *pair, pair[0], "-o", "out.seq.nrrd", "--cyclic",
            "--weights", small_weights)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among its files")
@pytest.mark.parametrize("arguments", [["-o", "pipe.seq.nrrd"], ["-o", "out.seq.nrrd", "--report", "pipe.seq.nrrd"]])
def test_a_device_or_pipe_is_never_replaced(arguments, tmp_path, pair, capfd, small_weights):
    os.mkfifo("pipe.seq.nrrd")
    refused(tmp_path, capfd, "is a device or a pipe", *pair, *arguments, "--weights", small_weights)


@pytest.mark.parametrize("case", SEQUENCES)
def test_a_sequence_that_cannot_be_used_is_refused_with_one_sentence(case, tmp_path, capfd, small_weights):
    words, make = SEQUENCES[case]
    refused(tmp_path, capfd, words, make(tmp_path), "-o", "out.seq.nrrd", "--weights", small_weights)


@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_argument_out_of_range_is_refused_with_one_sentence(case, tmp_path, pair, capfd, small_weights):
    words, arguments = ARGUMENTS[case]
    refused(tmp_path, capfd, words, *pair, "-o", "out.seq.nrrd", "--weights", small_weights, *arguments)


@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_that_cannot_be_written_is_refused_with_one_sentence(case, tmp_path, pair, capfd, small_weights):
    words, output = OUTPUTS[case]
    refused(tmp_path, capfd, words, *pair, "-o", output, "--weights", small_weights)


def test_an_output_equal_to_the_input_is_refused_however_its_path_is_written(tmp_path, capfd, small_weights):
    cine = written(tmp_path, "cine.nii.gz", sitk.JoinSeries([to_sitk(volume(t)) for t in (0, 1)]))
    output = "phases/../phases/cine.nii.gz"
    refused(tmp_path, capfd, "one of the inputs", cine, "-o", output, "--weights", small_weights)


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_cannot_be_used_are_refused_with_one_sentence(case, tmp_path, pair, capfd, small_weights):
    words, make = WEIGHTS[case]
    refused(tmp_path, capfd, words, *pair, "-o", "out.seq.nrrd", "--weights", make(tmp_path, small_weights))


@pytest.mark.parametrize("arguments", [[], ["interpolate"], ["interpolate", "a", "b"], ["unknown"]])
def test_an_incomplete_command_gets_one_sentence_instead_of_the_usage(arguments, capfd):
    assert cli.run(arguments) == 2
    assert_one_sentence(capfd.readouterr().err)


def test_the_command_itself_prints_one_sentence_and_exits_with_2(tmp_path, pair, start):
    before = files_in(tmp_path)
    child = start("-m", "ttt4d", "interpolate", *pair, "-o", "out.seq.nrrd", "--frames", "0")
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (2, b"")
    assert_one_sentence(err.decode())
    assert files_in(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("output", ["out.seq.nrrd", "out.nii.gz", "out.nii", "out"])
def test_a_disk_that_gets_full_is_said_in_one_sentence_and_leaves_nothing(output, tmp_path, pair, start, small_weights):
    import resource

    before = files_in(tmp_path)
    child = start("-m", "ttt4d", "interpolate", *pair, "-o", output, "--weights", small_weights, "--auxiliary", "none",
                  "--displacements", "motion", "--report", "report.json",
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 2, err
    assert_one_sentence(err.decode())
    assert "make room" in err.decode()
    assert files_in(tmp_path) == before


def test_an_output_larger_than_the_free_space_is_refused_before_the_work(tmp_path, pair, capfd, small_weights):
    free = shutil.disk_usage(tmp_path).free
    frames = free // (2 * int(np.prod(SMALL.shape)))
    if frames >= 1000:
        pytest.skip("the disk holds more frames of this size than a run may have")
    refused(tmp_path, capfd, "free", *pair, "-o", "out.seq.nrrd", "--weights", small_weights, "--frames", "1000")
