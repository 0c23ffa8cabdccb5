"""A weights file is whole and ours, or it is refused with one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ttt4d import weights
from ttt4d.errors import WeightsError
from ttt4d.settings import InterpolationSettings
from ttt4d.temporal import models
from ttt4d.temporal.auxiliary import TASKS
from ttt4d.temporal.pipeline import Interpolator
from ttt4d.weights.files import save
from ttt4d.weights.model import Model, mean_model


@pytest.fixture
def parts(small_weights):
    """The tensors and the header of a good file."""
    with safe_open(small_weights, framework="pt") as file:
        return load_file(small_weights), dict(file.metadata())


def refused(path) -> str:
    with pytest.raises(WeightsError) as error:
        models.load(str(path))
    assert "\n" not in str(error.value) and "/" not in str(error.value)  # no folder's name: it may be a patient's
    return str(error.value)


def test_weights_come_back_as_they_were_saved(small, tmp_path):
    torch.manual_seed(3)
    model = models.new_model(small)
    save(tmp_path / "w.safetensors", model, {"name": "test", "figures": {"PSNR": 30.5}})
    again = models.load(str(tmp_path / "w.safetensors"))
    assert again.card == {"name": "test", "figures": {"PSNR": 30.5}} and again.network.settings == small
    for one, other in ((model.network, again.network), *((model.tasks[n], again.tasks[n]) for n in model.tasks)):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
        assert not any(p.requires_grad for p in other.parameters())


def test_names_of_an_axis_follow_the_files_and_their_headers_are_read_once(tmp_path, monkeypatch, parts):
    tensors, header = parts
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    path = tmp_path / "new.safetensors"
    for second, axis in enumerate((weights.TEMPORAL, weights.THROUGH_PLANE), start=1):
        save_file(tensors, path, {**header, "axis": axis})
        os.utime(path, (second, second))
        assert weights.names(axis) == ("new",) == weights.names() and weights.axis_of(path) == axis
    opened = []
    monkeypatch.setattr("builtins.open", lambda *arguments: opened.append(arguments))
    assert weights.names(weights.THROUGH_PLANE) == ("new",) and weights.locate("new") == path and not opened


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_may_read_what_is_saved(small, tmp_path):
    save(tmp_path / "w.safetensors", models.new_model(small), {})
    (tmp_path / "any").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_loading_twice_gives_two_models(small_weights):
    one, other = models.load(small_weights), models.load(small_weights)
    next(one.network.parameters()).add_(1)
    assert not torch.equal(next(one.network.parameters()), next(other.network.parameters()))


def test_an_unknown_name_is_answered_with_the_known_ones():
    assert "heart" in refused("heart")
    assert all(name in refused("heart") for name in weights.names())


def test_a_folder_is_no_weights_file(tmp_path):
    refused(tmp_path)


def test_text_renamed_is_refused(tmp_path):
    (tmp_path / "w.safetensors").write_text("these are not weights")
    assert "damaged" in refused(tmp_path / "w.safetensors")


def test_another_program_s_checkpoint_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "w.safetensors").touch()
    refused(tmp_path / "w.safetensors")


@given(st.floats(0, 0.999))
def test_a_file_cut_short_anywhere_is_refused(small_weights, tmp_path_factory, fraction):
    whole = Path(small_weights).read_bytes()
    path = tmp_path_factory.mktemp("cut") / "w.safetensors"
    path.write_bytes(whole[:int(fraction * len(whole))])
    refused(path)


def test_weights_of_another_program_are_refused(parts, tmp_path):
    tensors, _ = parts
    save_file(tensors, tmp_path / "w.safetensors", metadata={"format": "pt"})
    assert "another program" in refused(tmp_path / "w.safetensors")
    save_file(tensors, tmp_path / "bare.safetensors")
    assert "another program" in refused(tmp_path / "bare.safetensors")


@pytest.mark.parametrize("change", [
    {"network": None}, {"network": "[1, 2"}, {"network": "[]"}, {"network": "{}"}, {"network": '{"features": 3}'},
    {"network": '{"widths": [1]}'}, {"network": '{"features": ["a"]}'}, {"network": '{"features": []}'},
    {"card": None}, {"card": "{"},
])
def test_a_damaged_header_is_refused(parts, tmp_path, change):
    tensors, header = parts
    header = {key: value for key, value in {**header, **change}.items() if value is not None}
    save_file(tensors, tmp_path / "w.safetensors", metadata=header)
    refused(tmp_path / "w.safetensors")


@given(st.integers(8, 400), st.integers(1, 255))
def test_a_damaged_byte_in_the_header_never_fails_otherwise(small_weights, tmp_path_factory, place, flip):
    damaged = bytearray(Path(small_weights).read_bytes())
    damaged[place] ^= flip
    path = tmp_path_factory.mktemp("flip") / "w.safetensors"
    path.write_bytes(bytes(damaged))
    try:
        models.load(str(path))
    except WeightsError:
        pass


def test_a_missing_part_is_refused(parts, tmp_path):
    tensors, header = parts
    for name in ("network.features.down.0.weight", "rotation.classifier.0.bias"):
        fewer = {key: value for key, value in tensors.items() if key != name}
        save_file(fewer, tmp_path / "w.safetensors", metadata=header)
        assert "does not fit" in refused(tmp_path / "w.safetensors")


def test_a_task_whose_head_came_later_is_missing_and_the_rest_works(parts, phases, tmp_path):
    tensors, header = parts
    fewer = {key: value for key, value in tensors.items() if not key.startswith("rotation.")}
    save_file(fewer, tmp_path / "w.safetensors", metadata=header)
    assert set(models.load(str(tmp_path / "w.safetensors")).tasks) == set(TASKS) - {"rotation"}
    engine = Interpolator(str(tmp_path / "w.safetensors"), "cpu")

    def frames(auxiliary):
        settings = {"frames": 1, "adaptation": {"auxiliary": auxiliary, "iterations": 1}}
        return list(engine.run(phases(), InterpolationSettings.from_json(settings)).frames)

    assert len(frames("agreement")) == 3
    with pytest.raises(WeightsError, match="no head for the task 'rotation'.*choose one of"):
        frames("rotation")


def test_the_mean_of_models_lies_between_them_and_tells_of_both(small):
    one, other = (Model(m.network, m.tasks, {"stages": [n]}) for n, m in
                  enumerate((models.new_model(small), models.new_model(small))))
    between = mean_model([one, other])
    for part in ("network", "rotation", "reconstruction"):
        a, b, mean = ((m.network if part == "network" else m.tasks[part]).state_dict() for m in (one, other, between))
        assert all(torch.allclose(mean[key], (a[key] + b[key]) / 2) for key in a)
    assert between.card["stages"] == [{"stage": "mean", "of": [[0], [1]], "shares": [0.5, 0.5]}]
    with pytest.raises(WeightsError, match="no mean"):
        mean_model([one, models.new_model()])


def test_weights_of_other_widths_than_they_say_are_refused(parts, tmp_path):
    tensors, header = parts
    header["network"] = json.dumps({"features": [4, 6, 10], "motion": [8, 8], "refinement": [6, 8]})
    save_file(tensors, tmp_path / "w.safetensors", metadata=header)
    assert "does not fit" in refused(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["network.refinement.leave.weight", "reconstruction.leave.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(parts, tmp_path, name, value):
    tensors, header = parts
    tensors[name].view(-1)[0] = value
    save_file(tensors, tmp_path / "w.safetensors", metadata=header)
    assert "finite" in refused(tmp_path / "w.safetensors")


def test_the_checksum_is_the_file_s(small_weights, tmp_path):
    import hashlib
    assert weights.checksum(Path(small_weights)) == hashlib.sha256(Path(small_weights).read_bytes()).hexdigest()


def runs_of(stages):
    """Every run of training that a card tells of, those behind a mean too."""
    for stage in stages:
        if stage["stage"] == "mean":
            for behind in stage["of"]:
                yield from runs_of(behind)
        else:
            yield stage


@pytest.mark.parametrize("name", weights.names(weights.TEMPORAL))
def test_packaged_weights_say_how_they_were_made_and_for_what(name):
    card = models.load(name).card
    assert card["date"] and card["licence"]
    runs = list(runs_of(card["stages"]))
    assert runs and all({"stage", "data", "steps", "seed", "learning_rate"} <= set(run) for run in runs)
    words = weights.locate(name).with_suffix(".md").read_text(encoding="utf-8").lower()
    assert all(word in words for word in ("not for clinical use", "licence", "data", "protocol", "seed", card["date"]))
