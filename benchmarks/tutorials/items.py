"""Every line of the page "Coming from a tutorial" on MNIST: what it was, what it printed, how long it took.

    python benchmarks/tutorials/items.py [--data MNIST] [--out FOLDER] [--last 3]

The page itself is the list: lines of a block that begin with # say what follows, with semicolons between items. Prints
the items of each line, the last lines that it printed and its seconds; the files stay in FOLDER. Exit code 1 where a
line failed.
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorials.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def items(text: str) -> int:
    """How many items the comments of a block name."""
    comments = re.findall(r"^# .*(?:\n# .*)*", text, re.MULTILINE)
    return sum(len(comment.strip("# \n;").split(";")) for comment in comments)


def ran(kind: str, text: str, names: dict) -> bool:
    """Run one command, or one block of Python."""
    from latens.cli.main import main

    try:
        if kind == "console":
            return main(shlex.split(text)[1:]) == 0
        exec(compile(text, PAGE.name, "exec"), names)
    except Exception:
        traceback.print_exc()
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--last", type=int, default=3)
    given = parser.parse_args()
    folder = given.out or Path(tempfile.mkdtemp())
    data = given.data if given.data == "digits" else str(Path(given.data).resolve())
    lines = PAGE.read_text().splitlines(keepends=True)
    # In commands and in calls, not in the words between them.
    text = "".join(re.sub(r"\bdigits\b", data, s) if s.startswith("$ ") or "read(" in s else s for s in lines)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    count, failed, names = 0, [], {}
    for kind, block in BLOCK.findall(text):
        count += items(block)
        pieces = [block]
        if kind == "console":
            pieces = [line for line in block.splitlines() if line.strip()]
        for piece in pieces:
            if piece.startswith("# ") and kind == "console":
                print(piece, flush=True)
                continue
            words = piece.removeprefix("$ ")
            out, began = io.StringIO(), time.monotonic()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                fine = ran(kind, words, names)
            print("$", words if kind == "console" else f"(a block of Python with {items(piece)} items)")
            lines = [line for line in out.getvalue().splitlines() if line.strip()]
            print(*(f"    {line}" for line in lines[-given.last if fine else 0 :]), sep="\n")
            print(f"    -> {'works' if fine else 'FAILS'} ({time.monotonic() - began:.1f} s)", flush=True)
            failed += [] if fine else [words]
    print(f"{count} items; {len(failed)} lines failed: {failed}; files in {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
