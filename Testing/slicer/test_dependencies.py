"""Packages on first Apply: with consent, torch through the PyTorch extension, and clear words when there is none."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
import slicer

from TTTInterpolationLib import dependencies


@pytest.fixture
def installed(monkeypatch) -> set:
    """The packages that are there, for as long as the test runs."""
    names = set()
    monkeypatch.setattr(dependencies, "_has", lambda requirement: requirement.partition(">")[0] in names)
    return names


@pytest.fixture
def requirements(tmp_path, monkeypatch) -> str:
    path = tmp_path / "requirements.txt"
    path.write_text("# a comment\nsafetensors>=0.3\ntqdm\n")
    monkeypatch.setattr(dependencies, "REQUIREMENTS", str(path))
    return str(path)


@pytest.fixture
def no_packaging(monkeypatch):
    """Slicer 5.10 and older: no slicer.packaging."""
    monkeypatch.delattr(slicer, "packaging", raising=False)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)


def pytorch_extension(monkeypatch, result, installed) -> list:
    asked = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options):
            asked.append(options)
            if result:
                installed.add("torch")
            return result

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    return asked


def test_nothing_is_asked_when_everything_is_there(installed, requirements):
    installed.update({"torch", "safetensors", "tqdm"})
    dependencies.ensure()


def test_without_the_pytorch_extension_the_user_is_told_how_to_get_it(installed, requirements, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(dependencies.DependencyError, match="Extensions Manager"):
        dependencies.ensure()


def test_torch_is_installed_by_the_extension_after_it_asked(installed, requirements, monkeypatch):
    installed.update({"safetensors", "tqdm"})
    asked = pytorch_extension(monkeypatch, "torch", installed)
    dependencies.ensure()
    assert asked == [{"askConfirmation": True, "torchVersionRequirement": ">=2.0"}]


def test_declining_torch_is_said_in_one_sentence(installed, requirements, monkeypatch):
    pytorch_extension(monkeypatch, None, installed)
    with pytest.raises(dependencies.DependencyError, match="PyTorch was not installed"):
        dependencies.ensure()


def test_an_older_slicer_asks_before_it_installs_the_rest(installed, requirements, no_packaging, monkeypatch):
    installed.update({"torch", "tqdm"})
    asked, got = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *rest, **more: asked.append(text) or True)
    monkeypatch.setattr(slicer.util, "pip_install", lambda names: (got.append(names), installed.add("safetensors")))
    dependencies.ensure()
    assert "safetensors" in asked[0] and got == [["safetensors>=0.3"]]


def test_declining_the_rest_installs_nothing_and_is_said(installed, requirements, no_packaging, monkeypatch):
    installed.add("torch")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *rest, **more: False)
    monkeypatch.setattr(slicer.util, "pip_install", lambda names: pytest.fail("installed without consent"))
    with pytest.raises(dependencies.DependencyError, match="were not installed"):
        dependencies.ensure()


def test_a_newer_slicer_installs_the_rest_through_its_own_packaging(installed, requirements, monkeypatch):
    installed.add("torch")
    asked = []

    def pip_ensure(wanted, requester):
        asked.append((wanted, requester))
        installed.update({"safetensors", "tqdm"})

    packaging = types.SimpleNamespace(pip_ensure=pip_ensure)
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
    dependencies.ensure()
    assert asked == [(["safetensors>=0.3", "tqdm"], "TTTInterpolation")]


def test_offline_the_packages_that_are_missing_are_named(installed, requirements, no_packaging, monkeypatch):
    installed.add("torch")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *rest, **more: True)
    def pip_install(names):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    with pytest.raises(dependencies.DependencyError, match="safetensors.*tqdm.*internet connection"):
        dependencies.ensure()


def test_a_script_is_told_what_is_missing_and_installs_nothing(installed, requirements):
    installed.add("torch")
    with pytest.raises(dependencies.DependencyError, match="safetensors.*press Apply once"):
        dependencies.check()


@pytest.fixture
def versions(monkeypatch) -> dict:
    """Versions of the packages that are there, on a computer that is no Intel Mac."""
    versions = {"torch": "2.6.0", "numpy": "1.26.4", "safetensors": "0.5", "tqdm": "4.0"}
    monkeypatch.setattr(dependencies.importlib.metadata, "version", lambda name: versions[name])
    monkeypatch.setattr(dependencies, "_isIntelMac", lambda: False)
    return versions


def test_a_package_that_is_too_old_is_as_good_as_missing(requirements, versions):
    versions.update(torch="1.13.1+cu117", safetensors="0.2.9")
    assert dependencies.missing() == ["torch>=2.0", "safetensors>=0.3"]
    versions.update(torch=None, safetensors="0.10.1rc1")
    assert dependencies.missing() == ["torch>=2.0"], "what pip has left half removed"
    for torch in ("2", "2.13.0+cpu"):
        versions["torch"] = torch
        assert dependencies.missing() == []


@pytest.mark.parametrize("torch, numpy, fits", [
    ("2.0.1", "1.26.4", True), ("2.2.2+cpu", "1.26.4", True), ("2.2.2+cpu", "2.0.0", False), ("2.3.0", "2.1.3", True),
    ("2.3.0", "1.24.0", True),
])
def test_numpy_has_to_fit_pytorch(requirements, versions, torch, numpy, fits):
    versions.update(torch=torch, numpy=numpy)
    assert dependencies.missing() == ([] if fits else ["torch>=2.3"])
    if not fits:
        with pytest.raises(dependencies.DependencyError,
                           match=r"NumPy 2.0.0 and PyTorch 2.2.2\+cpu do not fit: update PyTorch to 2.3 or newer"):
            dependencies.check()


def test_a_pytorch_that_fits_numpy_is_asked_for(requirements, versions, monkeypatch):
    versions.update(torch="2.2.2", numpy="2.1.0")
    asked = pytorch_extension(monkeypatch, "torch", set())
    with pytest.raises(dependencies.DependencyError, match="NumPy 2.1.0 and PyTorch 2.2.2 do not fit"):
        dependencies.ensure()  # the extension kept the old one
    assert asked[0]["torchVersionRequirement"] == ">=2.3"


def test_on_an_intel_mac_numpy_has_to_fit_the_last_pytorch_there(requirements, versions, monkeypatch):
    monkeypatch.setattr(dependencies, "_isIntelMac", lambda: True)
    versions.update(torch="2.2.2", numpy="2.1.0")
    assert dependencies.missing() == ["numpy<2"]
    with pytest.raises(dependencies.DependencyError, match="do not fit: install NumPy below 2"):
        dependencies.check()
    versions["numpy"] = "1.26.4"
    assert dependencies.missing() == []
