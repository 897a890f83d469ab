"""How large the project may be. The numbers only go down."""

import ast
import inspect
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from paths import ROOT

import latens
from latens.cli.arguments import COMMANDS
from latens.data.schema import Kind as CellKind
from latens.kinds import KINDS

SOURCE, TESTS, DOCS = ROOT / "src" / "latens", ROOT / "tests", ROOT / "docs"
STATIC = SOURCE / "explorer" / "static"
LONG = 60
"""Lines of a function that is easy to see as a whole."""

MOST = {
    "lines of Python in src": 58_227,
    ": Any in src": 291,
    "lines of Python in data": 3_946,
    "lines of Python in tests": 45_906,
    "lines of JavaScript, CSS and HTML": 6_361,
    "words of docs": 32_397,
    "pages of docs": 40,
    "words of README": 450,
    "commands": 18,
    "public names": 23,
    "arguments of VAE": 16,
    "functions longer than 60 lines": 0,
    "lines of Python in the largest room": 5_986,
    "files in the largest room": 27,
    "file names in two rooms or more": 4,
    "questions which kind outside kinds": 37,
}
CELLS, ROWS = get_args(CellKind), [kind.__name__ for kind in KINDS]


def lines(paths: Iterable[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") for path in paths)


def words(paths: Iterable[Path]) -> int:
    return sum(len(path.read_text().split()) for path in paths)


def long_functions() -> list[str]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                doc = ast.get_docstring(node, clean=False)
                length = node.end_lineno - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
                if length > LONG:
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name} ({length})")
    return found


def same_names(rooms: list[list[Path]]) -> list[str]:
    """The names of files that stand in two rooms or more."""
    names = [name for room in rooms for name in {path.name for path in room}]
    return sorted({name for name in names if names.count(name) > 1 and name != "__init__.py"})


def asks(node: ast.AST) -> bool:
    """Whether code asks what the rows are, where their kind should answer."""
    match node:
        case ast.Attribute(attr="tokens" | "sequences") | ast.Call(func=ast.Name("image_shape")):
            return True
        case ast.Attribute(attr="types" | "kind", value=ast.Name("schema") | ast.Attribute(attr="schema")):
            return True
        case ast.Compare():
            parts = [node.left, *node.comparators]
        case ast.BoolOp(values=parts):
            pass
        case ast.If(test=one) | ast.IfExp(test=one) | ast.UnaryOp(operand=one) | ast.MatchValue(value=one):
            parts = [one]
        case ast.Dict():
            return len(node.keys) > 1 and all(getattr(key, "value", "") in CELLS for key in node.keys)
        case _:
            return False
    said = [vars(one) for part in parts for one in (part, *getattr(part, "elts", ()))]
    return any(one.get("value") in CELLS or one.get("id") in ROWS or one.get("attr") == "column_types" for one in said)


def questions(source: str) -> int:
    """How many lines ask what the rows are; a message that names their kind does not."""
    nodes = list(ast.walk(ast.parse(source)))
    said = {id(node.value) for node in nodes if isinstance(node, ast.FormattedValue)}
    return len({node.lineno for node in nodes if asks(node) and id(node) not in said})


@cache
def measured() -> dict[str, int]:
    rooms = [list(folder.rglob("*.py")) for folder in SOURCE.iterdir() if folder.is_dir()]
    core = [path for path in SOURCE.rglob("*.py") if SOURCE / "kinds" not in path.parents]
    static = [path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".html")]
    return {
        "lines of Python in src": lines(SOURCE.rglob("*.py")),
        ": Any in src": sum(len(re.findall(r":\s*Any\b", path.read_text())) for path in SOURCE.rglob("*.py")),
        "lines of Python in data": lines((SOURCE / "data").rglob("*.py")),
        "lines of Python in tests": lines(TESTS.rglob("*.py")),
        "lines of JavaScript, CSS and HTML": lines(static),
        "words of docs": words(DOCS.rglob("*.md")),
        "pages of docs": len(list(DOCS.rglob("*.md"))),
        "words of README": words([ROOT / "README.md"]),
        "commands": len(COMMANDS),
        "public names": len(latens.__all__),
        "arguments of VAE": len(inspect.signature(latens.VAE).parameters),
        "functions longer than 60 lines": len(long_functions()),
        "lines of Python in the largest room": max(lines(room) for room in rooms),
        "files in the largest room": max(len(room) for room in rooms),
        "file names in two rooms or more": len(same_names(rooms)),
        "questions which kind outside kinds": sum(questions(path.read_text()) for path in core),
    }


@pytest.mark.parametrize("what", MOST)
def test_the_project_stays_small(what: str) -> None:
    now = measured()[what]
    assert now <= MOST[what], f"{now:,} {what}, at most {MOST[what]:,}: take something away"
