"""Bad files of the formats that are read by blocks, addresses that give no answer, and flags typed twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_data import TABLE, Case, check, text

ROWS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
HALVES = np.arange(60) * 0.5


def columns(ending: str, **made: Callable[[Any], Any]) -> Callable[[], Any]:
    """A table d.parquet or d.arrow, of columns that are made with pyarrow."""

    def make() -> None:
        arrow = pytest.importorskip("pyarrow")
        table = arrow.table({name: one(arrow) for name, one in made.items()})
        if ending == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, "d.parquet")
            return
        with arrow.ipc.new_file("d.arrow", table.schema) as file:
            file.write_table(table)

    return make


def broken_text(arrow: Any) -> Any:
    """Text of which one cell is the byte 0xff."""
    ends = np.arange(61, dtype=np.int32)
    return arrow.Array.from_buffers(
        arrow.string(), 60, [None, arrow.py_buffer(ends), arrow.py_buffer(b"x" * 59 + b"\xff")]
    )


def far_offsets() -> None:
    """A file whose cells of text lie where it has none: Arrow would read there."""
    columns("arrow", a=numbers, b=lambda arrow: arrow.array(["x"] * 60))()
    found, ends = Path("d.arrow").read_bytes(), np.arange(61, dtype=np.int32)
    assert ends.tobytes() in found
    Path("d.arrow").write_bytes(found.replace(ends.tobytes(), (ends << 24).tobytes()))


def numbers(arrow: Any) -> Any:
    return arrow.array(HALVES)


def wide_gap(arrow: Any) -> Any:
    return arrow.array([None, *(2**60 + i for i in range(1, 60))])


def long_cell(arrow: Any) -> Any:
    return arrow.array(["x" * 10**6, *(f"i{i}" for i in range(3000))])


def hdf5(fill: Callable[[Any], Any]) -> Callable[[], Any]:
    """A file d.h5, and what is put in it."""

    def make() -> None:
        with pytest.importorskip("h5py").File("d.h5", "w") as file:
            fill(file)

    return make


def endless() -> None:
    """A collection of texts of which the HDF5 library would never find the end."""
    hdf5(lambda file: (file.create_dataset("x", data=ROWS[:4]), file.create_dataset("y", data=list("abab"))))()
    data = bytearray(Path("d.h5").read_bytes())
    data[data.index(b"GCOL") + 24] = 173
    Path("d.h5").write_bytes(data)


def elsewhere(file: Any) -> None:
    file.create_dataset("x", shape=(60, 4), dtype="f4", external=[("/etc/passwd", 0, 960)])


def outside() -> None:
    parts = {"indices": [9, 0], "indptr": [0, 1, 2], "format": b"csr", "shape": [2, 2], "data": [1.0, 2.0]}
    np.savez("d.npz", **{name: np.array(part) for name, part in parts.items()})


def zone(name: str) -> Callable[[Any], Any]:
    return lambda arrow: arrow.array(np.arange(60) * 10**9).cast(arrow.timestamp("s", tz=name))


def day(number: int) -> Callable[[Any], Any]:
    return lambda arrow: arrow.array(np.full(60, number, np.int32)).cast(arrow.date32())


def twice(*argv: str, words: tuple[str, ...]) -> Case:
    return Case(text(TABLE), argv, 2, "usage", words)


MARKET = "%%MatrixMarket matrix coordinate real general\n"

FLAT = "".join(f"{1.7e308 * (-1) ** i},{'xy'[i % 2]}\n" for i in range(60))

CASES: dict[str, Case] = {
    # --- columns ---
    **{
        f"{what} in {ending}{' by blocks' * bool(also)}": check(
            columns(ending, a=numbers, b=made), f"d.{ending}", *words, also=also
        )
        for ending in ("parquet", "arrow")
        for also in ((), ("--stream",))
        for what, made, words in (
            ("text that is not UTF-8", broken_text, ("valid", "8")),
            ("the last day of date32", day(2**31 - 1), ("column 'b'", "Date", "as numbers")),
            ("the first day of date32", day(-(2**31)), ("column 'b'", "Date", "as numbers")),
            ("a zone of no place", zone("Mars/Olympus"), ("cannot be read", "time zone: 'Mars/Olympus'")),
            ("a zone that is a path", zone("../../etc/passwd"), ("cannot be read", "time zone: '../../etc")),
            ("a zone of 99 hours", zone("+99:99"), ("cannot be read", "time zone: '+99:99'")),
        )
    },
    **{
        f"whole numbers of 19 digits with a gap in {ending}": check(
            columns(ending, a=numbers, b=wide_gap, c=lambda arrow: arrow.array(["x", "y"] * 30)),
            f"d.{ending}",
            "Column 'b' is not modelled",
            "like an id",
            code=0,
        )
        for ending in ("parquet", "arrow")
    },
    "an id of 10^6 letters": check(
        columns("parquet", a=lambda arrow: arrow.array(np.arange(3001.0)), b=long_cell),
        "d.parquet",
        "row 0",
        "1000000 characters",
        also=("--id", "b"),
    ),
    "text of 10^6 letters": check(
        columns("parquet", a=lambda arrow: arrow.array(np.arange(3001.0)), b=long_cell),
        "d.parquet",
        "'b' is not modelled",
        code=0,
    ),
    "a label that ends in a zero byte": check(
        columns("parquet", a=numbers, b=lambda arrow: arrow.array(["x\0", "x"] * 30)),
        "d.parquet",
        "row 0",
        "zero byte",
        also=("--label", "b"),
    ),
    "text that ends in a zero byte": check(
        columns("parquet", a=numbers, b=lambda arrow: arrow.array(["x\0", "x"] * 30)),
        "d.parquet",
        "2 categories",
        code=0,
    ),
    "a type of its own by blocks": check(
        columns("parquet", a=numbers, b=lambda arrow: arrow.array([b"x" * 16] * 60, arrow.uuid())),
        "d.parquet",
        "1 categories",
        also=("--stream",),
        code=0,
    ),
    "hdf5 of complex rows": check(
        hdf5(lambda file: file.create_dataset("x", data=ROWS + 1j)), "d.h5", "'x' holds no rows of numbers", "float32"
    ),
    "hdf5 of text": check(
        hdf5(lambda file: file.create_dataset("x", data=np.full((9, 2), b"a"))), "d.h5", "'x' holds no rows of numbers"
    ),
    "hdf5 of nothing, with a label": check(
        hdf5(lambda file: file.create_group("a")), "d.h5", "no key 'y'", also=("--label", "y")
    ),
    "hdf5 of 10^15 rows": check(
        hdf5(lambda file: file.create_dataset("x", shape=(10**15, 4), dtype="f4", chunks=(64, 4))), "d.h5", "are stored"
    ),
    "hdf5 of values elsewhere": check(hdf5(elsewhere), "d.h5", "in other files, which are not opened"),
    "hdf5 of texts without end": check(endless, "d.h5", "its texts are damaged"),
    "hdf5 cut": check(text(b"\x89HDF\r\n\x1a\n" + bytes(90), "d.h5"), "d.h5", "cannot be read"),
    "sparse rows outside": check(outside, "d.npz", "indices must be < 2"),
    "mtx cut": check(text(f"{MARKET}2 2 3\n1 1 1.5\n", "d.mtx"), "d.mtx", "d.mtx", "Expected another 2 lines"),
    "mtx of 10^11 rows": check(text(f"{MARKET}{10**11} 2 1\n1 1 1\n", "d.mtx"), "d.mtx", "100000000000 rows for 1"),
    "mtx of 10^10 cells": check(text(f"{MARKET}9 9 {10**14}\n1 1 1\n", "d.mtx"), "d.mtx", code=7, error="resource"),
    "arrow of 0 bytes": check(text("", "d.arrow"), "d.arrow", "is empty"),
    "arrow with offsets beyond its text": check(far_offsets, "d.arrow", "cannot be read", "out-of-spec"),
    # --- numbers that no grid counts ---
    "from -1.7e308 to 1.7e308": check(text("a,b\n" + FLAT), "d.csv", "column 'a' reaches from -1.7e+308", "rescale"),
    "the same, typed": check(text(FLAT.replace("x", "1").replace("y", "2")), "d.csv", "1e+300", also=("--typed",)),
    # --- addresses ---
    "an address without a bucket": check(lambda: None, "s3:///x", "is not a table that is read where it lies"),
    # --- flags typed twice ---
    "a flag twice": twice("fit", "d.csv", "--label", "a", "--label", "b", words=("--label is given twice",)),
    "a flag twice, with =": twice("fit", "d.csv", "--seed=1", "--seed", "2", words=("--seed is given twice",)),
    "flags that contradict": twice(
        "check", "d.csv", "--counts", "--no-counts", words=("--counts and --no-counts contradict",)
    ),
    "an option twice": twice(
        "fit",
        "d.csv",
        "--set",
        "network.hidden=8",
        "--set",
        "network.hidden=9",
        words=("network.hidden is given twice",),
    ),
    "a flag and its option": twice(
        "fit", "d.csv", "--steps", "3", "--set", "training.steps=9", words=("training.steps is given twice",)
    ),
    "a switch twice": Case(text(TABLE), ("fit", "d.csv", "--dry-run", "--dry-run"), 0, "", ('"dry_run": true',)),
}
