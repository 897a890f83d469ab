"""Small files as offices have them, through the whole of the commands: checked, trained on, drawn from, read back."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_offices import DATES, ENCODINGS, NUMBERS, A, K, N, alike, comma, write

from latens.cli.main import main
from latens.data import load

G = ["rgb"[k] for k in K]
SMALL = ["--set", "network.hidden=[4]", "--set", "posterior.latent_dim=1", "--steps", "1", "--num-samples", "2"]
Make = Callable[[Path], Path]


def table(written: list[str], separator: str = ";", **how: str) -> Make:
    return lambda folder: write(folder / "t.csv", separator, **how, x=written, g=G)


def frame_file(ending: str) -> Make:
    def made(folder: Path) -> Path:
        pd = pytest.importorskip("pandas")
        path = folder / f"t{ending}"
        frame = pd.DataFrame({"x": A, "n": K * 7 + 3, "g": G, "day": pd.date_range("2024-01-01", periods=N)})
        if ending in (".xlsx", ".ods"):
            pytest.importorskip({".xlsx": "openpyxl", ".ods": "odf"}[ending])
            frame.to_excel(path, index=False)
        elif ending == ".parquet":
            frame.to_parquet(path)
        elif ending == ".jsonl":
            frame.to_json(path, orient="records", lines=True, date_format="iso")
        elif ending == ".csv.gz":
            path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
        else:
            frame.to_csv(path, index=False, sep="\t")
        return path

    return made


def with_gaps(word: str) -> Make:
    return table([word if i % 9 == 4 else f"{a:.2f}" for i, a in enumerate(A)], ",")


PLAIN: dict[str, Make] = {
    "yes and no": table(["yes" if k else "no" for k in K]),
    "true and false": table(["TRUE" if k else "FALSE" for k in K]),
    "signs": table(["+-="[k] for k in K], ","),
    "classes of a school": table([f"{k + 5}A" for k in K]),
    "postcodes": table([f"0{4000 + 7 * k}" for k in K]),
    "whole numbers": table([str(40 + 3 * i % 50) for i in range(N)], ","),
    "exact decimals": table([f"{a:.4f}" for a in A], ","),
    "days": table([f"2024-{i % 12 + 1:02d}-{i % 27 + 1:02d}" for i in range(N)], ","),
    "times of days": table([f"2024-01-{i % 27 + 1:02d} {i % 24:02d}:30:00" for i in range(N)], ","),
    "times of a zone": table([f"2024-01-{i % 27 + 1:02d} {i % 24:02d}:30:00+01:00" for i in range(N)], ","),
    "cells in quotes": table([f'"{a:.2f}"' for a in A], ","),
    "bars": table([f"{a:.2f}" for a in A], "|"),
}
CORPUS: dict[str, Make] = {
    **{f"numbers: {name}": table(written) for name, (written, _, _) in NUMBERS.items()},
    **{f"dates: {name}": table(written, ";" if "," in written[0] else ",") for name, (written, _) in DATES.items()},
    **{f"encoding: {name}": table([comma(f"{a:.2f}") for a in A], encoding=name) for name in ENCODINGS},
    **{f"file: {ending}": frame_file(ending) for ending in (".xlsx", ".ods", ".parquet", ".jsonl", ".csv.gz", ".tsv")},
    **{f"gaps: {word or 'empty'}": with_gaps(word) for word in ("", "NA", "n/a", "null", "?")},
    **PLAIN,
}  # fmt: skip


def test_there_are_sixty_files() -> None:
    assert len(CORPUS) >= 60


@pytest.mark.long
@pytest.mark.parametrize("name", CORPUS)
def test_a_file_is_checked_trained_on_and_drawn_from_in_its_own_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(CORPUS[name](tmp_path).name)
    assert main(["check", path]) == 0
    assert main(["fit", path, *SMALL, "--out", "run", "--quiet"]) == 0
    assert main(["sample", "run", "-n", "400", "--out", "new.csv", "--quiet"]) == 0
    one = load(path)
    again = load("new.csv", schema=one.schema)
    assert again.outside is None or np.abs(again.outside).max() == 0
    writings = [t.writing for t in one.schema.types or () if t.writing]
    asked = {"decimal": next((w.decimal for w in writings if not w.pattern), None)}
    order = next((w.pattern for w in writings if re.match("%-?[dm]/", w.pattern)), "")
    asked["dates"] = ("dmy" if order.startswith("%d") else "mdy") if order else None
    alike(one, load("new.csv", **asked))
