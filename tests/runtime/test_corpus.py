"""Bad inputs, one row each: the documented exit code, an error with what, where and fix, no file lost or half done."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus_data
import corpus_files
import corpus_streams
import corpus_text
import pytest
from cli_fixtures import Result
from corpus_data import Case

from latens.errors import LatensError
from latens.runtime import atomic
from latens.runtime import safetensors as safefile

pytest_plugins = ("cli_fixtures",)

CASES: dict[str, Case] = {**corpus_data.CASES, **corpus_text.CASES, **corpus_files.CASES, **corpus_streams.CASES}
EXIT_CODES = {kind.code: kind.exit_code for kind in LatensError.__subclasses__()}
"""What each error promises; where a table row says otherwise, one of the two is wrong."""


def listing(folder: Path) -> dict[str, str]:
    """Every file below a folder with a hash of its content, every folder with none."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(parent, name)
            plain = path.is_file() and not path.is_symlink()
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest() if plain else ""
    return found


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    case.make()
    before = listing(tmp_path)
    result = latens(*case.argv, "--json")
    after = listing(tmp_path)
    assert result.code == case.code, result.err
    assert "Traceback" not in result.err + result.out
    assert {path: after.get(path) for path in before} == before
    assert sorted(set(after) - set(before)) == sorted(case.made)
    if case.code == 0:
        assert "error" not in result.json
        assert all(words in result.out for words in case.words), result.out[:2000]
        return
    error = result.json["error"]
    assert (error["code"], EXIT_CODES[error["code"]]) == (case.error, case.code)
    assert all(error[part].strip() for part in ("message", "where", "fix")), error
    text = " ".join(error.values())
    assert [words for words in case.words if words not in text] == []
    assert len(text) < 8000
    assert len(result.err.strip().splitlines()) <= 4
    assert result.err.replace("\n", "").isprintable(), ascii(result.err)


def test_names_in_a_file_do_not_steer_the_terminal(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("a\x1b[2J,b\n1,2\n1,3\n")
    result = latens("check", "d.csv")
    assert "a\\x1b[2J" in result.out
    assert "\x1b" not in result.out + result.err


FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "quota",
    errno.EROFS: "read-only",
    errno.EACCES: "permission denied",
    errno.EIO: "input/output error",
}


@pytest.mark.parametrize("number", FULL)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_disk_that_refuses(
    number: int, call: str, latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call of the system fails: exit 7, the reason in words, the old file whole and no new one."""
    monkeypatch.chdir(tmp_path)
    corpus_files.CASES["result below a file"].make()
    Path(tmp_path, "x.npz").write_bytes(b"old")
    before, real = listing(tmp_path), getattr(os, call)

    def failing(path: Any, *arguments: Any, **options: Any) -> Any:
        if call == "open" and not (isinstance(path, Path) and atomic.is_temporary(path.name)):
            return real(path, *arguments, **options)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, call, failing)
    error = latens(*corpus_files.SAMPLE, "--json")
    monkeypatch.setattr(atomic.os, call, real)
    assert (error.code, error.json["error"]["code"]) == (7, "resource")
    assert FULL[number] in error.json["error"]["message"]
    assert error.json["error"]["where"] == "x.npz"
    assert error.json["error"]["fix"]
    assert listing(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("fails_at", [1, 6, 12])
def test_a_disk_that_fills_up_during_a_run(
    fails_at: int, latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the n-th flush to disk on there is no space: exit 7, every file that is there is whole, and once there is
    space again the run is begun anew or resumed to its end."""
    monkeypatch.chdir(tmp_path)
    corpus_data.text(corpus_data.TABLE)()
    words = ("fit", "d.csv", "--steps", "4", "--num-samples", "2", "--set", "network.hidden=8", "--out", "run")
    real, calls = os.fsync, []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) >= fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    result = latens(*words, "--json")
    monkeypatch.setattr(os, "fsync", real)
    assert (result.code, result.json["error"]["code"]) == (7, "resource"), result.err
    assert "disk is full" in result.json["error"]["message"]
    assert [name for name in listing(tmp_path) if atomic.is_temporary(Path(name).name)] == []
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_bytes())
    for path in tmp_path.rglob("*.safetensors"):
        safefile.read(path)
    again = latens("resume", "run", "--json") if Path("run/config.json").exists() else latens(*words, "--json")
    assert (again.code, again.json["state"], again.json["step"]) == (0, "done", 4), again.err


def test_memory_that_is_used_up_is_no_bug(latens: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("latens.data.load", full)
    error = latens("check", "digits", "--json")
    assert (error.code, error.json["error"]["code"]) == (7, "resource")
    assert error.json["error"]["message"] == "the memory is used up."


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus_data.text(corpus_data.TABLE)()
    Path("closed").mkdir(mode=0o500)
    result = latens("fit", "d.csv", "--steps", "1", "--out", "closed/run", "--json")
    assert (result.code, result.json["error"]["where"]) == (7, "closed/run")
    assert "permission denied" in result.json["error"]["message"]


def test_a_lock_left_by_a_dead_process_is_explained(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus_files.left()
    result = latens("resume", "run")
    assert result.code == 0
    assert f"held by process {os.getppid()} of 2026-01-02T03:04:05Z, which is no longer alive" in result.err
    assert not Path("run/lock").exists()


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 180
    tables = (corpus_data, corpus_text, corpus_files, corpus_streams)
    assert len(CASES) == sum(len(table.CASES) for table in tables)
