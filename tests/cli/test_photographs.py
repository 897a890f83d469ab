"""Every command is as it was photographed; `tests/support/photographs.py` takes new ones."""

import json
from pathlib import Path

import photographs
import pytest

STORED = json.loads(photographs.STORED.read_text())


@pytest.mark.timeout(900)  # 90 calls, one after the other
def test_commands_say_and_write_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    seen = {name: kept for name, kept, _ in photographs.photographs()}
    assert {name for name in seen | STORED if seen.get(name) != STORED.get(name)} == set()
