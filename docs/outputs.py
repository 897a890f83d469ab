"""Run the pages of the documentation, and write what their commands print and draw into them: `make docs-outputs`.

A command in a `console` block that has lines below it shows its output: these lines are replaced by what it prints now.
So are the lines of a `text` block right below a `python` block.
A picture `shown/NAME.png` of a page is the file NAME.png that its snippets make. `tests/test_docs.py` compares words.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTS = re.compile(r"^```python\n((?:(?!```).*\n)*)```\n\n```text\n((?:(?!```).*\n)*)```", re.MULTILINE)
SHOWN = re.compile(r"\]\((?:docs/)?shown/([\w.-]+)\)")
BEGINS = re.compile(r"<!-- begins with: ([\w.-]+) -->")
"""A page that uses the files of another one: the first snippet of that page, which makes them, runs first."""
PROGRESS = re.compile(r"^(step \d|compiling|train +epoch|[a-z]+: .*, \d+:\d\d)")
"""Lines of progress, which differ from run to run."""
LONGEST = 16
"""Lines of an output that are shown; the rest is left out, and `...` says so."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The snippets of a page in their order, with those that it begins with: their kind and text."""
    text = page.read_text()
    begun = [BLOCK.findall((DOCS / name).read_text())[0] for name in BEGINS.findall(text)]
    return begun + BLOCK.findall(text)


def commands(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that are shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and not line.startswith("# "):  # what is said of the next command
            found[-1][1].append(line)
    return [(command, [line for line in shown if line.strip()]) for command, shown in found]


def printed(main: Callable[[list[str]], int], words: list[str]) -> tuple[int, list[str]]:
    """Run a command: its exit code, and the lines of stderr and stdout as they come."""
    both = io.StringIO()
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        code = main(words)
    return code, [line.rstrip() for line in both.getvalue().splitlines() if line.strip() and not PROGRESS.match(line)]


def masked(line: str) -> str:
    """The words of a line, without numbers, paths and blanks."""
    line = re.sub(r"[-\u2212+]?\d[\d,.]*(e[-+]?\d+)?|\bnan\b|\binf\b", "#", line)
    line = re.sub(r"# (min|m|s|h|ms)\b", "# s", line).replace("less than # s", "# s")
    return re.sub(r"\s+", " ", line).strip()


def stale(shown: list[str], lines: list[str]) -> list[str]:
    """Those of the lines that are shown whose words a command does not print, in their order."""
    missing, rest = [], [masked(line) for line in lines]
    for line in shown:
        if line.strip() == "...":
            continue
        if masked(line) in rest:
            rest = rest[rest.index(masked(line)) + 1 :]
        else:
            missing.append(line)
    return missing


def renewed(page: Path, main: Callable[[list[str]], int]) -> str:
    """The text of a page whose outputs are of now, run in the present folder."""
    namespace: dict = {}
    for name in BEGINS.findall(page.read_text()):
        exec(BLOCK.findall((DOCS / name).read_text())[0][1], namespace)

    prints: dict[str, str] = {}  # what a snippet prints

    def block(match: re.Match[str]) -> str:
        kind, text = match.groups()
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(text, page.name, "exec"), namespace)
            prints[text] = out.getvalue().rstrip("\n")
            return match.group()
        made = []
        for command, shown in commands(text):
            code, lines = printed(main, shlex.split(command)[1:])
            if code:
                raise SystemExit(f"{page.name}: {command} failed\n" + "\n".join(lines))
            made.append(f"$ {command}")
            if shown and shown != ["?"] and "..." in shown:  # a choice of lines stays one
                now = {masked(line): line for line in lines}
                made += [now.get(masked(line), line) for line in shown]
            elif shown:
                made += lines[:LONGEST] + (["..."] if len(lines) > LONGEST else [])
        return "```console\n" + "\n".join(made) + "\n```"

    made = BLOCK.sub(block, page.read_text())
    return PRINTS.sub(lambda pair: f"```python\n{pair[1]}```\n\n```text\n{prints[pair[1]]}\n```", made)


if __name__ == "__main__":
    from latens.cli.main import main

    pages = [Path(name).resolve() for name in sys.argv[1:]] or [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
    for page in pages:
        text = page.read_text()
        console = [body for kind, body in BLOCK.findall(text) if kind == "console"]
        if not (PRINTS.search(text) or SHOWN.search(text) or any(s for body in console for _, s in commands(body))):
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            page.write_text(renewed(page, main))
            for name in SHOWN.findall(text):
                if found := sorted(Path().rglob(name)):
                    shutil.copyfile(found[0], DOCS / "shown" / name)
            os.chdir(DOCS)
        print(page.name, flush=True)
