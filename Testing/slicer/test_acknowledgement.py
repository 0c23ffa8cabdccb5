"""Weights with conditions of their own: agreed to once, and never used without."""

from __future__ import annotations

import json

import pytest
import qt
import slicer

import tools
from ttt4d import weights
from ttt4d.errors import WeightsError
from TTTInterpolationLib import acknowledgement, browsing, sequences
from TTTInterpolationLib.parameters import FillBetween, MapChoice, weightsOf


@pytest.fixture
def settings(monkeypatch):
    """Settings of the test's own, and what was asked with which answer."""
    kept, asked, answers = {}, [], []
    monkeypatch.setattr(slicer.util, "settingsValue", lambda key, default, converter=None: kept.get(key, default))
    monkeypatch.setattr(qt, "QSettings", lambda: type("Settings", (), {"setValue": staticmethod(kept.__setitem__)}))
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: (asked.append(text), answers.pop(0))[1])
    return asked, answers


def test_conditions_are_agreed_to_once_and_free_weights_are_never_asked_about(settings):
    asked, answers = settings
    free = [name for name in weights.names() if "research use" not in weights.licence(name)]
    bound = [name for name in weights.names() if name not in free]
    assert "general" in free and "slices-free" in free and "cardiac" in bound and "slices" in bound
    acknowledgement.ask([*free, "/some/file.safetensors"])
    assert not asked
    answers += [True]
    acknowledgement.ask(["cardiac"])
    acknowledgement.ask(["cardiac"])
    assert len(asked) == 1 and "ACDC" in asked[0]


def test_who_does_not_agree_is_told_of_free_weights_of_the_same_axis_and_asked_again(settings):
    asked, answers = settings
    answers += [False, False]
    for name, other in (("cardiac", "general"), ("slices", "slices-free")):
        with pytest.raises(WeightsError, match=f"such as {other},"):
            acknowledgement.ask([name])
    assert len(asked) == 2


def test_carrying_asks_about_the_weights_that_the_result_was_made_with(panel, scene, shown, monkeypatch):
    asked = []

    def refuse(names) -> None:
        asked.extend(names)
        raise WeightsError("The conditions were not accepted.")

    monkeypatch.setattr(acknowledgement, "ask", refuse)
    nodes, frames = tools.built(scene, tools.SMALL)
    browsing.browse(frames, like=nodes[0])
    frames.SetAttribute(sequences.PREFIX + "Settings", json.dumps({"weights": "cardiac"}))
    panel.choices.outputSequence, panel.choices.adaptation.weights = frames, "general"
    panel.choices.carry.maps = MapChoice.displacement
    assert panel.ui.carryButton.enabled, panel.ui.carryButton.toolTip
    panel.ui.carryButton.click()
    assert asked == ["cardiac"] and not panel.running and "not accepted" in shown[0][0]


def test_only_the_weights_of_the_chosen_axis_are_asked_about(panel):
    choices = panel.choices
    choices.adaptation.weights, choices.sliceAdaptation.weights = "cardiac", "slices"
    found = {}
    for axis in FillBetween:
        choices.fillBetween = axis
        found[axis.name] = weightsOf(choices)
    assert found == {"phases": ["cardiac"], "slices": ["slices"], "both": ["cardiac", "slices"]}
