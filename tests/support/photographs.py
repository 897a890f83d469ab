"""What every command says and writes, on small data: `tests/cli/test_photographs.py` holds it against what is stored.

    python tests/support/photographs.py            # store what is seen now, after a change that is wanted
    python tests/support/photographs.py --bytes F  # write a checksum of every file that is made, to compare two trees

Numbers with a decimal point differ in last bits from processor to processor: in texts they are a "#", and of files
names, types and shapes are kept. `--bytes` is exact, for two trees on one machine.
"""

import argparse
import contextlib
import hashlib
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STORED = GOLDEN / "photographs.json"
MIXED, PICTURES = GOLDEN / "format-2-mixed.safetensors", GOLDEN / "format-2-convolutions.safetensors"
SMALL = ("--set", "network.hidden=8", "--set", "posterior.latent_dim=2")

# A line of words for each call, in this order: later ones use the files of earlier ones.
CALLS: dict[str, str] = {
    "check": "check plain.csv",
    "check-zones": "check table.csv",
    "check-digits": "check digits",
    "fit": f"fit plain.csv --out run --steps 12 --num-samples 2 {' '.join(SMALL)}",
    "fit-dry": "fit plain.csv --out run2 --dry-run",
    "fit-again": "fit plain.csv --out run --steps 12",
    "fit-wrong": "fit plain.csv --out run3 --set posterior.kind=iff",
    "fit-digits": f"fit digits --set label=condition --out digits --steps 4 --num-samples 2 {' '.join(SMALL)}",
    "fit-classes": "fit wine --out classes --recipe mlq-gaussian",
    "resume-dry": "resume run --steps 14 --dry-run",
    "resume": "resume run --steps 14 --num-samples 2",
    "evaluate": "evaluate run --num-samples 4",
    "evaluate-data": "evaluate run plain.csv --num-samples 4",
    "evaluate-all": "evaluate run --num-samples 4 --all",
    "evaluate-dry": "evaluate run --dry-run",
    "encode": "encode MIXED table.csv --out z.npz --num-samples 2",
    "encode-csv": "encode MIXED table.csv --out z.csv --num-samples 2",
    "encode-dry": "encode MIXED table.csv --out z2.npz --dry-run",
    "encode-pictures": "encode PICTURES pictures.npy --out pz.npz --num-samples 2",
    "forecast-wrong": "forecast MIXED table.csv --steps 3 --out ahead.csv",
    "decode": "decode PICTURES pz.npz --out decoded.npz",
    "decode-png": "decode PICTURES pz.npz --out decoded.png",
    "decode-mixed": "decode MIXED z.npz --out decoded-mixed.npz",
    "decode-dry": "decode PICTURES pz.npz --out decoded2.npz --dry-run",
    "sample": "sample MIXED -n 5 --out samples.csv",
    "sample-npz": "sample PICTURES -n 5 --out samples.npz --temperature 0.5",
    "sample-png": "sample PICTURES -n 5 --out samples.png --mean",
    "sample-where": "sample MIXED -n 5 --where city=Oslo --out where.csv",
    "sample-dry": "sample MIXED -n 5 --out samples2.csv --dry-run",
    "reconstruct": "reconstruct MIXED table.csv --out reconstructed.npz",
    "reconstruct-png": "reconstruct PICTURES pictures.npy --out reconstructed.png --mean",
    "reconstruct-dry": "reconstruct MIXED table.csv --out reconstructed2.npz --dry-run",
    "impute": "impute MIXED gaps.csv --out full.csv --num-samples 8 --interval 0.9",
    "impute-draws": "impute MIXED gaps.csv --out drawn.csv --num-samples 8 --draws 2",
    "impute-dry": "impute MIXED gaps.csv --out full2.csv --dry-run",
    "detect": "detect run plain.csv --out flags.csv --num-samples 4",
    "detect-held-out": "detect run plaingaps.csv --held-out plain.csv --out flags2.csv --num-samples 4",
    "detect-dry": "detect run plain.csv --out flags3.csv --dry-run",
    "sample-like": "sample classes --like wine -n 2 --out augmented.csv",
    "sample-like-dry": "sample classes --like wine -n 2 --out augmented2.csv --dry-run",
    "translate": "translate digits digits --from 2 --to 3 --out translated.npz",
    "refit": "refit run --prior normal --out refitted --num-samples 2",
    "refit-dry": "refit run --prior mixture --dry-run",
    "evaluate-two": "evaluate run refitted --num-samples 2",
    "evaluate-two-dry": "evaluate run refitted --dry-run",
    "figures": "report run --only figures --name training,marginals",
    "figures-dry": "report run --only figures --dry-run",
    "figures-wrong": "report run --only figures --name manifolt",
    "animate": "report PICTURES --only animation --name walk --out walk.gif --frames 3",
    "animate-wrong": "report run --only animation --name latent --out latent.gif",
    "report": "report run",
    "report-dry": "report run --dry-run",
    "explore": "explore run --export page.html",
    "explore-dry": "explore run --export page2.html --dry-run",
    "info": "info run",
    "info-file": "info MIXED",
    "recipes": "info recipes",
    "recipes-parts": "info parts",
}
WAITING = re.compile(r"[a-z]+(: [^:]*)*, \d+:\d\d(, about \d+:\d\d left)?")
"""Lines of a command that was silent for long, as on a slow machine."""
PROGRESS = re.compile(r"step \d+/\d+ |train epoch ")
"""Lines of progress: how many there are depends on the time between them."""
COMMANDS_REFUSED = ("--zzz", "--seed -1", "missing-run nothing.csv --out x.npz", "MIXED table.csv --out x.xyz", "")


