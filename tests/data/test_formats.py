"""A file format of one's own is one function: read into memory and from the disk, and what is refused."""

import struct

import numpy as np
import pytest

import latens
from latens.cli.main import main
from latens.data import files, load
from latens.errors import ConfigError, DataError

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "outside", "weight")


def same_rows(streamed, memory):
    """Rows on disk are those in memory, and so are their labels, names and schema."""
    assert isinstance(streamed.x, np.memmap)
    assert not isinstance(memory.x, np.memmap)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(streamed, name), getattr(memory, name), name)
    assert streamed.schema == memory.schema


OWN = """
import itertools, struct
import latens

@latens.data.register_format(".wells")
def wells(path):
    with path.open("rb") as file:
        names = file.readline().decode().split()[1:]
        rows = struct.iter_unpack("<cdd", file.read())
        for part in iter(lambda: list(itertools.islice(rows, 16)), []):
            columns = zip(*((kind.decode(), *numbers) for kind, *numbers in part))
            yield dict(zip(names, map(list, columns)))
"""


@pytest.fixture
def own(monkeypatch):
    """What is registered here is unknown afterwards."""
    monkeypatch.setattr(files, "FORMATS", dict(files.FORMATS))


@pytest.fixture
def wells(tmp_path, own):
    exec(OWN, {})
    rows = [("rg"[i % 2], *pair) for i, pair in enumerate(np.random.default_rng(0).normal(size=(50, 2)).tolist())]
    body = b"".join(struct.pack("<cdd", kind.encode(), *pair) for kind, *pair in rows)
    (tmp_path / "x.wells").write_bytes(b"WELLS kind x y\n" + body)
    return tmp_path / "x.wells", rows


def test_a_format_of_ones_own_is_one_function(wells, tmp_path):
    path, rows = wells
    assert OWN.count("\n") <= 20
    memory = latens.read(path, label="kind")
    np.testing.assert_array_equal(memory.x, np.array([pair for _, *pair in rows], np.float32))
    assert memory.schema.classes == ("g", "r")
    same_rows(load(path, label="kind", stream=True), memory)
    typed = load(path)
    assert [one.kind for one in typed.schema.types or ()] == ["category", "number", "number"]
    with pytest.raises(DataError, match="rows that stay on disk are numbers"):
        load(path, stream=True)


@pytest.fixture
def command(wells, tmp_path, monkeypatch):
    """The file of the function, and a process that does not know the format."""
    (tmp_path / "parts.py").write_text(OWN)
    monkeypatch.setattr(files, "FORMATS", {k: v for k, v in files.FORMATS.items() if k != "own wells"})
    return str(wells[0]), ["--import", str(tmp_path / "parts.py")]


@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_the_command_reads_it(command, stream, capfd):
    path, own = command
    assert main(["check", path, *stream]) == 3
    alone = "latens.data.register_format, --import FILE.py"
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
    whole = lambda path: np.zeros((1, 2))  # noqa: E731
    refused = {("half",): "are not endings", (): "are not endings", (".CSV",): "already", (".pt",): "already"}
    for endings, words in refused.items():
        with pytest.raises(ConfigError, match=words):
            latens.data.register_format(*endings)(whole)

    def csv(path):
        return np.zeros((1, 2))

    latens.data.register_format(".mine")(csv)  # a name of its own
    assert files.FORMATS["csv"].endings[0] == ".csv"
    latens.data.register_format(".half")(whole)
    latens.data.register_format(".half")(whole)  # a cell of a notebook that is run again
    with pytest.raises(ConfigError, match=r"there is a format '\.half' already"):
        latens.data.register_format(".half")(csv)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda path: np.zeros((0, 2)), "has no rows|there is nothing in it"),
        (lambda path: {"a": [1, 2], "b": [1]}, "height of column 'b'"),
        (lambda path: 1 / 0, r"cannot be read \(ZeroDivisionError: division by zero\)"),
        (lambda path: np.array(["a", "b"]), "holds text, not numbers"),
        (lambda path: (np.zeros((2, 2 + part)) for part in range(2)), "cannot be read|has rows of shape"),
    ],
)
@pytest.mark.parametrize("stream", [None, True])
def test_what_a_format_gives_is_checked(tmp_path, own, read, words, stream):
    latens.data.register_format(".own")(read)
    (tmp_path / "d.own").write_bytes(b"x")
    with pytest.raises(DataError, match=words):
        load(tmp_path / "d.own", stream=stream)
