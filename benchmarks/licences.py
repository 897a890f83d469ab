"""Print the page of licences from the metadata of what is installed: `python benchmarks/licences.py > LICENCES.md`.

The rows are the pins of `constraints.txt`. A package that is not installed here keeps the row that the page has.
"""

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "LICENCES.md"
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(?: *; *python_version (\S+) \"([\d.]+)\")?", re.MULTILINE)
ROW = re.compile(r"^\| ([\w.-]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NEEDED = re.compile(r"^([\w.-]+)(?:\[([\w,]+)\])?")

PLAIN = {
    "apache": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "isc": "ISC",
    "mit": "MIT",
    "mozilla": "MPL-2.0",
    "python software foundation": "PSF-2.0",
    "psfl": "PSF-2.0",
    "library or lesser": "LGPL",
    "lgpl": "LGPL",
    "gnu general": "GPL",
}
"""What an old classifier or line of text begins with, and the identifier of SPDX that is meant."""

TEXT = """# Licences

**Which licences does an installation bring?**
latens has the MIT licence.
The table lists every package that `constraints.txt` pins, as each package states its own licence.
`python benchmarks/licences.py` prints this page from installed metadata.

- *latens*: `pip install latens` brings it.
- A name such as *tables* is an extra: `pip install 'latens[tables]'` brings it.
- *development* and *docs*: for tests and this site alone.

A fork of a package may state another licence than the one that you received.
Ask your own counsel where that matters.

| package | version | licence | comes with |
|---|---|---|---|
"""


def normal(name: str) -> str:
    """A name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, tuple[str, str]]:
    """The pinned packages: the name as written, and its versions."""
    found: dict[str, tuple[str, str]] = {}
    for name, version, sign, python in PIN.findall((ROOT / "constraints.txt").read_text()):
        told = f"{version} (Python {sign} {python})" if sign else version
        former = found.get(normal(name))
        found[normal(name)] = (name, f"{former[1]}, {told}" if former else told)
    return found


def licence(name: str) -> str | None:
    """The licence that an installed package states; None where it is not installed."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if expression := about.get("License-Expression"):
        return expression
    line = (about.get("License") or "").strip().split("\n")[0].strip()
    if re.fullmatch(r"[A-Z]{2,4}-[\d.]+(-Clause)?|(?:\S+ (?:OR|AND) )+\S+", line):
        return line
    stated = [one.split("::")[-1].strip() for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    known = [_plain(one) for one in [*stated, line]]
    told = list(dict.fromkeys(one for one in known if one))
    return " OR ".join(told) or _of_file(name) or "not stated"


def _plain(words: str) -> str:
    low = words.lower()
    return next((said for begin, said in PLAIN.items() if low.startswith(begin) or f" {begin} " in f" {low} "), "")


def _of_file(name: str) -> str:
    files = importlib.metadata.files(name) or []
    texts = (file.read_text() for file in files if re.match(r"LICEN[CS]E|COPYING", file.name))
    return next((said for text in texts for line in text.splitlines()[:3] if (said := _plain(line.strip()))), "")


def needed_by() -> dict[str, list[str]]:
    """For each package what brings it: `latens`, or extras."""
    found: dict[str, list[str]] = {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    last = {"dev": "development", "docs": "docs"}
    groups = [("latens", project["dependencies"])]
    groups += [(extra, extras[extra]) for extra in sorted(extras) if extra not in last]
    groups += [(word, extras[extra]) for extra, word in last.items()]
    for word, requirements in groups:
        for name in _closure(requirements):
            former = found.setdefault(name, [])
            if "latens" not in former and not (former and word in last.values()):
                former.append(word)
    return found


def _holds(requirement: str, extra: str) -> bool:
    match = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
    old = re.search(r"python_version < ['\"]3\.(\d+)", requirement)  # a Python that latens does not run on needs more
    return (match[1] if match else "") == extra and (old is None or int(old[1]) > 11)


def _closure(requirements: list[str]) -> set[str]:
    """The packages that requirements name, with all that these require themselves."""
    seen: set[tuple[str, str]] = set()
    queue = [(normal(m[1]), each) for one in requirements if (m := NEEDED.match(one))
             for each in ["", *(m[2] or "").split(",")]]  # fmt: skip
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen or name == "latens":
            continue
        seen.add((name, extra))
        try:
            further = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for one in further:
            if (m := NEEDED.match(one)) and _holds(one, extra):
                queue += [(normal(m[1]), each) for each in ["", *(m[2] or "").split(",")]]
    return {name for name, _ in seen}


def page() -> str:
    """The whole page."""
    former = {normal(name): rest for name, *rest in ROW.findall(PAGE.read_text())} if PAGE.exists() else {}
    needed, lines = needed_by(), []
    for name, (written, versions) in pins().items():
        _, stood, came = former.get(name, ("", "not stated", "development"))
        stated = licence(written) or stood
        lines.append(f"| {written} | {versions} | {stated} | {', '.join(needed.get(name, [])) or came} |")
    return TEXT + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
