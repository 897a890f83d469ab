"""Bad text tables, odd paths and other people's formats."""

import gzip
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus_data import LONG, TABLE, ZEROS, Case, archive, check, flipped, text

SPACED = "my data ä 数据 🙂/a b's “c”.csv"
ROWS = TABLE.splitlines()
WIDE = "\n".join(",".join(f"{word}{i}" for i in range(20_000)) for word in ("gene", *range(1, 6))) + "\n"


def linked(file: str) -> Callable[[], Any]:
    """A folder with a file and a link that leads out of it."""
    return lambda: [
        each() for each in (text(TABLE, f"d/{file}"), text(TABLE, f"s/{file}"), lambda: os.symlink("../s", "d/x"))
    ]


CASES: dict[str, Case] = {
    # --- text that is read ---
    "BOM": check(text(b"\xef\xbb\xbf" + TABLE.encode()), "d.csv", '"rows": 40', code=0),
    "semicolons": check(text(TABLE.replace(",", ";")), "d.csv", '"rows": 40', '"shape": [\n    3', code=0),
    "tabs": check(text(TABLE.replace(",", "\t"), "d.tsv"), "d.tsv", '"shape": [\n    3', code=0),
    "blanks": check(text(TABLE.replace(",", "  "), "d.txt"), "d.txt", '"shape": [\n    3', code=0),
    "bars": check(text(TABLE.replace(",", " | ")), "d.csv", '"kind": "real"', '"shape": [\n    3', code=0),
    "blanks in quotes": check(
        text(TABLE.replace(",", ", ").replace("a", '"a, x"')), "d.csv", '"shape": [\n    3', code=0
    ),
    "returns and newlines": check(text(TABLE.replace("\n", "\r\n")), "d.csv", '"rows": 40', code=0),
    "20,000 columns": check(text(WIDE), "d.csv", '"shape": [\n    20000', code=0),
    "20,000 columns between blanks": check(text(WIDE.replace(",", " ")), "d.csv", '"shape": [\n    20000', code=0),
    "commas and tabs": check(text(TABLE.replace(",", ",\t")), "d.csv", '"kind": "real"', '"shape": [\n    3', code=0),
    "no newline at the end": check(text(TABLE.rstrip()), "d.csv", '"rows": 40', code=0),
    "quotes": check(text(TABLE.replace("a,b,c", '"a, ""x""",b,c')), "d.csv", '"rows": 40', code=0),
    "gzip": check(text(gzip.compress(TABLE.encode()), "d.csv.gz"), "d.csv.gz", '"rows": 40', code=0),
    "spaces and unicode in the path": check(text(TABLE, SPACED), SPACED, '"rows": 40', code=0),
    "a long path": check(text(TABLE, LONG), LONG, '"rows": 40', code=0),
    "carriage returns alone": check(text(TABLE.replace("\n", "\r")), "d.csv", '"rows": 40', code=0),
    "carriage returns alone between blanks": check(
        text(TABLE.replace("\n", "\r").replace(",", " ")), "d.csv", '"rows": 40', code=0
    ),
    "text among numbers": check(
        text(TABLE + "1,red,3\n"), "d.csv", "'b' is a category, but 98% of its cells are numbers", code=0
    ),
    "whole numbers of 128 bits": check(text(TABLE.replace("7,", "7" * 30 + ",")), "d.csv", '"rows": 40', code=0),
    "JSON with a BOM": check(text(b'\xef\xbb\xbf[{"a": 1.5}, {"a": 2}]', "d.json"), "d.json", '"rows": 2', code=0),
    # --- text that is not ---
    "a separator of two": check(
        text(TABLE), "d.csv", "not one character", code=2, error="usage", also=("--separator", ";;")
    ),
    "ragged, short": check(text(TABLE + "1,2\n"), "d.csv", "row 40, column 'c'", "a missing value"),
    "ragged, long": check(text(TABLE + "1,2,3,4\n"), "d.csv", "line 42", "4 values"),
    "a name twice": check(text(TABLE.replace("a,b,c", "a,b,a")), "d.csv", "'a'"),
    "a zero byte": check(text(TABLE.encode() + b"1,\x00,3\n"), "d.csv", "line 42", "zero byte"),
    "a line of 17 MB": check(
        text("1," * (17 << 19) + "1\n"), "d.csv", "more than 1048576 columns", code=7, error="resource"
    ),
    "a cell of 200 kB": check(
        text("a,b\n1,2\n1," + "2" * 200_000 + "\n"), "d.csv", "could not parse `222", "column 'b'"
    ),
    "a quote without an end": check(text(TABLE + '1,"2,3\n' + "4,5,6\n" * 50), "d.csv", "line 42", "quotation mark"),
    "a quote without an end in the last column": check(
        text("n,k\n1,red\n" + '2,"red\n3,blue\n' + "4,red\n" * 20), "d.csv", "line 3", "quotation mark"
    ),
    "a quote in the last line": check(text(TABLE + '1,2,"'), "d.csv", "line 42", "quotation mark"),
    "nothing but a quote": check(text('"'), "d.csv", "line 1", "quotation mark"),
    "a label of 100,000 letters": check(
        text("t,a\n" + "x" * 100_000 + ",1\n" + "y,2\nz,3\n" * 500),
        "d.csv",
        "row 0",
        "100000 characters",
        also=("--label", "t"),
    ),
    "a label of 20,000 columns": check(text(WIDE), "d.csv", "'zz'", "'gene0' to 'gene19999'", also=("--label", "zz")),
    "a weight with an underscore": check(
        text(TABLE + "1_0,2,3\n"), "d.csv", "weights must be numbers", also=("--weight", "a")
    ),
    "a gzip bomb of one line": check(text(ZEROS, "d.csv.gz"), "d.csv.gz", "line 1", "zero byte"),
    "lines without a character": check(text("\n", "d.txt"), "d.txt", "is empty"),
    "gzip twice": check(text(gzip.compress(gzip.compress(TABLE.encode())), "d.csv.gz"), "d.csv.gz", "Unpack it first"),
    "lines in zlib": check(text(zlib.compress(b'{"a": 1}\n' * 40), "d.jsonl"), "d.jsonl", "Unpack it first"),
    "a bomb of Zstandard": check(
        text(b"\x28\xb5\x2f\xfd\x20\0" + b"\x02\0\x10," * 2**16 + b"\x0b\0\0\n", "d.csv.zst"),
        "d.csv.zst",
        "holds more than 8589934592 bytes",
        code=7,
        error="resource",
    ),
    "Zstandard cut": check(text(b"\x28\xb5\x2f\xfd\x20\1\x01", "d.csv.zst"), "d.csv.zst", "cut off"),
    "gzip cut": check(text(gzip.compress(TABLE.encode())[:-12], "d.csv.gz"), "d.csv.gz", "ended before"),
    "gzip flipped": check(text(flipped(gzip.compress(TABLE.encode()), -3), "d.csv.gz"), "d.csv.gz", "Incorrect length"),
    "an id twice": check(text(TABLE + ROWS[1] + "\n"), "d.csv", "row id 0", "2 times", also=("--id", "a")),
    "an id of no name": check(text(TABLE), "d.csv", "Valid: a, b, c", also=("--id", "name")),
    "fractional labels": check(text(TABLE), "d.csv", "classes", "--label none", also=("--label", "c")),
    # --- other people's formats, and none ---
    "a pickle": check(text(pickle.dumps({"x": 1}), "d.pkl"), "d.pkl", "pickle can run code", "np.savez"),
    "a pickle as npy": check(text(pickle.dumps({"x": 1}), "d.npy"), "d.npy", "magic string is not correct"),
    "a pickle as csv": check(text(pickle.dumps({"x": 1})), "d.csv", "line 2", "zero byte"),
    "a torch file": check(text(b"PK\x03\x04", "d.pt"), "d.pt", "pickle can run code"),
    "a spreadsheet": check(text(b"PK\x03\x04", "d.xlsx"), "d.xlsx", "cannot be read", "Zip"),
    "a far cell": check(
        text(archive(("s.xml", b'<row r="9"><c s="1" r="XFD1048576">')), "d.xlsx"),
        "d.xlsx",
        "has 1,048,576 rows of 16,384 columns",
        code=7,
        error="resource",
    ),
    "a parquet file of three bytes": check(text(b"PAR", "d.parquet"), "d.parquet", "at least 12 bytes"),
    "a parquet file cut": check(text(b"PAR1" + bytes(60) + b"PAR1", "d.parquet"), "d.parquet", "d.parquet"),
    "a picture": check(text(b"\x89PNG\r\n\x1a\n", "d.png"), "d.png", "Put it in a folder"),
    "no known ending": check(text(TABLE, "d.xyz"), "d.xyz", "no known format"),
    "no file": check(lambda: None, "d.csv", "no such file", "Check the path"),
    "a name of 5,000 letters": check(lambda: None, "d" * 5000 + ".csv", "no such file"),
    "a zero byte in the name": check(lambda: None, "d\0.csv", "no such file"),
    "a file as a folder": check(text(TABLE), "d.csv/e.csv", "no such file"),
    "a link out of a folder of tables": check(linked("a.csv"), "d/*/*.csv", "leads out of it: 'x/a.csv'"),
    "a link out of a folder of pictures": check(linked("a.png"), "d", "leads out of it: 'x/a.png'", "cp -rL"),
    "a link to itself": check(lambda: Path("d.csv").symlink_to("d.csv"), "d.csv", "d.csv"),
}
