"""A file format of one's own is one class: read into memory and from the disk, and what is refused."""

import struct

import numpy as np
import pytest

import latens
from latens.cli.main import main
from latens.data import load
from latens.data.formats import registry
from latens.data.formats.format import Format
from latens.errors import ConfigError, DataError

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "outside", "weight")


def same_rows(streamed, memory):
    """Rows on disk are those in memory, and so are their labels, names and schema."""
    assert isinstance(streamed.x, np.memmap)
    assert not isinstance(memory.x, np.memmap)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(streamed, name), getattr(memory, name), name)
    assert streamed.schema == memory.schema


OWN = '''
import struct
import latens

class Wells(latens.Format):
    """A line of names, then records of a letter and two doubles."""

    endings = (".wells",)

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
    with pytest.raises(DataError, match="rows that stay on disk are numbers"):
        load(path, stream=True)


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
        (lambda self, file, block: {"a": [1, 2], "b": [1]}, "height of column 'b'"),
        (lambda self, file, block: 1 / 0, r"cannot be read \(ZeroDivisionError: division by zero\)"),
        (lambda self, file, block: np.array(["a", "b"]), "holds text, not numbers"),
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
