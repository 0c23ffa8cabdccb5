"""`ttt4d train`: from data to a file that loads, and what it refuses before it trains."""

from __future__ import annotations

import pytest
import torch

from test_datasets import write_patient
from ttt4d.commands.cli import run
from ttt4d.commands.train import STAGES
from ttt4d.temporal import models
from ttt4d.training.synthetic import SyntheticAnatomySampler
from ttt4d.weights.files import save


def test_no_steps_write_the_mean_of_the_weights_to_start_from(small, tmp_path):
    starts = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        starts.append(str(tmp_path / f"{seed}.safetensors"))
        save(starts[-1], models.new_model(small), {"stages": [seed]})
    output = tmp_path / "mean.safetensors"
    assert run(["train", "--generated", "--start", *starts, "--steps", "0", "-o", str(output), "--device", "cpu"]) == 0
    one, other, mean = (models.load(path).network.state_dict() for path in (*starts, str(output)))
    assert all(torch.allclose(mean[key], (one[key] + other[key]) / 2) for key in mean)


def test_a_cache_of_other_cases_is_not_taken_for_these(tmp_path):
    for number in range(1, 21):
        write_patient(tmp_path / ("one" if number <= 10 else "other"), f"{number:03d}", size=(5, 24, 26))
    (tmp_path / "one").rename(tmp_path / "data")
    words = ["train", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "made.safetensors"), "--steps", "1",
             "--batch", "2", "--crop", "17", "--device", "cpu"]
    assert run(words) == 0
    (tmp_path / "data").rename(tmp_path / "one")
    (tmp_path / "other").rename(tmp_path / "data")
    assert run(words) == 2


@pytest.mark.parametrize("crop, words", [(64, "does not fit the network's pyramid"), (33, "smallest image")])
def test_a_crop_that_cannot_be_is_refused_in_a_sentence(tmp_path, crop, words, capsys):
    for number in range(1, 11):
        write_patient(tmp_path / "data", f"{number:03d}", size=(5, 24, 26))
    assert run(["train", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "made.safetensors"), "--steps", "1",
                "--crop", str(crop), "--device", "cpu"]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "made.safetensors").exists()


@pytest.mark.parametrize("wrong", [["--generated-part", "1"], ["--generated-part", "-0.1"],
                                   ["--generated-part", "0.5", "--generated"],
                                   ["--generated-part", "0.5", "--axis", "slices"]])
def test_a_part_of_generated_anatomies_that_cannot_be_is_refused_in_a_sentence(tmp_path, wrong, capsys):
    output = tmp_path / "made.safetensors"
    assert run(["train", "--data", str(tmp_path), "-o", str(output), "--steps", "1", *wrong]) == 2
    assert "part of generated anatomies" in capsys.readouterr().err and not output.exists()


def test_a_place_that_takes_no_weights_is_refused_before_the_training(tmp_path, capsys):
    (tmp_path / "made.safetensors").mkdir()
    words = ["train", "--generated", "--steps", "1", "--batch", "2", "--crop", "17", "--device", "cpu", "-o"]
    for name, told in (("made.safetensors", "is a folder"), ("no/made.safetensors", "does not exist"), ("made", "end")):
        assert run([*words, str(tmp_path / name)]) == 2
        assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["made.safetensors"]


@pytest.mark.parametrize("name", ["made.safetensors", "made.part"])
def test_weights_that_cannot_be_written_after_all_are_no_bug(tmp_path, monkeypatch, capsys, name):
    """A folder in the way of the weights or of the checkpoint is as good as a full disk."""
    def blocked(self, generator):
        (tmp_path / name).mkdir()
        return draw(self, generator)

    draw = SyntheticAnatomySampler.draw
    monkeypatch.setattr(SyntheticAnatomySampler, "draw", blocked)
    assert run(["train", "--generated", "--steps", "1", "--batch", "2", "--crop", "17", "--device", "cpu", "-o",
                str(tmp_path / "made.safetensors")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("source", [[], ["--whole"], ["--generated"], ["--generated-part", "0.5"]])
def test_one_command_goes_from_data_to_a_weights_file_that_loads(tmp_path, source, stage):
    """The data in the ACDC layout, or none at all."""
    for number in range(1, 11):
        write_patient(tmp_path / "data", f"{number:03d}", size=(5, 24, 26))
    output = tmp_path / "made.safetensors"
    status = run(["train", "--data", str(tmp_path / "data"), *source, "-o", str(output), "--name", "made",
                   "--stage", stage, "--steps", "1", "--batch", "2", "--crop", "17", "--device", "cpu"])
    assert status == 0
    card = models.load(str(output)).card
    assert card["name"] == "made" and card["stages"][0]["steps"] == 1
    assert card["stages"][0]["data"] == ("generated" if "--generated" in source else "acquired")


def test_the_peer_uvinet_is_trained_by_the_same_command_and_then_measured(tmp_path, capsys):
    for number in range(1, 11):
        write_patient(tmp_path / "data", f"{number:03d}", size=(5, 24, 26))
    output = tmp_path / "uvinet.pt"
    data = ["--data", str(tmp_path / "data")]
    words = ["train", "--model", "uvinet", *data, "-o", str(output), "--batch", "2", "--crop", "20", "--device", "cpu",
             "--steps"]
    assert run([*words, "1"]) == run([*words, "2"]) == 0
    assert torch.load(output, weights_only=True)["steps"] == 2
    assert run(["evaluate", *data, "--methods", "blend,uvinet", "--uvinet", str(output)]) == 0
    assert "| uvinet |" in capsys.readouterr().out


def test_the_peer_is_named_where_a_user_looks_for_it(capsys):
    assert run(["train", "--help"]) == 0
    assert "{ttt4d,uvinet}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["train", "-o", "made.safetensors"], ["evaluate", "--methods", "blend"],
                                   ["train", "--model", "uvinet", "-o", "uvinet.pt"]])
def test_data_must_be_named(tmp_path, monkeypatch, capsys, words):
    monkeypatch.delenv("TTT4D_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run([*words, "--device", "cpu"]) == 2
    assert "give --data DIR, or set the environment variable TTT4D_DATA" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
