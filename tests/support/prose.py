"""Prose of a Markdown page, measured: words a sentence, and words that this project has had too often."""

import re
import statistics
from pathlib import Path
from typing import NamedTuple

MEDIAN, LONG, LONG_SHARE = 15, 30, 0.05
"""Words of a sentence in the middle at most; words of a long sentence; share of long ones at most."""

IDIOLECT = {
    "a sentence that begins with Of": re.compile(r"^Of\b"),
    "is no NOUN": re.compile(
        r"(?<!here )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|better\b|worse\b|one\b)\w+"
    ),
    "hang together": re.compile(r"\bhangs? (?:together|on)\b", re.IGNORECASE),
    "told": re.compile(r"\btold\b", re.IGNORECASE),
    "goes on": re.compile(r"\b(?:goes|go|going) on\b(?! (?:a|the) )", re.IGNORECASE),
}
"""Turns of phrase that stay out: what they are called, and where they are found in a sentence."""

_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^(?:#{1,6} |\||!\[|<|:::|!!!|\?\?\?|---|\$\$)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_END = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_\[`]*[A-Z0-9`\[])")
_SHORT = re.compile(r"\b(?:e\.g|i\.e|et al|cf|vs|Fig|Eq|al|approx|Dr|St)\.")


class Prose(NamedTuple):
    """What was counted on a page."""

    sentences: list[str]
    median: float
    long: float  # the share of long ones
    words: int
    idiolect: list[tuple[str, str]]  # what it is called, and the sentence

    def faults(self) -> list[str]:
        """What a page must not have, in words."""
        found = [f"{name}: {sentence}" for name, sentence in self.idiolect]
        if self.median > MEDIAN:
            found.append(f"half of the sentences have more than {MEDIAN} words (median {self.median:g})")
        if self.long > LONG_SHARE:
            longest = sorted(self.sentences, key=lambda one: -len(one.split()))[:3]
            found.append(f"{self.long:.0%} of the sentences have more than {LONG} words, as: " + " // ".join(longest))
        return found


def paragraphs(text: str) -> list[str]:
    """The paragraphs and items of a page, without code, tables, headings, pictures and formulas."""
    text = _FENCE.sub("\n", text)
    text = re.sub(r"\$\$.*?\$\$", "\n", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    found: list[str] = []
    current: list[str] = []
    for line in [*text.splitlines(), ""]:
        begins = bool(_ITEM.match(line))
        if not line.strip() or _BLOCK.match(line.strip()) or begins:
            if current:
                found.append(" ".join(current))
            current = [_ITEM.sub("", line)] if begins else []
        else:
            current.append(line.strip())
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a page; inline code, a link or a formula counts as the words that a reader sees."""
    found = []
    for paragraph in paragraphs(text):
        plain = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", paragraph)
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", plain)
        plain = re.sub(r"`[^`]*`", "CODE", plain)
        plain = re.sub(r"\$[^$]+\$", "FORMULA", plain)
        plain = _SHORT.sub(lambda match: match.group().replace(".", ""), plain)
        found += [one.strip() for one in _END.split(plain.replace("**", "")) if len(one.split()) > 1]
    return found


def measure(text: str) -> Prose:
    """Count a page."""
    each = sentences(text)
    sizes = [len(one.split()) for one in each] or [0]
    found = [(name, one) for one in each for name, pattern in IDIOLECT.items() if pattern.search(one)]
    long = sum(size > LONG for size in sizes) / len(sizes)
    return Prose(each, statistics.median(sizes), long, sum(sizes), found)


def report(paths: list[Path]) -> str:
    """A line for each page."""
    lines = []
    for path in paths:
        one = measure(path.read_text())
        lines.append(
            f"{path.name:28} {len(one.sentences):4} {one.median:5g} {one.long:6.0%} {len(one.idiolect):4} {one.words:6}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    print(report([Path(name) for name in sys.argv[1:]]))
    for name in sys.argv[1:] if len(sys.argv) < 4 else []:
        print("\n".join(measure(Path(name).read_text()).faults()))
