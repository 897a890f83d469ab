"""Text tables of every kind users have, and those that cannot be read."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from latens.data import load
from latens.errors import DataError, ResourceError

PLAIN = "a,b,c\n1,2.5,-3\n4,5e-1,6\n"
VALUES = [[1, 2.5, -3], [4, 0.5, 6]]


def write(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Path:
    raw = text.encode() if isinstance(text, str) else text
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return tmp_path / name


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", ", "),
        PLAIN.replace(",", "   "),
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("2.5", '"2.5"').replace("a", '"a"'),
        PLAIN + "\n\n",
        PLAIN.rstrip("\n"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "tä ö.txt"])
def test_one_table_in_many_spellings(tmp_path: Path, text: str, name: str) -> None:
    data = load(write(tmp_path, text, name))
    assert data.x.tolist() == VALUES
    assert [column.name for column in data.schema.columns] == ["a", "b", "c"]


def test_no_line_is_lost_beyond_the_sniffed_ones(tmp_path: Path) -> None:
    rows = np.arange(300.0).reshape(100, 3) + 0.25
    data = load(write(tmp_path, "a,b,c\n" + "".join(",".join(map(str, r)) + "\n" for r in rows.tolist())))
    assert data.x.tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("text", "names", "n"),
    [
        ("1.5,2,3\n4,5,6\n", ["x0", "x1", "x2"], 2),
        ("0,1,2\n3.5,4,5\n", ["0", "1", "2"], 1),  # numbers that count the columns, above fractions
        ("0,1,2\n3,4,5\n", ["x0", "x1", "x2"], 2),  # could be a row: no row is dropped
        ('"2019 a","2020 a"\n1,2\n', ["2019 a", "2020 a"], 1),
    ],
)
def test_header_or_not(tmp_path: Path, text: str, names: list[str], n: int) -> None:
    data = load(write(tmp_path, text))
    assert [column.name for column in data.schema.columns] == names
    assert len(data) == n


def test_label_id_and_weight_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "who,kind,a,w,b\nann,cat,1.5,2,3\nbob,dog,2.5,0.5,4\ncy,,3.5,1,5\n")
    data = load(path, label="kind", row_id="who", weight="w")
    assert data.x.tolist() == [[1.5, 3], [2.5, 4], [3.5, 5]]
    assert data.label.tolist() == [0, 1, -1]
    assert data.schema.classes == ("cat", "dog")
    assert data.names.tolist() == ["ann", "bob", "cy"]
    assert data.weight.tolist() == [2, 0.5, 1]
    assert load(path, label="1", row_id="0").label.tolist() == [0, 1, -1]
    assert (data.label_name, load(path, label="1", row_id="0").label_name) == ("kind", "kind")


def test_label_by_position_from_the_end_without_a_header(tmp_path: Path) -> None:
    data = load(write(tmp_path, "5.1,3.5,setosa\n4.9,3.0,virginica\n"), label="-1")
    assert (data.label.tolist(), data.schema.classes) == ([0, 1], ("setosa", "virginica"))
    assert data.label_name == "label"  # it has no name of its own


def test_an_unnamed_first_column_is_the_index(tmp_path: Path) -> None:
    data = load(write(tmp_path, ",a,b\n10,1.5,2\n30,3,4\n"))
    assert data.names.tolist() == [10, 30]
    assert data.x.tolist() == [[1.5, 2], [3, 4]]


@pytest.mark.parametrize("word", ["", "NA", "NaN", "nan", "null", "None", "?", "n/a"])
def test_missing_words(tmp_path: Path, word: str) -> None:
    path = write(tmp_path, f"a,b\n1.5,2\n{word},4\n2.5,7\n")
    with pytest.raises(DataError, match=r"row 1, column 'a': holds NaN.*--missing nan"):
        load(path)
    data = load(path, missing="nan")
    assert data.mask.tolist() == [[True, True], [False, True], [True, True]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", "line 3: has 1 values, the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3: has 3 values"),
        ("a,b\n1,three\n2,3\n2,4\n", r"line 2: column 'b' holds numbers and the text 'three'.*leave it empty"),
        ("a,b\n1_000,2\n", r"line 2: column 'a' holds the text '1_000'.*plain numbers"),
        ("a;b\n1.5;2,5\n1.5;2.5\n", "decimal points"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("a,,b\n1,2,3\n", "a column has no name"),
        ("a,b\n", "has a header but no rows"),
        ("\n\n", "has no rows"),
        ("a,b\n1,inf\n", "row 0, column 'b': holds inf"),
        ("a,b\n1,é\n".encode() + b"2,\xff\n", "line 3: is not UTF-8"),
        (b"a,b\n1,\x81\n", "line 2: is not UTF-8.*--encoding cp1250"),
        (b"a,b\n1,\x002\n", "line 2: holds a zero byte"),
        ("x" * 200_000 + ",b\n1,2\n", "field larger than field limit"),
    ],
)
def test_refused_tables_name_the_place(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(write(tmp_path, text))


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latens.data.formats.csv.MAX_LINE", 20)
    with pytest.raises(ResourceError, match="line 2 is longer than 20"):
        load(write(tmp_path, "a,b\n" + "1" * 30 + ",2\n", "t.csv.gz"))
    monkeypatch.setattr("latens.data.formats.csv.MAX_BYTES", 40)
    with pytest.raises(ResourceError, match="too large"):
        load(write(tmp_path, "a,b\n" + "1,2\n" * 10, "t.csv.gz"))


def test_an_unknown_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'kind'"):
        load(write(tmp_path, "kind,a\n1,2\n"), label="knid")


def test_mutated_tables_load_or_say_why(tmp_path: Path) -> None:
    """What loads holds every line that was not touched, number for number and in order."""
    rng = np.random.default_rng(9)
    rows = [(i, i / 3, -i) for i in range(20)]
    lines = [f"{a},{b},{c}\n".encode() for a, b, c in rows]
    good = b"a,b,c\n" + b"".join(lines)
    begins = 6 + np.cumsum([0, *map(len, lines)])
    read = 0
    for _ in range(300):
        raw, touched = bytearray(good), set()
        for at in rng.integers(0, len(raw), rng.integers(1, 4)):
            raw[at] = rng.choice(list(b'0123456789,;.-"\n\r\0e\xff ')) if rng.random() < 0.8 else rng.integers(0, 256)
            line = np.searchsorted(begins, at, "right") - 1
            touched |= {line, line + 1} if at + 1 in begins else {line}  # a line's end is the next one's beginning
        try:
            data = load(write(tmp_path, bytes(raw)), missing="nan")
        except (DataError, ResourceError):
            continue
        # A first column without a name is the row ids.
        whole = np.float32([row[-data.x.shape[1] :] for i, row in enumerate(rows) if i not in touched])
        there = iter(data.x.astype(np.float32))
        assert all(any(np.array_equal(row, other) for other in there) for row in whole), bytes(raw)
        read += 1
    assert 20 < read < 280


def test_large_tables_are_read_by_pyarrow_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from latens.data.formats import csv

    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**63, 4000).view(np.float64)
    numbers = [repr(value) for value in bits[np.isfinite(bits)].tolist()][:3000]
    hard = [
        "",
        "NA",
        "n/a",
        "None",
        "?",
        "NaN",
        "-0",
        "1e5",
        "+1.5",
        ".5",
        "1.",
        "007",
        "1e400",
        "4.9e-324",
        "9007199254740993",
    ]
    numbers[::17] = [hard[i % len(hard)] for i in range(len(numbers[::17]))]
    lines = [",".join(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
    plain, quick = "a,b,c\n" + "\n".join(lines[:400]) + "\n", []
    tables = [
        plain,
        "\ufeff" + plain,
        plain.replace("\n", "\r\n"),
        plain.replace(",", ";"),
        plain[6:],
        plain + "\n\n",
        plain.replace("+", ""),
    ]
    others = [plain + '"1",2,3\n', plain.replace(",", " ,"), plain + plain, "a,b\n" + "1,2\nx,3\n" * 9]
    for text in [*tables, *others]:
        path, found = write(tmp_path, text), []
        for least in (2**20, 0):
            monkeypatch.setattr(csv, "QUICK", least)
            raw = csv.read_csv(path, csv.ColumnRoles())
            found.append((raw.columns, raw.x.shape, raw.x.tobytes(), raw.notes, raw.texts))
        assert found[0] == found[1]
        quick.append(csv._of_numbers(path, csv.ColumnRoles()) is not None)
    assert quick == [True] * len(tables) + [False] * len(others)
    for text in ("a,b\n1,2\n3\n", "a,a\n1,2\n", "a,b\n", "a,b\n1,2\r3,4\n", "a,b\n1_0,2\n"):
        path, said = write(tmp_path, text), []
        for least in (2**20, 0):
            monkeypatch.setattr(csv, "QUICK", least)
            with pytest.raises(DataError) as error:
                csv.read_csv(path, csv.ColumnRoles())
            said.append(str(error.value))
        assert said[0] == said[1]
