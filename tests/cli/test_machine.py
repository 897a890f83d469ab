"""What a report of a bug needs: `latens --version` and `latens info machine` say it."""

import importlib.metadata
import platform

import pytest

from latens.cli import machine


def test_every_required_package_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy>=2.0", "jax<0.13,>=0.10", "no-such-package>=3", 'pandas>=2.2; extra == "tables"',
             'no-such-thing; extra == "odd"', 'ruff; extra == "dev"', 'jax[cuda13]; extra == "gpu"']  # fmt: skip
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    found = {"": (*machine.FIRST, "no-such-package"), "tables": ("pandas",), "odd": ("no-such-thing",)}
    assert machine.required() == found
    versions, optional = machine._versions(), machine._optional()
    assert not versions["ok"]
    assert versions["fix"] == "pip install no-such-package"
    assert platform.platform() in versions["found"]
    assert optional["found"] == f"pandas {importlib.metadata.version('pandas')}; not installed: latens[odd]"
