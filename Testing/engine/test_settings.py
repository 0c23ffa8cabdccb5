"""Settings are valid or are not made; they are plain JSON both ways."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttt4d.commands.settings_arguments import add_settings, settings_of
from ttt4d.errors import SettingsError
from ttt4d.settings import SCHEMES, AdaptationSettings, InterpolationSettings, option
from ttt4d.temporal.auxiliary import TASKS
from ttt4d.temporal.memory import canvas_voxels_within, estimated_memory_mib


@given(
    times=st.lists(st.integers(1, 499), unique=True, max_size=5),
    adaptation=st.builds(
        AdaptationSettings, auxiliary=st.sampled_from(["none", *TASKS]), scheme=st.sampled_from(SCHEMES),
        iterations=st.none() | st.integers(1, 10000), learning_rate=st.none() | st.floats(1e-9, 1)),
    frames=st.integers(1, 1000), cyclic=st.booleans(), canvas=st.none() | st.integers(16, 1024),
    seed=st.integers(0, 2**31 - 1))
def test_settings_come_back_from_their_own_json(times, adaptation, frames, cyclic, canvas, seed):
    times = tuple(t / 500 for t in sorted(times))
    settings = InterpolationSettings(frames, times, cyclic, adaptation, canvas=canvas, seed=seed)
    assert InterpolationSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_names_left_out_take_their_defaults():
    assert InterpolationSettings.from_json({}) == InterpolationSettings()
    naive = InterpolationSettings.from_json({"adaptation": {"scheme": "naive"}})
    assert naive == InterpolationSettings(adaptation=AdaptationSettings(scheme="naive"))


@pytest.mark.parametrize("values, word", [
    ({"frames": 0}, "frames"), ({"frames": 1001}, "frames"), ({"frames": 2.0}, "frames"), ({"frames": True}, "frames"),
    ({"frames": None}, "frames"),
    ({"times": [0]}, "Time 0"), ({"times": [1]}, "Time 1"), ({"times": [-0.2]}, "Time -0.2"),
    ({"times": [0.5, 0.2]}, "rise"), ({"times": [0.5, 0.5]}, "rise"), ({"times": [float("nan")]}, "times"),
    ({"times": [1e-4, 0.5]}, "rise"), ({"times": [0.5, 1 - 1e-4]}, "rise"),
    ({"times": ["0.5"]}, "times"), ({"times": "0.5"}, "times"), ({"times": 0.5}, "times"), ({"times": None}, "times"),
    ({"cyclic": 1}, "cyclic"), ({"canvas": 15}, "canvas"), ({"canvas": 1025}, "canvas"), ({"canvas": 64.0}, "canvas"),
    ({"seed": -1}, "seed"), ({"seed": 2**31}, "seed"), ({"seed": "0"}, "seed"),
    ({"weights": ""}, "weights"), ({"weights": 3}, "weights"), ({"device": None}, "device"),
    ({"adaptation": {"auxiliary": "rotate"}}, "rotate"), ({"adaptation": {"auxiliary": ["rotation"]}}, "rotation"),
    ({"adaptation": {"scheme": "offline"}}, "offline"), ({"adaptation": {"iterations": 0}}, "iterations"),
    ({"adaptation": {"iterations": 1.5}}, "iterations"), ({"adaptation": {"learning_rate": 0}}, "learning_rate"),
    ({"adaptation": {"learning_rate": 1.1}}, "learning_rate"),
    ({"adaptation": {"learning_rate": float("inf")}}, "learning_rate"),
    ({"adaptation": None}, "JSON object"), ({"adaptation": {"lr": 1}}, "lr"), ({"frame": 3}, "frame"),
    ([], "JSON object"),
])
def test_a_bad_value_is_named_in_one_sentence(values, word):
    with pytest.raises(SettingsError) as error:
        InterpolationSettings.from_json(values)
    assert word in str(error.value) and "\n" not in str(error.value)


@given(st.integers(1, 1000))
def test_frames_are_evenly_spaced_strictly_between_the_phases(frames):
    times = InterpolationSettings(frames=frames).frame_times
    steps = [b - a for a, b in zip((0, *times), (*times, 1))]
    assert len(times) == frames and all(abs(step - 1 / (frames + 1)) < 1e-9 for step in steps)


def test_given_times_are_taken_as_they_are():
    assert InterpolationSettings(times=(0.1, 0.7)).frame_times == (0.1, 0.7)


def test_the_largest_canvas_within_a_memory_is_estimated_to_stay_within_it():
    voxels = canvas_voxels_within(4000, 10_000_000)
    assert 3990 < estimated_memory_mib(10_000_000, voxels) <= 4000
    assert canvas_voxels_within(0, 10_000_000) == 16**3


# -- one list of options -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MoreAdaptation(AdaptationSettings):
    momentum: float = option(0.9, "of the optimiser", least=0, most=1)


@dataclasses.dataclass(frozen=True)
class MoreSettings(InterpolationSettings):
    """The settings with new options, each a field and nothing else."""

    adaptation: MoreAdaptation = dataclasses.field(default_factory=MoreAdaptation)
    smoothing: Optional[float] = option(None, "of the frames in mm", metavar="MM", above=0, most=10)
    sharpen: bool = option(False, "make edges sharper")
    windows: Tuple[float, ...] = option((), "two numbers")
    mode: str = option("fast", "how", choices=("fast", "good"), choice="mode")


def parsed(settings, *arguments: str):
    parser = argparse.ArgumentParser()
    add_settings(parser, settings)
    return settings_of(parser.parse_args(arguments), settings)


def test_a_new_option_is_one_field_and_arrives_from_the_command_line():
    found = parsed(MoreSettings, "--smoothing", "2.5", "--sharpen", "--windows", "1", "2", "--mode", "good",
                   "--momentum", "0.5", "--frames", "4", "--iterations", "7")
    assert (found.smoothing, found.sharpen, found.windows, found.mode) == (2.5, True, (1.0, 2.0), "good")
    assert (found.adaptation.momentum, found.adaptation.iterations, found.frames) == (0.5, 7, 4)
    assert MoreSettings.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_new_option_that_is_left_out_takes_its_default_and_is_in_the_help():
    assert parsed(MoreSettings) == MoreSettings()
    parser = argparse.ArgumentParser()
    add_settings(parser, MoreSettings)
    text = " ".join(parser.format_help().split())
    assert "--smoothing MM of the frames in mm" in text and "of the optimiser (default: 0.9)" in text


@pytest.mark.parametrize("arguments, words", [
    (["--smoothing", "0"], "smoothing is 0.0: choose a number above 0, at most 10."),
    (["--mode", "slow"], "Unknown mode 'slow': choose one of fast, good."),
    (["--momentum", "2"], "momentum is 2.0: choose a number from 0 to 1."),
])
def test_a_new_option_is_checked_as_its_field_says(arguments, words):
    with pytest.raises(SettingsError, match=words):
        parsed(MoreSettings, *arguments)


OTHER = {"frames": ["--frames", "4"], "times": ["--times", "0.3", "0.6"], "cyclic": ["--cyclic"],
         "weights": ["--weights", "general"], "device": ["--device", "cpu"], "canvas": ["--canvas", "64"],
         "seed": ["--seed", "5"], "auxiliary": ["--auxiliary", "rotation"], "scheme": ["--scheme", "naive"],
         "iterations": ["--iterations", "3"], "learning_rate": ["--learning-rate", "0.5"]}


def test_every_setting_can_be_reached_from_the_command_line():
    names = {f.name for cls in (InterpolationSettings, AdaptationSettings) for f in dataclasses.fields(cls)}
    assert names == {*OTHER, "adaptation"}
    for name, arguments in OTHER.items():
        found = parsed(InterpolationSettings, *arguments)
        holder = found if hasattr(found, name) else found.adaptation
        assert getattr(holder, name) != getattr(type(holder)(), name), name


def test_every_frame_has_its_time_in_the_unit_of_the_phases():
    settings = InterpolationSettings(frames=1)
    assert settings.acquisition_times((10, 30, 50)) == (10, 20, 30, 40, 50)
    assert dataclasses.replace(settings, cyclic=True).acquisition_times((10, 30, 50)) == (10, 20, 30, 40, 50, 60)
