"""Bad data files: how each is made, what is typed, and what has to come of it."""

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """`make` writes files into the present folder; `argv` is typed there; `words` must be in the error (or, where
    `code` is 0, in the answer), `made` is what a success leaves behind."""

    make: Callable[[], Any]
    argv: tuple[str, ...]
    code: int
    error: str
    words: tuple[str, ...]
    made: tuple[str, ...] = ()


TABLE = "a,b,c\n" + "".join(f"{i},{i * i % 7},{i / 3:.3f}\n" for i in range(40))


def text(content: str | bytes, name: str = "d.csv") -> Callable[[], Any]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda: (Path(name).parent.mkdir(parents=True, exist_ok=True), Path(name).write_bytes(data))


def npy(array: Any, name: str = "d.npy", **options: Any) -> Callable[[], Any]:
    return lambda: np.save(name, array, **options)


def npz(**arrays: Any) -> Callable[[], Any]:
    return lambda: np.savez("d.npz", **arrays)


def npy_bytes(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    head = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) if length is None else length) + head + data


def archive(*members: tuple[str, bytes], packed: bool = True) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        for name, data in members:
            file.writestr(name, data)
    return stream.getvalue()


def idx(shape: tuple[int, ...], data: bytes, kind: int = 8) -> bytes:
    return struct.pack(">HBB", 0, kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + data


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0x10
    return bytes(changed)


def _buffer(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


X = np.random.default_rng(0).normal(size=(30, 4)).round(3)
PICTURES = np.random.default_rng(0).integers(0, 9, (20, 3, 3)).astype(np.uint8)
GOOD = _buffer(X)
ZEROS = gzip.compress(bytes(40 << 20))
LONG = "/".join(["folder" * 8] * 12) + "/d.csv"


def check(
    make: Callable[[], Any], file: str, *words: str, code: int = 3, error: str = "data", also: tuple[str, ...] = ()
):
    return Case(make, ("check", file, *also), code, error if code else "", words)


def _nan(place: tuple[int, int], value: float) -> np.ndarray:
    array = X.copy()
    array[place] = value
    return array


H = "{'descr': '<f8', 'fortran_order': False, 'shape': "

CASES: dict[str, Case] = {
    # --- numbers that are none ---
    "NaN in npy": check(npy(_nan((3, 1), np.nan)), "d.npy", "row 3, column 1", "NaN", "--missing nan"),
    "inf in npy": check(npy(_nan((2, 0), np.inf)), "d.npy", "row 2, column 0", "inf"),
    "-inf in csv": check(text(TABLE + "1,-inf,2\n"), "d.csv", "row 40, column 'b'", "-inf"),
    "NaN in csv": check(text(TABLE + "1,,2\n"), "d.csv", "row 40, column 'b'", "--missing nan"),
    "1e400 in csv": check(text(TABLE + "1,1e400,2\n"), "d.csv", "row 40", "inf"),
    "NaN as missing": check(npy(_nan((3, 1), np.nan)), "d.npy", '"nan_cells": 1', code=0, also=("--missing", "nan")),
    "inf as missing": check(npy(_nan((3, 1), np.inf)), "d.npy", "row 3", also=("--missing", "nan")),
    "too large for float32": check(npy(X * 1e300), "d.npy", "too large"),
    "all missing": check(
        text("a,b\n,1\n,2\n,3\n"), "d.csv", "no training row has a value", code=0, also=("--missing", "nan")
    ),
    # --- shapes ---
    "0 bytes": check(text(""), "d.csv", "empty"),
    "no rows": check(npy(np.zeros((0, 3))), "d.npy", "(0, 3)"),
    "no columns": check(npy(np.zeros((3, 0))), "d.npy", "(3, 0)"),
    "a number": check(npy(np.float64(3.0)), "d.npy", "()"),
    "a vector": check(npy(np.arange(9.0)), "d.npy", "x[:, None]"),
    "only a header": check(text("a,b,c\n"), "d.csv", "has no rows"),
    "blank lines": check(text("\n\n  \n"), "d.csv", "is empty"),
    "one row": check(text("a,b,c\n1,2,3\n"), "d.csv", '"rows": 1', "No row is a", code=0),
    "one column": check(text("a\n" + "".join(f"{i}\n" for i in range(30))), "d.csv", '"rows": 30', code=0),
    "constant columns": check(npy(np.hstack([X, X[:1].repeat(30, 0)])), "d.npy", "4 columns never change", code=0),
    "equal rows": check(npy(np.ones((20, 3))), "d.npy", '"duplicate_rows": 19', code=0),
    "unequal parts": check(npz(x_train=X, x_test=X[:, :2]), "d.npz", "shape"),
    "labels too few": check(npz(x=X, y=np.arange(5)), "d.npz", "labels", "30"),
    "one row trains": Case(
        text("a,b,c\n1,2,3\n"),
        ("fit", "d.csv", "--steps", "1", "--dry-run"),
        0,
        "",
        ("for 1 training rows", '"dry_run": true'),
    ),
    # --- npy ---
    "npy cut in the magic": check(text(GOOD[:5], "d.npy"), "d.npy", ".npy"),
    "npy cut in the header": check(text(GOOD[:50], "d.npy"), "d.npy", "header"),
    "npy cut in the data": check(text(GOOD[:-8], "d.npy"), "d.npy", "952 bytes follow"),
    "npy with more": check(text(GOOD + b"x", "d.npy"), "d.npy", "961 bytes follow"),
    "npy of version 9": check(text(flipped(GOOD, 6), "d.npy"), "d.npy", "cannot be read"),
    "npy header flipped": check(text(flipped(GOOD, 20), "d.npy"), "d.npy", "d.npy"),
    "npy header of code": check(text(npy_bytes("__import__('os').system('true')"), "d.npy"), "d.npy", "cannot be read"),
    "npy header deep": check(text(npy_bytes("(" * 5000), "d.npy"), "d.npy", "cannot be read"),
    "npy header bomb": check(text(npy_bytes("9**9**9"), "d.npy"), "d.npy", "cannot be read"),
    "npy header too long": check(text(npy_bytes(b" " * 60000), "d.npy"), "d.npy", "length (60000) is large"),
    "npy claims 8 TB": check(
        text(npy_bytes(f"{H}(1000000, 1000000)}}", b"x"), "d.npy"), "d.npy", "8000000000000 bytes"
    ),
    "npy shape overflows": check(text(npy_bytes(f"{H}({2**62}, {2**62})}}"), "d.npy"), "d.npy", "d.npy"),
    "npy shape negative": check(text(npy_bytes(f"{H}(-1, 2)}}"), "d.npy"), "d.npy", "d.npy"),
    "npy shape of True": check(text(npy_bytes(f"{H}(True, 2)}}"), "d.npy"), "d.npy", "d.npy"),
    "npy of objects": check(npy(np.array([[1, "a"]], object), allow_pickle=True), "d.npy", "never unpickles"),
    "npy of text": check(npy(np.array([["a", "b"]])), "d.npy", "text"),
    "npy of complex numbers": check(npy(X + 1j), "d.npy", "c16"),
    "npy of dates": check(npy(np.zeros((2, 2), "M8[s]")), "d.npy", "M8"),
    "npy of records": check(npy(np.zeros((2, 2), [("a", "f4")])), "d.npy", "plain numbers"),
    "npy of no character": check(
        text(
            archive(("x.npy", GOOD), ("y.npy", _buffer(np.array(["a"] * 30)).replace(b"a\0\0\0", b"a\0\0\x7f"))),
            "d.npz",
        ),
        "d.npz",
        "not a character",
    ),
    # --- npz ---
    "npz cut": check(text(archive(("x.npy", GOOD))[:-20], "d.npz"), "d.npz", "d.npz"),
    "npz flipped": check(text(flipped(archive(("x.npy", GOOD)), 400), "d.npz"), "d.npz", "d.npz"),
    "npz empty": check(text(archive(), "d.npz"), "d.npz", "d.npz"),
    "npz bomb": check(
        text(archive(("x.npy", npy_bytes(f"{H}(4, {10 << 20})}}", bytes(64 << 20)))), "d.npz"), "d.npz", "bytes"
    ),
    "npz of objects": check(npz(x=np.array([[None]])), "d.npz", "never unpickles"),
    "npz without data": check(npz(a=X, b=X), "d.npz", "not clear", "a, b", "np.savez"),
    "npz label of no name": check(npz(x=X, y=X[:, 0]), "d.npz", "Did you mean 'y'", also=("--label", "yy")),
    "labels in a pipe": check(
        lambda: (npy(X)(), os.mkfifo("y.npy")), "d.npy", "y.npy", "not a regular file", also=("--label", "y.npy")
    ),
    "npz classes of one name": check(
        npz(x=X, y=np.arange(30) % 2, class_names=np.array(["p", "p"])), "d.npz", "two classes", "'p'", "class_names"
    ),
    "npz weights of 1e308": check(npz(x=X, w=np.full(30, 1e308)), "d.npz", "finite", also=("--weight", "w")),
    "npz fractional labels": check(npz(x=X, y=X[:, 0]), "d.npz", "classes", "--label none"),
    # --- IDX ---
    "idx cut": check(
        text(idx((20, 3, 3), PICTURES.tobytes()[:-1]), "d-idx3-ubyte"), "d-idx3-ubyte", "180 bytes", "179 follow"
    ),
    "idx with more": check(text(idx((20, 3, 3), PICTURES.tobytes() + b"x"), "d-idx3-ubyte"), "d-idx3-ubyte", "more"),
    "idx claims 4 GB": check(text(idx((2**32 - 1, 1), b""), "d-idx2-ubyte"), "d-idx2-ubyte", "4294967295 bytes"),
    "idx overflows": check(text(idx((2**32 - 1,) * 8, b""), "d-idx8-ubyte"), "d-idx8-ubyte", "d-idx8-ubyte"),
    "idx of another type": check(text(idx((2, 2), b"abcd", 7), "d-idx2-ubyte"), "d-idx2-ubyte", "IDX"),
    "idx gz cut": check(
        text(gzip.compress(idx((20, 3, 3), PICTURES.tobytes()))[:-9], "d-idx3-ubyte.gz"), "d-idx3-ubyte.gz", "ended"
    ),
    "idx gz bomb": check(
        text(gzip.compress(idx((9, 9), b"")) + ZEROS, "d-idx2-ubyte.gz"), "d-idx2-ubyte.gz", "more follow"
    ),
    "folder of nothing": check(lambda: Path("d").mkdir(), "d", "it holds nothing"),
}
