"""Benchmarks, examples and tests import names that exist: a script that nobody runs would keep what left."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


def is_there(name: str) -> bool:
    home, _, last = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(home), last) or bool(importlib.import_module(name))
    except ModuleNotFoundError:
        return False


def test_what_a_script_imports_exists() -> None:
    scripts = [path for folder in ("benchmarks", "examples", "tests") for path in (ROOT / folder).rglob("*.py")]
    gone = {(str(path), name) for path in scripts for name in named(path) if not is_there(name)}
    assert not gone


def named(path: Path) -> set[str]:
    froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}.{one.name}" for node in froms for one in node.names}
    return {name for name in names if name.startswith("latens.")}


@pytest.mark.long
@pytest.mark.parametrize("part", [[], ["--latent"]], ids=["steps", "latent"])
def test_the_script_for_an_accelerator_runs_small_on_a_cpu(part: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--small", "--json", *part]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert (tmp_path / "latent.png").exists() == bool(part)
    assert any("share of peak" in row or "area" in row for row in rows)
