"""Every page is measured: short sentences, and none of the turns of phrase that this project has had too often."""

import re

import pytest
from paths import ROOT
from prose import LONG, MEDIAN, measure, paragraphs, sentences

LEFT_OUT = {"benchmarks": "measurements", "reproductions": "measurements"}
"""Pages that are not held to it, and why; docs/evidence/ has the other measurements."""

PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.stem not in LEFT_OUT
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_sentences_are_short(page):
    assert measure(page.read_text()).faults() == []


@pytest.mark.parametrize("page", ["quickstart", "tables", "pictures"])
def test_tutorials_show_what_they_do(page):
    """A picture, and at least two outputs of commands."""
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert "](shown/" in text
    assert text.count("$ latens") >= 4
    assert "-- for the record --" in text


def shows(text):
    """Whether a page has a picture, or a command or snippet with what it prints."""
    printed = re.search(r"^\$ .*\n(?:\$ .*\n|\.\.\.\n)*(?!\$ |```|\.\.\.).", text, re.MULTILINE)
    return "![" in text or "<iframe" in text or "```text" in text or printed is not None


def test_every_tutorial_and_how_to_shows_a_picture_or_what_is_printed():
    nav = (ROOT / "mkdocs.yml").read_text().partition("  - Tutorials:")[2].partition("  - Explanation:")[0]
    pages = [name for name in re.findall(r"([\w-]+)\.md", nav) if (ROOT / "docs" / f"{name}.md").exists()]
    assert len(pages) > 30
    assert [name for name in pages if not shows((ROOT / "docs" / f"{name}.md").read_text())] == []
    assert not shows("# A page\n\n```console\n$ latens check digits\n$ latens fit digits\n```\n")
    assert shows("```console\n$ latens check digits\ndigits\n```\n")


def test_what_is_no_prose_is_left_out():
    text = """# A heading that is not counted at all

One sentence of `inline code` here. Another (e.g. this) with a [link of words](x.md).
It goes over two lines.

- An item.
  It has two sentences.

| a | table |
|---|---|

```python
code = "is no sentence"
```

![a picture](x.png)
"""
    assert len(paragraphs(text)) == 2
    assert [len(one.split()) for one in sentences(text)] == [5, 8, 5, 2, 4]


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("Of these rows two are wrong.", "a sentence that begins with Of"),
        ("This is no address.", "is no NOUN"),
        ("Columns hang together.", "hang together"),
        ("It is told by its cells.", "told"),
        ("Training goes on.", "goes on"),
    ],
)
def test_the_idiolect_is_found(sentence, name):
    assert [found for found, _ in measure(sentence).idiolect] == [name]
    assert measure("It is no longer here, and there is no noise. Out of two.").idiolect == []


def test_the_bounds_bite():
    """16 words in the middle are too many, and so is one of ten sentences with 31."""
    sentence = lambda words: " ".join(["Word", *["word"] * (words - 1)]) + "."  # noqa: E731
    assert measure(sentence(MEDIAN)).faults() == []
    assert len(measure(sentence(MEDIAN + 1)).faults()) == 1
    long = " ".join([sentence(5)] * 9 + [sentence(LONG + 1)])
    assert measure(long).long == pytest.approx(0.1)
    assert len(measure(long).faults()) == 1
    assert measure(" ".join([sentence(5)] * 19 + [sentence(LONG + 1)])).faults() == []
