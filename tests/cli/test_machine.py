"""What a report of a bug needs: `latens --version` and `latens info machine` say it."""

import importlib.metadata
import platform

import pytest

from latens import __version__
from latens.cli import machine
from latens.cli.main import main


def test_version_names_what_a_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"latens {__version__} (Python {platform.python_version()} on {platform.system()}")
    for package in ("jax", "jaxlib", "equinox", "optax", "numpy"):
        assert f"{package} {importlib.metadata.version(package)}" in line


def test_every_required_package_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy>=2.0", "jax<0.13,>=0.10", "no-such-package>=3", 'pandas>=2.2; extra == "tables"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    assert machine.required() == [*machine.FIRST, "no-such-package"]
    versions = machine._versions()
    assert not versions["ok"]
    assert versions["fix"] == "pip install no-such-package"
    assert platform.platform() in versions["found"]


def test_memory_and_devices_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: 3 * 2**30)
    monkeypatch.setattr(machine, "total_memory", lambda: 8 * 2**30)
    assert machine._memory() == {"name": "memory", "ok": True, "found": "3.0 of 8.0 GB free", "fix": ""}
    monkeypatch.setattr(machine, "free_memory", lambda: 2**29)
    assert not machine._memory()["ok"]
    assert "cpu" in machine._devices()["found"] or "gpu" in machine._devices()["found"]
