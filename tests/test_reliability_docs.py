"""The pages about faults say what is so: every error has its heading, every promise its test."""

import ast
import re

from paths import ROOT

from latens.errors import LatensError
from latens.runtime import file_limits
from latens.runtime.safetensors import MAX_FILE_BYTES, MAX_HEADER_BYTES
from latens.trained.trained_model import FORMAT

ERRORS = (ROOT / "docs" / "errors.md").read_text()
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
FORMAT_PAGE = (ROOT / "docs" / "file-format.md").read_text()


def anchor(heading: str) -> str:
    """The link target that a Markdown heading gets."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_every_code_has_its_own_heading() -> None:
    wanted = {f"{kind.code} (exit {kind.exit_code})": kind.__name__ for kind in LatensError.__subclasses__()}
    others = {"done (exit 0)", "bug (exit 1)", "interrupted (exit 130)", "interrupted (exit 143)"}
    headings = re.findall(r"^## (.+)$", ERRORS, re.MULTILINE)
    assert sorted(headings) == sorted({*wanted, *others})
    linked = dict(re.findall(r"^\| (\d+) \|.*\(#([^)]+)\) \|$", ERRORS, re.MULTILINE))
    assert sorted(linked.values()) == sorted(map(anchor, headings))
    for heading, name in wanted.items():
        code, exit_code = heading.split(" ", 1)[0], re.findall(r"\d+", heading)[-1]
        assert f"| {exit_code} | `{code}` | `{name}` | " in ERRORS
        assert linked[exit_code] == anchor(heading)


def test_every_promise_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| .* \| `(test_\w+\.py)::(test_\w+)` \| .+ \|$", RELIABILITY, re.MULTILINE)
    assert len(rows) == len(re.findall(r"::test_", RELIABILITY)) >= 25
    for file, name in rows:
        (path,) = (ROOT / "tests").rglob(file)
        tree = ast.parse(path.read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_the_bounds_on_the_pages_are_those_of_the_code() -> None:
    assert (MAX_HEADER_BYTES, MAX_FILE_BYTES, file_limits.MAX_BYTES) == (8 << 20, 16 << 30, 8 << 30)
    assert file_limits.MAX_RATIO == 1032
    said = ("8 MiB", "16 GiB", "1,032 times")
    assert [words for words in said if words not in RELIABILITY] == []
    assert f"| `format` | the number of the format, {FORMAT} |" in FORMAT_PAGE
