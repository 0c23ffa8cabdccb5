"""The auxiliary tasks g: each takes a volume of any size, and learns from what its paper says and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ttt4d
from ttt4d.adaptation.task import AuxiliaryTask
from ttt4d.temporal import models
from ttt4d.temporal.auxiliary import TASKS, task_class
from ttt4d.temporal.auxiliary.agreement import Agreement, lncc, structure, where_they_differ
from ttt4d.temporal.auxiliary.reconstruction import Reconstruction
from ttt4d.temporal.auxiliary.rotation import Rotation
from ttt4d.temporal.network.features import padded_size, patch_size, pyramid_strides
from ttt4d.temporal.network.interpolator import InterpolationNetwork
from ttt4d.temporal.phase_pair import PhasePair

SIZES = st.tuples(st.integers(1, 20), st.integers(2, 40), st.integers(2, 40))
SPACINGS = st.sampled_from([(8.0, 1.5, 1.5), (1.0, 1.0, 1.0), (2.0, 1.0, 3.0)])


@pytest.fixture(scope="module")
def network(small) -> InterpolationNetwork:
    torch.manual_seed(2)
    return InterpolationNetwork(small)


def on_canvas(size, spacing=(8.0, 1.5, 1.5), seed=0) -> PhasePair:
    strides = pyramid_strides(size, spacing, 3)
    phases = torch.rand(2, 1, *padded_size(size, strides), generator=torch.Generator().manual_seed(seed))
    return PhasePair(phases, strides)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=15)
@given(size=SIZES, spacing=SPACINGS)
def test_every_task_has_a_loss_for_any_size(network, small, name, size, spacing):
    loss = task_class(name)(small).loss(network, on_canvas(size, spacing), seeded())
    assert loss.shape == () and torch.isfinite(loss) and loss >= 0


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_differentiable_in_f_and_in_its_head(network, small, name):
    task = task_class(name)(small)
    loss = task.loss(network, on_canvas((4, 20, 26)), seeded())
    parameters = [*network.features.parameters(), *task.parameters()]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    used = [g is not None and bool(g.abs().sum() > 0) for g in gradients]
    assert all(used[:len(list(network.features.parameters()))])
    head = used[len(list(network.features.parameters())):]
    assert any(head) or not head  # a task need not have a head


@pytest.mark.parametrize("name", TASKS)
def test_the_same_draws_give_the_same_loss(network, small, name):
    task, batch = task_class(name)(small), on_canvas((4, 20, 26))
    assert torch.equal(task.loss(network, batch, seeded(3)), task.loss(network, batch, seeded(3)))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("phase", [0, 1])
def test_every_task_learns_from_both_phases(network, small, name, phase):
    """The published code never looks at the second one."""
    task, batch = task_class(name)(small), on_canvas((4, 20, 26))
    other = batch.phases.clone()
    other[phase] = other[phase].flip(-1)
    changed = PhasePair(other, batch.strides)
    assert not torch.equal(task.loss(network, batch, seeded()), task.loss(network, changed, seeded()))


# -- reconstruction ----------------------------------------------------------------------------------------------------


@given(SIZES, SPACINGS, st.integers(0, 99))
def test_80_percent_of_the_patches_are_hidden_for_any_size(size, spacing, seed):
    strides = pyramid_strides(size, spacing, 4)
    size = padded_size(size, strides)
    mask = Reconstruction.mask(size, strides, seeded(seed))
    assert mask.shape == (1, 1, *size)
    patch = patch_size(strides)
    corners = mask[0, 0, ::patch[0], ::patch[1], ::patch[2]]
    assert corners.sum() == round(0.8 * corners.numel())
    whole = corners
    for axis, n in enumerate(patch):
        whole = whole.repeat_interleave(n, axis)
    assert torch.equal(mask[0, 0], whole[:size[0], :size[1], :size[2]])  # a patch is hidden as a whole, or visible


def test_a_patch_follows_the_slices():
    assert patch_size(pyramid_strides((7, 97, 97), (10.0, 1.5, 1.5), 4)) == (1, 8, 8)
    assert patch_size(pyramid_strides((65, 97, 97), (1.0, 1.0, 1.0), 4)) == (8, 8, 8)


def test_each_phase_and_each_step_hides_other_patches():
    strides, generator = pyramid_strides((4, 33, 33), (8.0, 1.5, 1.5), 3), seeded()
    masks = [Reconstruction.mask((4, 33, 33), strides, generator) for _ in range(3)]
    assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks[1], masks[2])


def test_the_error_ignores_the_visible_patches():
    image, truth = torch.rand(2, 2, 1, 4, 16, 16)
    mask = Reconstruction.mask((4, 16, 16), [(1, 4, 4)], seeded())
    error = Reconstruction.masked_error(image, truth, mask.expand_as(truth))
    elsewhere = torch.where(mask == 1, image, torch.full_like(image, 1e3))
    assert torch.equal(Reconstruction.masked_error(elsewhere, truth, mask.expand_as(truth)), error)
    assert error == pytest.approx((image - truth).square()[mask.expand_as(truth) == 1].mean().item(), rel=1e-5)


def test_hidden_patches_are_hidden_before_f_sees_them(network, small):
    """What lies under the mask never changes the reconstruction; what is visible does."""
    class Answering(Reconstruction):
        def decode(self, features):
            self.decoded = super().decode(features)
            return self.decoded

    task, batch = Answering(small), on_canvas((4, 20, 26))
    task.loss(network, batch, seeded(5))
    decoded, draws = task.decoded, seeded(5)
    masks = torch.cat([Reconstruction.mask(batch.phases.shape[2:], batch.strides, draws) for _ in batch.phases])
    for hidden in (True, False):
        other = torch.where((masks == 1) == hidden, torch.rand_like(batch.phases), batch.phases)
        task.loss(network, PhasePair(other, batch.strides), seeded(5))
        assert torch.equal(task.decoded, decoded) == hidden


def test_a_visible_change_reaches_the_loss_only_through_f(network, small):
    """A head that says nothing cannot tell what is visible."""
    task, batch = Reconstruction(small), on_canvas((4, 20, 26))
    torch.nn.init.zeros_(task.leave.weight)
    draws = seeded(5)
    masks = torch.cat([Reconstruction.mask(batch.phases.shape[2:], batch.strides, draws) for _ in batch.phases])
    visible_changed = PhasePair(torch.where(masks == 0, torch.rand_like(batch.phases), batch.phases), batch.strides)
    assert torch.equal(task.loss(network, batch, seeded(5)), task.loss(network, visible_changed, seeded(5)))


# -- agreement ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 999), st.floats(0.5, 5.0), st.floats(-2.0, 2.0))
def test_brighter_or_inverted_tissue_still_agrees(seed, gain, offset):
    image = torch.rand(1, 1, 4, 20, 22, generator=seeded(seed))
    for sign in (1, -1):
        assert lncc(image, sign * gain * image + offset, (3, 9, 9)) > 0.98


@given(st.integers(0, 999))
def test_unlike_images_do_not_agree(seed):
    one, other = torch.rand(2, 1, 1, 4, 20, 22, generator=seeded(seed))
    assert lncc(one, other, (3, 9, 9)) < 0.1


def test_structure_keeps_the_grid_and_what_is_smooth_and_loses_noise():
    ramp = torch.linspace(0, 1, 22).expand(1, 1, 4, 20, 22)
    assert torch.allclose(structure(ramp, (1, 3, 3))[..., 1:-1], ramp[..., 1:-1], atol=1e-6)
    noise = torch.randn(1, 1, 4, 20, 22, generator=seeded())
    smooth = structure(noise, (1, 3, 3))
    assert smooth.shape == noise.shape and smooth.std() < 0.5 * noise.std()


@settings(max_examples=20)
@given(SIZES, SPACINGS, st.integers(0, 99))
def test_agreement_lies_between_none_and_full(network, small, size, spacing, seed):
    assert 0 <= Agreement(small).loss(network, on_canvas(size, spacing, seed), seeded(seed)) <= 1.5


def test_phases_that_are_one_image_agree_better_than_two_images(network, small):
    batch = on_canvas((4, 20, 26))
    same = PhasePair(batch.phases[:1].expand(2, -1, -1, -1, -1), batch.strides)
    assert Agreement(small).loss(network, same, seeded()) < 0.5 < Agreement(small).loss(network, batch, seeded())


@pytest.mark.parametrize("corner", [(0, 0), (0, 40), (48, 8)])
def test_agreement_looks_where_the_phases_differ(corner):
    """The box holds all that moves, fits the pyramid, and is two thirds as wide along the axes that f halves."""
    strides = [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)]
    phases = torch.zeros(2, 1, 5, 65, 57)
    j, i = corner
    phases[1, :, 2, j:j + 16, i:i + 16] = torch.rand(16, 16, generator=seeded())
    box = where_they_differ(PhasePair(phases, strides))
    assert box.grid == (5, 49, 41) == padded_size(box.grid, strides)
    assert torch.allclose(box.phases.sum(dim=(3, 4)), phases.sum(dim=(3, 4)))


def test_steps_of_agreement_see_every_part_that_moves_and_none_that_does_not():
    strides, generator = [(1, 1, 1), (1, 2, 2), (1, 2, 2)], seeded()
    phases = torch.zeros(2, 1, 3, 65, 65)
    for n, (j, i) in enumerate([(2, 2), (60, 60)]):
        phases[1, :, :, j, i] = 1 + n / 4
    seen = [where_they_differ(PhasePair(phases, strides), generator).phases[1].max().item() for _ in range(60)]
    assert set(seen) == {1.0, 1.25} and seen.count(1.25) > seen.count(1.0)
    still = torch.rand(1, 1, 3, 65, 65).expand(2, -1, -1, -1, -1)
    assert where_they_differ(PhasePair(still, strides), generator).grid == (3, 45, 45)


# -- rotation ----------------------------------------------------------------------------------------------------------


def test_rotation_learns_to_tell_the_quarter_turns_of_a_volume_that_is_not_square(small):
    """Four classes, told apart within a few steps on an image with a way up."""
    torch.manual_seed(0)
    network, task = InterpolationNetwork(small), Rotation(small)
    for parameter in (*network.features.parameters(), *task.parameters()):
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter, 0.1)  # or the first steps go into making the image audible
    ramp = torch.linspace(0, 1, 16).expand(4, 1, 2, 12, 16).contiguous()
    batch, generator = PhasePair(ramp, [(1, 1, 1), (1, 2, 2), (1, 1, 1)]), seeded()
    optimizer, losses = task.optimizer(network, 1e-3), []
    for _ in range(120):
        loss = task.loss(network, batch, generator)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[:5]) / 5 > 1.2  # ln 4 = 1.39 is a guess
    assert sum(losses[-10:]) / 10 < 0.3


def test_an_image_without_a_way_up_has_no_right_answer(network, small):
    """It looks the same whichever way it is turned: on average no head does better than a guess."""
    task = Rotation(small)
    batch = PhasePair(torch.full((2, 1, 3, 24, 32), 0.5), [(1, 1, 1), (1, 2, 2), (1, 2, 2)])
    losses = [task.loss(network, batch, seeded(seed)).item() for seed in range(40)]
    assert sum(losses) / 40 > 1.25


# What a new task is: one file with a subclass, and one entry.
BRIGHTNESS = """
from ...adaptation.task import AuxiliaryTask

