"""The page of licences: every pinned package, at its version, with the licence that its metadata state."""

import importlib.metadata
import runpy
from email.message import Message
from types import SimpleNamespace

import pytest
from paths import ROOT

LICENCES = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "licences.py")))
ROWS = {name: tuple(rest) for name, *rest in LICENCES.ROW.findall(LICENCES.PAGE.read_text())}


def test_the_page_has_every_pin_at_its_version() -> None:
    assert {name: row[0] for name, row in ROWS.items() if name != "package"} == dict(LICENCES.pins().values())


def test_the_page_states_what_installed_packages_state() -> None:
    wrong = {name: (row[1], stated) for name, row in ROWS.items()
             if (stated := LICENCES.licence(name)) is not None and stated != row[1]}  # fmt: skip
    assert not wrong, "run `python benchmarks/licences.py` and store what it prints"
    assert "not stated" not in {row[1] for row in ROWS.values()}


def test_what_every_installation_brings_is_named() -> None:
    required = {LICENCES.normal(LICENCES.NEEDED.match(one)[1]) for one in importlib.metadata.requires("latens") or []
                if "extra" not in one}  # fmt: skip
    brought = {LICENCES.normal(name) for name, row in ROWS.items() if row[2].strip() == "latens"}
    assert required <= brought


@pytest.mark.parametrize(
    ("fields", "stated"),
    [
        ({"License-Expression": "MIT-CMU"}, "MIT-CMU"),
        ({"License": "MPL-2.0 AND MIT"}, "MPL-2.0 AND MIT"),
        ({"License": "BSD-3-Clause"}, "BSD-3-Clause"),
        ({"License": "Copyright (c) 2001", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause"),
        ({"Classifier": "License :: OSI Approved :: GNU General Public License (GPL)"}, "GPL"),
        ({"Classifier": "License :: OSI Approved :: GNU Library or Lesser General Public License (LGPL)"}, "LGPL"),
        ({}, "not stated"),
    ],
)
def test_old_metadata_become_identifiers(fields: dict[str, str], stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    about = Message()
    for name, value in fields.items():
        about[name] = value
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: about)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    assert LICENCES.licence("some-package") == stated
