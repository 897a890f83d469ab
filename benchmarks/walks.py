"""How far a reader has to walk after one value: the files that run, and the returns to files that ran before.

    python benchmarks/walks.py [evaluate] [fit] [figures] [--json] [--pairs]

The calls of Python's functions are followed by `sys.setprofile` while a command runs, on data that the script makes:
`evaluate` from a row of a CSV file to log p(x), `fit` from `posterior.kind=iaf` to what would be trained (`--dry-run`),
`figures` from z to the decoded grid (`--only manifold`). A move is a call in another file than the call before it, a
return a move to a file that ran already. Code outside of `latens` is left out, and what runs during an import.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = str(Path(__file__).resolve().parents[1] / "src" / "latens") + "/"
WALKS = {
    "evaluate": ("fit TABLE --steps 20 --out RUN", "evaluate RUN TABLE --num-samples 10"),
    "fit": (None, "fit TABLE --set posterior.kind=iaf --dry-run"),
    "figures": (
        "fit PICTURES --steps 20 --set posterior.latent_dim=2 --out RUN",
        "report RUN --only figures --name manifold",
    ),
}
"""Name -> the command that comes before, and the command whose calls are followed."""


class Walk:
    """The calls of a command, from file to file."""

    def __init__(self) -> None:
        """Nothing has run yet."""
        self.files: set[str] = set()
        self.returns: Counter[tuple[str, str]] = Counter()
        self._at = ""

    def __call__(self, frame: Any, event: str, _: Any) -> None:
        """Take one event of the interpreter."""
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(SOURCE) or _importing(frame):
            return
        file = path[len(SOURCE) :]
        if file != self._at and file in self.files:
            self.returns[self._at, file] += 1
        self._at = file
        self.files.add(file)


def _importing(frame: Any) -> bool:
    """Whether a module is being imported, by this frame or by one below it."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(SOURCE):
            return True
        frame = frame.f_back
    return False


def walk(name: str) -> Walk:
    """The walk of that name."""
    from latens.cli.main import main

    before, command = WALKS[name]
    found = Walk()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        places = {word: str(Path(folder) / end) for word, end in _PLACES.items()}
        rng = np.random.default_rng(0)
        np.savetxt(places["TABLE"], rng.normal(size=(300, 5)), delimiter=",", header="a,b,c,d,e", comments="")
        np.save(places["PICTURES"], rng.integers(0, 256, size=(300, 8, 8), dtype=np.uint8))
        ran = [[places.get(word, word) for word in line.split()] for line in (before, command) if line]
        for argv in ran:
            sys.setprofile(found if argv is ran[-1] else None)
            try:
                code = main([*argv, "--quiet"])
            finally:
                sys.setprofile(None)
            if code:
                raise SystemExit(f"latens {' '.join(argv)} ended with {code}.")
    return found


_PLACES = {"TABLE": "t.csv", "PICTURES": "p.npy", "RUN": "run"}


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("walks", nargs="*", help=f"of {', '.join(WALKS)}; without any all of them")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", action="store_true", help="also from which file to which the returns are")
    arguments = parser.parse_args()
    found = {name: walk(name) for name in arguments.walks or WALKS}
    numbers = {name: {"files": len(each.files), "returns": each.returns.total()} for name, each in found.items()}
    if arguments.json:
        print(json.dumps(numbers))
        return
    for name, each in found.items():
        print(f"{name}: {numbers[name]['files']} files, {numbers[name]['returns']} returns")
        for (start, end), count in each.returns.most_common() if arguments.pairs else ():
            print(f"{count:8} {start} -> {end}")


if __name__ == "__main__":
    main()
