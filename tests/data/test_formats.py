"""Formats as one class each: JSON lines, CSV by blocks and a user's own, in memory and on disk, and what is refused."""

import inspect
import json
import struct

import numpy as np
import pytest

import latens
from latens.cli.main import main
from latens.data import load
from latens.data.formats import csv, jsonl, registry
from latens.data.formats.format import Format
from latens.data.streams.dataset import StreamDataset
from latens.errors import ConfigError, DataError

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "outside", "weight")


def same_rows(streamed, memory):
    """The rows of all blocks are those in memory, and so are their labels, names and schema, up to last bits."""
    assert isinstance(streamed, StreamDataset)
    assert not isinstance(memory, StreamDataset)
    parts = list(streamed.stream.parts())
    for name in FIELDS:
        expected, together = getattr(memory, name), [getattr(part, name) for part in parts]
        for found in (getattr(streamed, name), None if together[0] is None else np.concatenate(together)):
            assert (found is None) == (expected is None), name
            np.testing.assert_array_equal(found, expected, name)
    one, other = streamed.schema, memory.schema
    assert (one.kind, one.classes, one.types) == (other.kind, other.classes, other.types)
    assert [column.name for column in one.columns or ()] == [column.name for column in other.columns or ()]


# --- JSON lines ---


@pytest.fixture
def lines(tmp_path):
    """Rows with every kind of cell, keys that come late, and blank lines."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(200):
        row = {"id": f"r{i}", "x": float(rng.normal()), "n": int(rng.integers(0, 9)), "who": "ab c"[rng.integers(4)]}
        row |= {"mix": i % 4 if i < 120 else "k"}
        row |= {"yes": bool(rng.random() < 0.5)} | ({"late": [None, 0.5, 2][i % 3]} if i > 60 else {})
        rows.append(row)
    (tmp_path / "rows.jsonl").write_text("\n" + "".join(f"{json.dumps(row)}\n\n" for row in rows))
    return tmp_path / "rows.jsonl", rows


@pytest.mark.parametrize("options", [{}, {"label": "who"}, {"row_id": "id"}, {"row_id": "id", "weight": "n"}])
def test_json_lines_are_the_frame_of_their_rows(lines, options, monkeypatch):
    pandas = pytest.importorskip("pandas")
    path, rows = lines
    memory, frame = load(path, **options), load(pandas.DataFrame(rows), **options)
    assert memory.fingerprint == frame.fingerprint
    assert memory.schema == frame.schema
    monkeypatch.setattr(jsonl, "BLOCK_ROWS", 30)
    assert load(path, **options).fingerprint == memory.fingerprint
    streamed = load(path, stream=True, **options)
    assert streamed.stream.source.table.rows.tolist() == [30] * 6 + [20]
    same_rows(streamed, memory)


def test_json_lines_of_numbers_are_an_array(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "BLOCK_ROWS", 7)
    x = np.random.default_rng(0).normal(size=(50, 2))
    (tmp_path / "n.ndjson").write_text("".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in x.tolist()))
    memory = load(tmp_path / "n.ndjson")
    np.testing.assert_array_equal(memory.x, x.astype(np.float32))
    same_rows(load(tmp_path / "n.ndjson", stream=True), memory)
    same_rows(load(f"file://{tmp_path}/n.ndjson", stream=True), memory)


def test_true_and_false_with_gaps_are_numbers_beside_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "BLOCK_ROWS", 6)
    rows = [{"a": i / 7, "b": [True, False, None][i % 3 if i > 5 else 0], "c": [True, False][i % 2]} for i in range(40)]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    memory = load(tmp_path / "n.jsonl", missing="nan", label="c")
    assert (memory.schema.kind, memory.schema.classes) == ("real", ("False", "True"))
    assert memory.mask[:, 1].tolist() == [row["b"] is not None for row in rows]
    same_rows(load(tmp_path / "n.jsonl", missing="nan", label="c", stream=True), memory)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1}\n{"a": 1, "a": 2}\n', r"d.jsonl, line 2: .*twice"),
        ('{"a": 1}\n\n[1]\n', "line 3: is not an object of single cells"),
        ('{"a": [1]}\n', "line 1: is not an object of single cells"),
        ('{"a": 1}\nno\n', "line 2: not valid JSON"),
        ('{"a": NaN}\n', "line 1: .*NaN"),
        ("\n\n", "has no rows"),
    ],
)
@pytest.mark.parametrize("stream", [None, True])
def test_json_that_is_not_rows_is_refused_by_line(tmp_path, text, words, stream):
    (tmp_path / "d.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "d.jsonl", stream=stream)


def test_a_new_format_is_one_file_of_forty_lines():
    assert len(inspect.getsource(jsonl).splitlines()) <= 40


# --- CSV ---

RNG = np.random.default_rng(1)
CELLS = RNG.normal(size=(90, 3))
TABLES = {
    "numbers": ("a,b,c\n", [f"{a!r},{b!r},{c!r}" for a, b, c in CELLS.tolist()], {}),
    "no header": ("", [f"{a};{b};{i % 7}" for i, (a, b, _) in enumerate(CELLS.tolist())], {"label": "2"}),
    "blanks": ("", [f"{a}  {b} {c}" for a, b, c in CELLS.tolist()], {}),
    "index": (",b,c\n", [f"r{i},{b},{c}" for i, (_, b, c) in enumerate(CELLS.tolist())], {}),
    "text": ("a,who,n\n", [f'{a},"x, {"yz"[i % 2]}\n",{i}' for i, (a, _, _) in enumerate(CELLS.tolist())], {}),
    "zeros": ("a,zip,k\n", [f"{a},{i % 5:03d},{'uv'[i % 2]}" for i, (a, _, _) in enumerate(CELLS.tolist())], {}),
    "plain zeros": ("a,zip\n", [f"{a},{i % 5:03d}" for i, (a, _, _) in enumerate(CELLS.tolist())], {}),
    "gaps": ("a,b\n", [f"{a},{'NA' if i % 9 == 0 else b}" for i, (a, b, _) in enumerate(CELLS.tolist())],
             {"missing": "nan"}),
    "late text": ("a,b,w\n", [f"{a},{i if i < 70 else 'k'},{i % 3}" for i, (a, _, _) in enumerate(CELLS.tolist())],
                  {"label": "b", "weight": "w"}),
    "ids": ("id,b,c\n", [f"{i:04d},{b},{c}" for i, (_, b, c) in enumerate(CELLS.tolist())], {"row_id": "id"}),
    "declared": ("a,n\n", [f"{a},{i % 4}" for i, (a, _, _) in enumerate(CELLS.tolist())],
                 {"columns": {"n": "category"}}),
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_a_table_on_disk_is_the_table_in_memory(tmp_path, monkeypatch, table):
    head, rows, options = TABLES[table]
    monkeypatch.setattr(csv, "BLOCK_ROWS", 13)
    (tmp_path / "d.csv").write_text(head + "\n\n".join(rows))
    streamed = load(tmp_path / "d.csv", stream=True, **options)
    assert streamed.stream.source.table.rows.tolist() == [13] * 6 + [12]
    same_rows(streamed, load(tmp_path / "d.csv", **options))


def test_tables_of_a_folder_are_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_ROWS", 20)
    head, rows, _ = TABLES["zeros"]
    folder = tmp_path / "rows"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.csv").write_text(head + "\n".join(rows[30 * i : 30 * i + 30]))
    (tmp_path / "d.csv").write_text(head + "\n".join(rows))
    streamed, memory = load(folder, stream=True), load(tmp_path / "d.csv")
    assert streamed.names[:2].tolist() == ["0.csv:0", "0.csv:1"]
    assert streamed.schema.columns == memory.schema.columns
    np.testing.assert_array_equal(np.concatenate([p.x for p in streamed.stream.parts()])[:, 0] >= 0, True)
    for path in (folder, f"{folder}/*.csv"):
        np.testing.assert_array_equal(load(path).x, streamed.x)
    np.save(folder / "part.npy", CELLS)
    assert load(folder).x.shape == CELLS.shape  # the tables lie beside the rows
    (folder / "2.csv").write_text("a,zip,other\n1,2,3\n")
    (folder / "part.npy").unlink()
    with pytest.raises(DataError, match=r"2\.csv: has other columns than .*0.csv"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n" + "1,2\n" * 30 + "3,4,5\n", "line 32: has 3 values, the first line has 2"),
        ("a,b\n" + "1,2\n" * 30 + '3,"4\n', "line 32: a quotation mark has no end"),
        ("a,b\n", "has a header but no rows"),
        ('""\n""\n', "has no rows"),
        (",b\n", "has a header but no rows"),
        ("a,,b\n1,2,3\n", "line 1: a column has no name"),
    ],
)
@pytest.mark.parametrize("stream", [None, True])
def test_tables_on_disk_are_refused_as_in_memory(tmp_path, monkeypatch, text, words, stream):
    monkeypatch.setattr(csv, "BLOCK_ROWS", 7)
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "d.csv", stream=stream)


# --- a user's own ---

OWN = '''
import struct
import latens

class Wells(latens.Format):
    """A line of names, then records of a letter and two doubles."""

    endings, starts = (".wells",), (b"WELLS ",)

    def open(self, file):
        self.names = file.readline().decode().split()[1:]
        self.start = file.tell()
        self.rows = (file.seek(0, 2) - self.start) // 17

    def table(self):
        return [min(16, self.rows - at) for at in range(0, self.rows, 16)]

    def read(self, file, block):
        file.seek(self.start + block * 16 * 17)
        rows = list(struct.iter_unpack("<cdd", file.read(self.table()[block] * 17)))
        columns = zip(*((kind.decode(), *numbers) for kind, *numbers in rows))
        return dict(zip(self.names, map(list, columns)))

latens.register_format(Wells)
'''


@pytest.fixture
def own(monkeypatch):
    """What is registered here is unknown afterwards."""
    monkeypatch.setattr(registry, "FORMATS", dict(registry.FORMATS))


@pytest.fixture
def wells(tmp_path, own):
    exec(OWN, {})
    rows = [("rg"[i % 2], *pair) for i, pair in enumerate(np.random.default_rng(0).normal(size=(50, 2)).tolist())]
    body = b"".join(struct.pack("<cdd", kind.encode(), *pair) for kind, *pair in rows)
    (tmp_path / "x.wells").write_bytes(b"WELLS kind x y\n" + body)
    return tmp_path / "x.wells", rows


def test_a_format_of_ones_own_is_one_class(wells, tmp_path):
    path, rows = wells
    assert OWN.count("\n") <= 40
    memory = latens.load_data(path, label="kind")
    np.testing.assert_array_equal(memory.x, np.array([pair for _, *pair in rows], np.float32))
    assert memory.schema.classes == ("g", "r")
    same_rows(load(path, label="kind", stream=True), memory)
    typed = load(path)
    assert [one.kind for one in typed.schema.types or ()] == ["category", "number", "number"]
    same_rows(load(path, stream=True), typed)
    path.rename(tmp_path / "renamed.bin")
    assert load(tmp_path / "renamed.bin", label="kind").fingerprint == memory.fingerprint  # by its first bytes
    (tmp_path / "cut.wells").write_bytes(b"kind x y\n")
    with pytest.raises(DataError, match=r"does not begin like a \.wells file"):
        load(tmp_path / "cut.wells")


def test_a_format_may_name_its_ids(wells, own):
    path, rows = wells
    made: dict = {}
    exec(OWN, made)
    latens.register_format(type("Wells", (made["Wells"],), {"ids": "x"}))
    memory = load(path, label="kind")
    assert memory.names[:2].tolist() == [str(number) for _, number, _ in rows[:2]]
    same_rows(load(path, label="kind", stream=True), memory)


@pytest.fixture
def command(wells, tmp_path, monkeypatch):
    """The file of the class, and a process that does not know the format."""
    (tmp_path / "parts.py").write_text(OWN)
    monkeypatch.setattr(registry, "FORMATS", {k: v for k, v in registry.FORMATS.items() if k != "own Wells"})
    return str(wells[0]), ["--import", str(tmp_path / "parts.py")]


@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_the_command_reads_it(command, stream, capfd):
    path, own = command
    assert main(["check", path, *stream]) == 3
    alone = "latens.register_format; the command takes --import FILE.py"
    said = "is of a format that is read into memory as a whole" if stream else alone
    assert said in capfd.readouterr().err
    assert main(["check", path, "--label", "kind", *stream, *own]) == 0
    assert "50 of shape 2" in capfd.readouterr().out


@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_the_command_trains_on_it(command, stream, tmp_path):
    path, own = command
    words = ["fit", path, "--label", "kind", *stream, "--steps", "1", "--num-samples", "2", "--quiet", *own]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--num-samples", "2", *own]) == 0


def test_what_is_no_format_is_refused(own):
    class Half(Format):
        endings = (".half",)

        def open(self, file): ...

    class Whole(Half):
        def table(self):
            return [1]

        def read(self, file, block):
            return np.zeros((1, 2))

    for what in (Half, dict):
        with pytest.raises(ConfigError, match="is not a class of a format"):
            latens.register_format(what)
    refused = {".half": "are not endings", (): "are not endings", (".CSV",): "already", (".pt",): "already"}
    for endings, words in refused.items():
        with pytest.raises(ConfigError, match=words):
            latens.register_format(type("Other", (Whole,), {"endings": endings}))
    for starts in (b"AB", ("AB",), (b"",), (b"x" * 65,)):
        with pytest.raises(ConfigError, match="are not first bytes"):
            latens.register_format(type("Other", (Whole,), {"starts": starts, "endings": (".other",)}))
    latens.register_format(type("csv", (Whole,), {"endings": (".mine",)}))  # a name of its own
    assert registry.FORMATS["csv"].endings[0] == ".csv"
    latens.register_format(Whole)
    latens.register_format(Whole)  # a cell of a notebook that is run again
    with pytest.raises(ConfigError, match=r"there is a format '\.half' already"):
        latens.register_format(type("Other", (Whole,), {}))


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda self, file, block: np.zeros((3, 2)), "holds 3 rows, and its table says 2"),
        (lambda self, file, block: {"a": [1, 2], "b": [1]}, "holds 2 rows, and its table says 2|holds"),
        (lambda self, file, block: 1 / 0, r"cannot be read \(ZeroDivisionError: division by zero\)"),
        (lambda self, file, block: np.array(["a", "b"]), "holds text, not numbers"),
        (lambda self, file, block: {"a": np.array([2**60, 1])}, "beyond 2.53, where not every whole number"),
        (lambda self, file, block: np.zeros((2, 2 + block)), "cannot be read|has blocks of different columns, shapes"),
    ],
)
@pytest.mark.parametrize("stream", [None, True])
def test_what_a_format_gives_is_checked(tmp_path, own, read, words, stream):
    methods = {"open": lambda self, file: None, "table": lambda self: [2, 2], "read": read, "endings": (".own",)}
    latens.register_format(type("Own", (Format,), methods))
    (tmp_path / "d.own").write_bytes(b"x")
    with pytest.raises(DataError, match=words):
        load(tmp_path / "d.own", stream=stream)
