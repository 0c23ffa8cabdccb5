"""Devices: only those that run the network are used; what does not fit is recognised by its words."""

from __future__ import annotations

import pytest
import torch

from ttt4d import devices
from ttt4d.errors import DeviceError
from ttt4d.temporal import memory


def test_the_cpu_runs_the_network():
    assert devices.probe(torch.device("cpu")) == ""
    assert devices.choose("cpu", []) == torch.device("cpu")


def test_a_device_that_holds_no_numbers_does_not_pass_the_probe():
    assert devices.probe(torch.device("meta")) != ""


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", "CPU", "meta", "xla"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name):
    with pytest.raises(DeviceError, match="cpu"):
        devices.choose(name, [])


def test_auto_takes_a_device_that_passes_the_probe_and_tells_of_those_that_do_not():
    messages = []
    chosen = devices.choose("auto", messages)
    assert devices.probe(chosen) == ""
    if len(devices.available()) == 1:
        assert chosen.type == "cpu" and not messages
    else:
        assert chosen.type != "cpu" or messages


def test_every_available_device_has_a_name_that_can_be_chosen():
    for found in devices.available():
        assert torch.device(found["name"]) and found["description"]


def test_the_cpu_gets_a_canvas_it_does_in_seconds():
    assert memory.canvas_voxels(torch.device("cpu"), 512**3) == memory.CPU_VOXELS


def test_memory_that_runs_out_is_recognised():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert devices.is_out_of_memory(error.value)
    assert devices.is_out_of_memory(MemoryError())


def test_another_error_is_not_taken_for_memory():
    with pytest.raises(RuntimeError) as error:
        torch.zeros(2) @ torch.zeros(3)
    assert not devices.is_out_of_memory(error.value)
    assert not devices.is_out_of_memory(ValueError("a sentence"))
