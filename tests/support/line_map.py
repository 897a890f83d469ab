"""Which lines each test runs, for `tests/mutants.py`: `LATENS_LINE_MAP=FOLDER python -m pytest -p line_map`.

A line is known by its file, its function and its text, so that a map outlives edits elsewhere in the file.
"""

import ast
import functools
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cpu_times import spent

from coverage import Coverage

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "latens"
COVER = pytest.StashKey[Coverage]()


@functools.cache
def line_names(file: str) -> list[str]:
    """The name of every line of a file below src/latens: its function and a checksum of its text."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    names = [""] * len(lines)

    def visit(node: ast.AST, scope: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = f"{scope}.{child.name}" if scope else child.name
                first, last = child.lineno - 1, child.end_lineno or 0
                names[first:last] = [inside] * (last - first)
                visit(child, inside)
            else:
                visit(child, scope)

    visit(ast.parse(text), "")
    return [f"{file}:{name}:{zlib.crc32(line.strip().encode()):08x}" for name, line in zip(names, lines)]


def pytest_configure(config: pytest.Config) -> None:
    """Look only at latens, and keep nothing on the disk."""
    cover = Coverage(data_file=None, source=[str(PACKAGE)], config_file=False, messages=False)
    cover.set_option("run:disable_warnings", ["no-data-collected", "module-not-measured"])
    config.stash[COVER] = cover


_not_passed: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test that is skipped or fails judges nothing."""
    if not report.passed:
        _not_passed.add(report.nodeid)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Write what a test costs and the lines that it runs."""
    cover, before = item.config.stash[COVER], spent()
    cover.erase()
    cover.start()
    yield
    cover.stop()
    seconds, data = spent() - before, cover.get_data()
    if item.nodeid in _not_passed:
        return
    lines = []
    for path in data.measured_files():
        names = line_names(str(Path(path).relative_to(PACKAGE)))
        lines += sorted({names[line - 1] for line in data.lines(path) or () if 0 < line <= len(names)})
    mark = next((mark for mark in ("long", "more") if item.get_closest_marker(mark)), "quick")
    folder = Path(os.environ["LATENS_LINE_MAP"])
    folder.mkdir(exist_ok=True, parents=True)
    with (folder / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps([item.nodeid, mark, round(seconds, 3), lines]) + "\n")
