import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from ttt4d.errors import WeightsError  # noqa: E402
from ttt4d.evaluation import metrics, uvinet  # noqa: E402


@pytest.fixture()
def model():
    torch.manual_seed(0)
    return uvinet.UVINet()


def phases(size=(4, 13, 14), seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(2, 1, *size, generator=random), torch.rand(2, 1, *size, generator=random)


@pytest.mark.parametrize("part,count", [("flow", 302_710), ("refinement", 196_597), ("features", 13_556)])
def test_it_has_as_many_parameters_as_the_published_network(model, part, count):
    assert sum(p.numel() for p in getattr(model, part).parameters()) == count


def test_untrained_it_blends(model):
    phase0, phase1 = phases()
    with torch.no_grad():
        frame, residual = model.between(phase0, phase1, *model.flow(phase0, phase1), torch.tensor([0.25, 0.5]))
    assert frame.shape == residual.shape == phase0.shape
    assert torch.allclose(frame[0], 0.75 * phase0[0] + 0.25 * phase1[0], atol=1e-2)
    assert torch.allclose(frame[1], 0.5 * phase0[1] + 0.5 * phase1[1], atol=1e-2)


def test_the_flow_to_time_t_pulls_each_phase_its_share_of_the_way(model):
    base = torch.zeros(2, 1, 4, 8, 24)
    phase0, phase1 = base.clone(), base.clone()
    phase0[..., 6:9], phase1[..., 12:15] = 1, 1
    flow01, flow10 = torch.zeros(2, 3, 4, 8, 24), torch.zeros(2, 3, 4, 8, 24)
    flow01[:, 2], flow10[:, 2] = -6, 6
    frame, residual = model.between(phase0, phase1, flow01, flow10, torch.tensor([0.5, 0.5]))
    expected = base.clone()
    expected[..., 9:12] = 1
    assert torch.allclose(frame - residual, expected, atol=1e-5)


def test_its_ncc_is_the_one_definition():
    a, b = (p[:1] for p in phases())
    charbonnier = torch.sqrt((a - b) ** 2 + uvinet.CHARBONNIER**2).mean()
    ncc = metrics.ncc(a[0, 0].numpy(), b[0, 0].numpy())
    assert float(charbonnier - uvinet._dissimilarity(a, b)) == pytest.approx(ncc, rel=1e-4)


def test_the_cycle_loss_reaches_every_part_and_falls(model):
    phase0, phase1 = phases()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(4):
        loss = uvinet.cycle_loss(model, phase0, phase1, torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for part in (model.flow, model.refinement, model.features):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert losses[-1] < losses[0]


def test_its_test_time_training_changes_f_and_never_the_motion(model, tmp_path, monkeypatch):
    monkeypatch.setattr(uvinet, "ADAPTATION_STEPS", 2)
    for layer in (model.flow.out, model.refinement.out):
        torch.nn.init.normal_(layer.weight, std=0.02)
    uvinet._save(tmp_path / "w.pt", model, torch.optim.Adam(model.parameters()), 7)
    phase0, phase1 = (p[0, 0].numpy() for p in phases())
    plain, adapted = (uvinet.UVINetMethod(str(tmp_path / "w.pt"), adapt) for adapt in (False, True))
    before = copy.deepcopy(adapted.model.state_dict())
    times = (0.25, 0.5, 0.75)
    frames = [method(phase0, phase1, times, None) for method in (plain, adapted)]
    assert [len(f) for f in frames] == [3, 3]
    assert not np.array_equal(frames[0][1], frames[1][1])
    after = adapted.model.state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(after[key], before[key])}
    assert changed == {"features", "rotation"}


def test_training_goes_on_from_its_checkpoint(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    patient = tmp_path / "patient001"
    patient.mkdir()
    (patient / "Info.cfg").write_text("ED: 1\nES: 3\n")
    frames = np.random.default_rng(0).random((3, 4, 16, 18), dtype=np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(frames, isVector=False), str(patient / "patient001_4d.nii.gz"))
    (tmp_path / "index.csv").write_text("patient,split,spacing_known\n001,train,no\n")
    out = tmp_path / "uvinet.pt"
    assert uvinet.train(str(tmp_path), out, steps=1) == 1
    before = uvinet._load(out)["model"]
    told = []
    assert uvinet.train(str(tmp_path), out, steps=3, report=lambda step, loss: told.append(step)) == 3
    assert told == [2, 3]
    after = uvinet._load(out)["model"]
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "w.pt").write_text("text")
    with pytest.raises(WeightsError, match="no checkpoint of UVI-Net"):
        uvinet.UVINetMethod(str(tmp_path / "w.pt"), adapt=False)
