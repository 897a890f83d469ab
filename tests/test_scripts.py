"""Benchmarks, examples and tests import names that exist: a script that nobody runs would keep what left."""

import ast
import importlib
from pathlib import Path

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