def data(folder: Path) -> None:
    """Write the files that the calls name: tables and pictures."""
    sys.path.insert(0, str(GOLDEN))
    import make  # pyright: ignore[reportMissingImports]

    text = make.table()
    (folder / "table.csv").write_text(text)
    rows = [line.split(",") for line in text.splitlines()]
    gaps = [rows[0]] + [
        ["" if (i + j) % 4 == 0 else cell for j, cell in enumerate(row)] for i, row in enumerate(rows[1:9])
    ]
    (folder / "gaps.csv").write_text("\n".join(",".join(row) for row in gaps) + "\n")
    # The same without a clock: the golden model knows the zone of its days, a new fit would have to be told.
    for name, lines in (("plain", rows), ("plaingaps", gaps)):
        plain = [",".join([*row[:-1], row[-1][:10]]) for row in lines]
        (folder / f"{name}.csv").write_text("\n".join(plain) + "\n")
    random = np.random.default_rng(5)
    values = random.normal(size=(60, 3)).round(3)
    (folder / "numbers.csv").write_text(
        "a,b,c\n" + "\n".join(",".join(map(str, row)) for row in values.tolist()) + "\n"
    )
    np.save(folder / "pictures.npy", make.rows("convolutions")["x"][:6])


def words(line: str) -> list[str]:
    """The words of a call, with the golden files' paths."""
    named = {"MIXED": str(MIXED), "PICTURES": str(PICTURES)}
    return [named.get(word, word) for word in line.split()]


