"""Every command and every signature is as it was photographed; `tests/support/photographs.py` takes new ones."""

import json
from pathlib import Path

import photographs
import pytest

STORED = json.loads(photographs.STORED.read_text())


def test_help_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert photographs.helps() == STORED["--help"]


def test_signatures_are_as_they_were() -> None:
    assert photographs.signatures() == STORED["signatures"]


@pytest.mark.timeout(900)  # 90 calls, one after the other
def test_commands_say_and_write_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    seen = {name: kept for name, kept, _ in photographs.photographs()}
    stored = {name: kept for name, kept in STORED.items() if name not in ("--help", "signatures")}
    assert {name for name in seen | stored if seen.get(name) != stored.get(name)} == set()
