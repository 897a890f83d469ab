"""Tables with columns of several kinds that stay on disk: the schema and the rows of the same table in memory."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latens.data import load
from latens.data.columns import recorded_step
from latens.data.streams import tally
from latens.data.streams.dataset import StreamDataset
from latens.errors import DataError

FIELDS = ("x", "row_id", "names", "split", "label", "mask", "outside", "weight")


def gaps(values, rng, share=0.1):
    return [None if gone else value for value, gone in zip(values, rng.random(len(values)) < share)]


def mixed_table(n=900, seed=0):
    """A column of every kind that a Parquet file may hold, some with gaps, some that are left out."""
    rng = np.random.default_rng(seed)
    day = np.datetime64("2020-01-01") + rng.integers(0, 400, n)
    second = np.datetime64("2021-03-01T00:00:00") + rng.integers(0, 10**6, n)
    columns = {
        "id": [f"row-{i}" for i in range(n)],
        "city": gaps(rng.choice(["Oslo", "Rome", " Bonn", "?"], n).tolist(), rng),
        "age": pa.array(gaps(rng.integers(18, 90, n).tolist(), rng), pa.int64()),
        "rooms": rng.integers(1, 6, n),
        "price": np.round(rng.gamma(2.0, 50.0, n), 2),
        "height": rng.standard_normal(n),
        "share": rng.standard_normal(n).astype(np.float32),
        "many": (10 ** rng.uniform(0, 9, n)).astype(np.int64),
        "owner": rng.random(n) < 0.3,
        "married": gaps((rng.random(n) < 0.6).tolist(), rng),
        "day": pa.array(gaps(day.tolist(), rng), pa.date32()),
        "seen": pa.array(second.astype("datetime64[us]"), pa.timestamp("us")),
        "noon": pa.array(day.astype("datetime64[ms]"), pa.timestamp("ms", "Europe/Paris")),
        "midnight": pa.array(day.astype("datetime64[ms]"), pa.timestamp("ms")),
        "grade": pa.DictionaryArray.from_arrays(
            pa.array(rng.integers(0, 3, n), pa.int8()), pa.array(["low", "mid", "high"]), ordered=True
        ),
        "kind": pa.array(rng.choice(["b", "a", "c"], n).tolist()).dictionary_encode(),
        "code": [f"{v:03d}" for v in rng.integers(0, 40, n)],
        "written": [f"{v:.1f}" for v in rng.normal(10, 3, n)],
        "took": gaps([f"{v // 24} days {v % 24:02d}:00:00" for v in np.random.default_rng(1).integers(0, 90, n)], rng),
        "note": [f"text {v}" for v in rng.permutation(n)],
        "empty": pa.array([None] * n, pa.float64()),
        "y": rng.choice(["yes", "no"], n),
        "w": rng.random(n).astype(np.float32),
    }
    return pa.table(columns)


def folder_of(path, table, files=3, group=70):
    """The table as several files, which begin at rows that say nothing of the others."""
    path.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(len(table)), files)):
        pq.write_table(table.slice(rows[0], len(rows)), path / f"rows-{i}.parquet", row_group_size=group)
    return path


def both(tmp_path, table, **options):
    """The rows that stay on disk, and those of the reader of one file."""
    pq.write_table(table, tmp_path / "whole.parquet")
    streamed = load(folder_of(tmp_path / "rows", table), stream=True, **options)
    assert isinstance(streamed, StreamDataset)
    return streamed, load(tmp_path / "whole.parquet", **options)


def same(a, b):
    return (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))


ROLES = {"row_id": "id", "label": "y", "weight": "w"}


@pytest.mark.parametrize("columns", [None, "some"])
def test_the_schema_and_the_rows_are_those_of_the_table_in_memory(tmp_path, columns):
    declared = {
        "rooms": {"kind": "ordinal", "values": ["1", "2", "3", "4", "5"]},
        "price": {"kind": "number", "step": 0.5, "low": 0, "high": 2000},
        "seen": {"kind": "date", "zone": "UTC"},
        "owner": "number",
        "kind": {"kind": "ordinal", "values": ["c", "b", "a"]},
        "grade": "category",
        "code": "number",
        "noon": "leave out",
    }
    alone = {"day": "date", "midnight": "date"}  # rows on disk have no times since another date
    options = ROLES | {"columns": alone if columns is None else declared | alone}
    streamed, memory = both(tmp_path, mixed_table(), **options)
    assert streamed.schema == memory.schema
    kinds = {c.name: t.kind + "/" + t.written for c, t in zip(memory.schema.columns, memory.schema.types)}
    if columns is None:
        assert memory.schema.ignored == ("note", "empty")
        assert kinds == {
            "city": "category/text", "age": "number/int", "rooms": "number/int", "price": "number/float",
            "height": "number/float", "share": "number/float", "many": "number/int", "owner": "category/bool",
            "married": "category/bool", "day": "date/D", "seen": "date/s", "noon": "date/s", "midnight": "date/D",
            "grade": "ordinal/text", "kind": "category/text", "code": "category/text", "written": "number/float",
            "took": "duration/hours",
        }  # fmt: skip
    assert all(same(getattr(streamed, name), getattr(memory, name)) for name in FIELDS)
    # Rows on disk say how many cells lie beyond the training rows, and rows in memory also which ones.
    which = " (share 3.13171)"
    assert streamed.notes == tuple(note.replace(which, "") for note in memory.notes)
    assert sum(which in note for note in memory.notes) == 1
    parts = list(streamed.stream.parts())
    assert all(same(np.concatenate([getattr(p, name) for p in parts]), getattr(memory, name)) for name in FIELDS)


def test_none_is_a_name_or_missing_as_in_memory(tmp_path):
    rng = np.random.default_rng(5)
    insurance = rng.choice(["none", "basic", "full", "NA"], 400)
    paid, age = rng.choice(["none", "10 EUR", "25 EUR"], 400), rng.integers(18, 90, 400)
    table = pa.table({"id": np.arange(400), "insurance": insurance, "paid": paid, "age": age})
    streamed, memory = both(tmp_path, table, row_id="id")
    assert streamed.schema == memory.schema
    assert [set(one.values) for one in memory.schema.types[:2]] == [{"none", "basic", "full"}, set()]
    assert all(same(getattr(streamed, name), getattr(memory, name)) for name in FIELDS)
    assert (~memory.mask).sum(axis=0).tolist() == [(insurance == "NA").sum(), (paid == "none").sum(), 0]


def test_a_table_of_numbers_gets_types_where_it_is_asked_for(tmp_path):
    table = mixed_table().select(["id", "rooms", "price"])
    streamed, memory = both(tmp_path, table, row_id="id", typed=True)
    assert streamed.schema == memory.schema
    assert streamed.schema.kind == "mixed"
    assert same(streamed.x, memory.x)
    assert streamed.mask is None is memory.mask


def test_what_the_pass_found_comes_back_from_its_file(tmp_path):
    streamed, _ = both(tmp_path, mixed_table(), **ROLES)
    streamed.write_index(tmp_path / "blocks.safetensors")
    again = load(tmp_path / "rows", stream=True, index=tmp_path / "blocks.safetensors", **ROLES)
    assert (again.fingerprint, again.schema, again.notes) == (streamed.fingerprint, streamed.schema, streamed.notes)
    assert all(same(getattr(again, name), getattr(streamed, name)) for name in FIELDS)
    moved = folder_of(tmp_path / "other", mixed_table(seed=1))
    new, memory = (load(moved, stream=on_disk, schema=streamed.schema, **ROLES) for on_disk in (True, None))
    assert all(same(getattr(new, name), getattr(memory, name)) for name in FIELDS)
    assert new.schema == streamed.schema
    assert np.any(new.outside != 0)


def test_more_values_than_are_counted_lie_in_bins_of_like_width(monkeypatch):
    """Least, largest and precision stay exact, and so is the mass of every segment to the width of a bin."""
    rng = np.random.default_rng(0)
    values, train = np.round(rng.gamma(2.0, 50.0, 20_000), 3), rng.random(20_000) < 0.8
    values[:4000] = 0.0  # a value that many rows share
    exact = tally.Numbers()
    exact.add(values, train)
    monkeypatch.setattr(tally, "MOST_VALUES", 1000)

    def counted(order):
        made = tally.Numbers()
        for rows in np.array_split(order, 13):
            made.add(values[rows], train[rows])
        return made

    one, other = (counted(order).counted(trains=True) for order in (np.arange(20_000), rng.permutation(20_000)))
    assert all(np.array_equal(a, b) for a, b in zip(one, other))
    numbers, (every, of) = one
    width = counted(np.arange(20_000)).width
    assert 500 < len(numbers) <= 1001
    assert (every.sum(), of.sum()) == (20_000, train.sum())
    kept = numbers[of > 0]
    assert (kept[0], kept[-1]) == (values[train].min(), values[train].max())
    assert counted(np.arange(20_000)).step() == 0.001 == recorded_step(values)
    assert exact.step() is None
    for share in (0.1, 0.5, 0.9):
        found = np.sort(np.repeat(numbers, of))[int(share * train.sum())]
        assert abs(found - np.sort(values[train])[int(share * train.sum())]) <= width


def test_text_that_is_not_counted_to_its_end_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(tally, "MOST_WORDS", 500)
    table = mixed_table().select(["id", "note", "rooms"])
    streamed, memory = both(tmp_path, table, row_id="id")
    assert streamed.schema == memory.schema
    assert streamed.schema.ignored == ("note",)
    many = pa.table({"when": [f"{i / 7:.5f}" for i in range(900)], "kind": ["a", "b"] * 450})
    with pytest.raises(DataError, match=r"column 'when' has more than 500 different numbers or dates, written as text"):
        load(folder_of(tmp_path / "many", many), stream=True)


def test_the_quantiles_of_counted_numbers_are_those_of_the_rows():
    rng = np.random.default_rng(1)
    for n in (1, 2, 5, 40, 1001):
        values, counts = np.unique(rng.choice(rng.standard_normal(30), n), return_counts=True)
        assert recorded_step(values, counts) == recorded_step(np.repeat(values, counts))


def test_cells_that_do_not_fit_name_the_column_and_the_block(tmp_path):
    table = mixed_table(300).select(["city", "price", "seen"])

    def refused(words, **columns):
        changed = table
        for name, values in columns.items():
            changed = changed.set_column(changed.column_names.index(name), name, pa.array(values))
        folder = folder_of(tmp_path / f"case-{len(list(tmp_path.iterdir()))}", changed)
        with pytest.raises(DataError, match=words):
            load(folder, stream=True)

    price = table["price"].to_numpy().copy()
    price[250] = np.inf
    refused(r"rows-2.parquet, rows 0 to 69, row 50, column 'price': holds inf", price=price)
    slip = [f"{v:.2f}" for v in table["price"].to_pylist()]
    refused("column 'price' holds numbers and the text 'cheap'", price=[*slip[:-1], "cheap"])
    refused(r"column 'price' holds 9007199254740993, beyond 2\^53", price=[*range(299), 2**53 + 1])
    streamed = load(folder_of(tmp_path / "good", table), stream=True)
    strange = table.set_column(0, "city", pa.array(["Lima", *["Rome"] * 299]))
    with pytest.raises(DataError, match=r"rows-0.parquet, rows 0 to 69: column 'city' holds 'Lima', which no training"):
        load(folder_of(tmp_path / "strange", strange), stream=True, schema=streamed.schema)
    numbers = load(folder_of(tmp_path / "numbers", table.select(["price"])), stream=True)
    with pytest.raises(DataError, match="has columns of text or dates; the model was trained on numbers"):
        load(tmp_path / "good", stream=True, schema=numbers.schema)
    spans = pa.array(np.arange(100).astype("timedelta64[s]"), pa.duration("s"))
    with pytest.raises(DataError, match="column 'took' has durations, which rows that stay on disk cannot have"):
        load(folder_of(tmp_path / "spans", pa.table({"took": spans, "kind": ["a", "b"] * 50})), stream=True)
    nested = pa.table({"at": [[1, 2], [3]] * 50, "kind": ["a", "b"] * 50})
    with pytest.raises(DataError, match=r"column 'at' holds list<.*a stream takes columns of single cells"):
        load(folder_of(tmp_path / "nested", nested), stream=True)
    with pytest.raises(DataError, match=r"has no column 'town', of which --columns"):
        load(tmp_path / "good", stream=True, columns={"town": "category"})


def test_days_among_blocks_of_times_are_times(tmp_path):
    """A block whose times all are midnights is of seconds where another one is."""
    day = np.datetime64("2020-01-01") + np.arange(300) % 9
    times = day.astype("datetime64[s]")
    times[-1] += np.timedelta64(30, "s")
    for zone in (None, "Europe/Paris"):
        table = pa.table({"at": pa.array(times, pa.timestamp("s", zone)), "id": np.arange(300)})
        folder = tmp_path / str(zone)
        folder.mkdir(parents=True)
        streamed, memory = both(folder, table, row_id="id", typed=True)
        assert streamed.schema == memory.schema
        assert same(streamed.x, memory.x)
        assert memory.schema.types[0].written == "s"
    assert datetime.date(2020, 1, 1) == day[0].tolist()