def call(main: Callable[[list[str]], int], argv: list[str]) -> tuple[int, str, str]:
    """Run the command in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    return code, out.getvalue(), err.getvalue()


def masked(text: str, folder: Path) -> list[str]:
    """A text without what differs from machine to machine: paths, decimals, times, sizes."""
    for path, name in ((str(folder), "HERE"), (str(GOLDEN), "GOLDEN")):
        text = text.replace(path, name)
    text = re.sub(r"\b\d[\d,]* bits\b", "# bits", text)
    text = re.sub(r"(\brun/\S+:\s+)\d[\d,]* bytes", r"\1# bytes", text)  # digits of numbers that it holds
    text = re.sub(r"[-+]?\d[\d,]*\.\d+(e[-+]?\d+)?|\b\d+e[-+]?\d+|\bnan\b|[-+]?\binf\b", "#", text)
    text = re.sub(r"[\d,#]+ rows/s", "# rows/s", text)
    text = re.sub(r"\b(?:less than )?[\d#]+ (min|m|s|h|ms)\b", "# s", text)
    text = text.replace("refitted", "run")  # as good as the run: which of both stands first is up to the machine
    text = text.replace("# s (# s in all)", "# s")  # said where a command took much longer than its training
    text = re.sub(r"\d{4}-\d\d-\d\dT?[ \d:+.#Z]*", "DATE", text)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if not PROGRESS.match(line) and not WAITING.fullmatch(line)]


def shape_of(value: Any) -> Any:
    """The keys and types of a JSON value; a list is its first entry."""
    if isinstance(value, dict):
        return {key: shape_of(one) for key, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__


def seen_file(path: Path) -> Any:
    """What is kept of a file: the header and number of lines of a table, names, types and shapes of arrays."""
    if path.suffix == ".csv":
        lines = path.read_text().splitlines()
        return [lines[0], len(lines)]
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: [str(arrays[name].dtype), list(arrays[name].shape)] for name in sorted(arrays)}
    if path.suffix == ".npy":
        array = np.load(path)
        return [str(array.dtype), list(array.shape)]
    return "made"


def files(folder: Path) -> dict[Path, float]:
    """Every file below a folder, with the time of its last change."""
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def photographs() -> Iterator[tuple[str, Any, dict[str, str]]]:
    """Name, what is kept, and the checksums of the files that were made, call by call, in the present folder."""
    from latens.cli.arguments import COMMANDS
    from latens.cli.main import main

    here = Path.cwd()
    data(here)
    for name in COMMANDS:
        for end in COMMANDS_REFUSED:
            if end or name not in ("demo", "info"):
                code, out, err = call(main, [name, *words(end), "--json", "--dry-run"])
                kept = {"code": code, "err": masked(err, here)[:2]}
                if code and out.strip():
                    kept["json"] = shape_of(json.loads(out))
                yield f"refused {name} {end}".strip(), kept, {}
    called = {line.split()[0] for line in CALLS.values()}
    assert called | {"demo", "sweep"} == set(COMMANDS)  # a sweep needs an extra
    for name, line in CALLS.items():
        before = files(here)
        code, out, err = call(main, words(line))
        made = [path for path, time in files(here).items() if before.get(path) != time]
        kept = {"code": code, "out": masked(out, here)[:60], "err": masked(err, here)[:60]}
        if name == "fit-digits":
            # After four steps counts, such as those of active units, differ from processor to processor.
            kept |= {"out": [], "err": []}
        # A slow machine writes more checkpoints.
        kept["files"] = {str(p.relative_to(here)): seen_file(p) for p in made if "checkpoints" not in p.parts}
        hashed = {str(p.relative_to(here)): hashlib.sha256(p.read_bytes()).hexdigest() for p in made}
        yield name, kept, hashed
        once = (
            "check-columns",
            "fit",
            "fit-digits",
            "fit-classes",
            "resume",
            "refit",
            "explore",
            "recipes-parts",
        )
        if code == 0 and name not in once:
            code, out, _ = call(main, [*words(line), "--json", "--quiet"])
            yield f"--json {name}", shape_of(json.loads(out)), {}


def main() -> None:
    """Store what is seen, or the checksums of what is made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    target = (arguments.bytes or STORED).resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        seen = list(photographs())
    if arguments.bytes is not None:
        kept: dict[str, Any] = {name: hashed for name, _, hashed in seen if hashed}
    else:
        kept = {name: one for name, one, _ in seen}
    target.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
