"""Pages use the field's words: the private words of this project stay out of their prose."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

PLACES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples/notebooks", "examples/answers")
"""Files, and folders whose pages are read."""

PRIVATE = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "told": r"\btold\b",
        "said": r"\bsaid\b",
        "kept": r"\bkept\b",
        "beside": r"\bbesides?\b",
        "house": r"\bhouse\b",
        "photographs": r"\bphotographs?\b",
        "verb": r"\bverbs?\b",
        "plain words": r"\bplain words\b",
        "apart": r"\bapart\b(?! from)",
        "such, as a pronoun": r"\bsuch[.,;:)]",
        "so, as a pronoun": r"\b(?:is|are|was|were|be|do|does|did) so\b(?! (?:that|much|many|few)\b)",
        "of which": r"\bof which\b",
        "is no NOUN": r"(?<!here )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|better\b|worse\b|one\b)\w+",
        "hang together": r"\bhangs? (?:together|on)\b",
        "goes on": r"\b(?:goes|go|going) on\b(?! (?:a|the) )",
        "stands": r"\bstands?\b(?! (?:for|in)\b)",
        "as ever": r"\bas ever\b",
        "brother": r"\bbrother\b",
    }.items()
}


def prose(text: str) -> str:
    """What a reader of a page reads as text: no code, formulas, pictures or addresses."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2[ \t]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->|\$\$.*?\$\$|^    [^\n]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"`[^`\n]*`|<[^>\n]+>|\$[^$\n]+\$", "CODE", text)


def pages() -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / place
        yield from sorted([*path.rglob("*.md"), *path.rglob("*.ipynb")]) if path.is_dir() else [path]


def markdown(page: Path) -> str:
    """The text of a page, or of the text cells of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def private(text: str) -> list[str]:
    """The private words of a page, each with its line."""
    lines = prose(text).splitlines()
    return [f"{name}: {line.strip()}" for line in lines for name, found in PRIVATE.items() if found.search(line)]


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_a_page_has_no_private_words(page: Path) -> None:
    assert private(markdown(page)) == []


def messages() -> Iterator[str]:
    """Help texts and messages: every string of several words in src, an `X` where a value stands."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        every = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        parts = {id(one) for node in every if isinstance(node, ast.JoinedStr) for one in node.values}
        parts |= {id(node.value) for node in every if isinstance(node, ast.Expr)}  # docstrings
        for node in every:
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                yield node.value


def test_help_and_messages_have_no_private_words() -> None:
    found = [private(text) for text in messages() if " " in text and not text.startswith("from latens")]
    assert [one for each in found for one in each] == []


def test_private_words_are_found_in_prose_alone() -> None:
    sentences = "The row is told.\nIt stands beside the mean.\nThese are no rows.\nRows that are so.\n"
    assert [one.split(":")[0] for one in private(sentences)] == [
        "told",
        "beside",
        "stands",
        "is no NOUN",
        "so, as a pronoun",
    ]
    assert private("It stands for a row, such as `kept`, and is no longer so much.\n```\ntold\n```\n") == []


ONE = {"1", "one", "is", "has", "its", "stands", "another", "last"}
"""Words that are said of one alone."""


def test_one_is_singular_and_more_are_plural() -> None:
    """Of `"row has" if n == 1 else "rows have"`, in every message that counts."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.IfExp(test=ast.Compare(ops=[op], comparators=[ast.Constant(value=1)])) if all(
                    isinstance(one, ast.JoinedStr) or isinstance(getattr(one, "value", None), str)
                    for one in (node.body, node.orelse)
                ):
                    words = [re.sub(r"{.*?}|^f|['\"]", "", ast.unparse(one)) for one in (node.body, node.orelse)]
                    one, more = words if isinstance(op, ast.Eq) else words[::-1]
                    said, other = (ONE & set(re.findall(r"\w+", text)) for text in (one, more))
                    right = isinstance(op, ast.Eq | ast.Gt) and (said - other or more.startswith(one))
                    found.append((path.name, one, more, bool(not one or (right and not other - said))))
    assert len(found) > 20
    assert [one for one in found if not one[-1]] == []