class Brightness(AuxiliaryTask):
    iterations = 3
    learning_rate = 1e-2

    def loss(self, network, batch, generator):
        return (network.features(batch.phases, batch.strides)[0].mean() - 0.5) ** 2
"""

# The new task on its whole way: fresh weights, a file without it, settings by name, a run.
WITH_BRIGHTNESS = """
import sys
import numpy as np
from ttt4d import Geometry, InterpolationSettings, Interpolator, Volume
from ttt4d.temporal import models

assert "brightness" in models.new_model().tasks
grid = Geometry((3, 20, 20), (8.0, 1.5, 1.5))
pair = [Volume(np.random.default_rng(n).integers(0, 400, grid.shape).astype(np.int16), grid) for n in (0, 1)]
settings = InterpolationSettings.from_json({"frames": 1, "adaptation": {"auxiliary": "brightness"}})
result = Interpolator(sys.argv[1], "cpu").run(pair, settings)
list(result.frames)
adaptation, = result.report["adaptation"]
print(len(adaptation["losses"]), adaptation["kept"], adaptation["losses"][-1] < adaptation["losses"][0])
"""


def test_a_new_task_is_a_loss_and_an_entry_and_the_rest_is_there(tmp_path, small_weights):
    """Done to a copy of the engine, as the contributors' page describes it."""
    engine = tmp_path / "ttt4d"
    shutil.copytree(Path(ttt4d.__file__).parent, engine, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (engine / "temporal" / "auxiliary" / "brightness.py").write_text(BRIGHTNESS)
    registry = engine / "temporal" / "auxiliary" / "__init__.py"
    entries = registry.read_text()
    assert entries.count("TASKS = {\n") == 1
    registry.write_text(entries.replace("TASKS = {\n", 'TASKS = {\n    "brightness": "brightness.Brightness",\n'))
    done = subprocess.run([sys.executable, "-c", WITH_BRIGHTNESS, small_weights], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"})
    assert done.stdout.split() == ["3", "True", "True"], done.stderr


def test_a_bug_in_a_task_is_a_bug_and_not_damaged_weights(small_weights, monkeypatch):
    def broken(self, settings):
        raise TypeError("a mistake of its author")

    monkeypatch.setattr(Reconstruction, "__init__", broken)
    with pytest.raises(TypeError, match="mistake of its author"):
        models.load(small_weights)


def test_a_task_without_its_number_of_steps_says_so_when_it_is_written():
    with pytest.raises(TypeError, match="Forgetful has no iterations"):
        type("Forgetful", (AuxiliaryTask,), {"learning_rate": 1e-3})
