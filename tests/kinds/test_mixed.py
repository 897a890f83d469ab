"""Tables with columns of several kinds: what is read, how it is stored, and that it comes back as it was."""

import numpy as np
import pandas as pd
import pytest

from latens.data import Schema, load
from latens.errors import DataError, ModelFileError
from latens.kinds.tables.columns import ColumnType, FrameColumn, decimals_of, number_type, recorded_step, segments

N = 400


def table(seed: int = 0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    return pd.DataFrame(
        {
            "city": np.array(["Paris", "Rome", "Köln"])[kind],
            "income": np.round(np.exp(rng.normal(8 + kind, 0.3)), 2),
            "children": rng.poisson(1 + kind),
            "code": np.array(["007", "010", "99"])[rng.integers(0, 3, n)],
            "joined": (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")).astype(str),
            "seen": np.where(rng.random(n) < 0.1, "", np.round(rng.normal(kind, 1), 1).astype(str)),
        }
    )


def read(tmp_path, frame, **options):
    frame.to_csv(tmp_path / "t.csv", index=False)
    return load(tmp_path / "t.csv", **options)


def test_a_frame_and_a_file_are_the_same_table(tmp_path):
    frame = table()
    frame["seen"], frame["joined"] = pd.to_numeric(frame["seen"]), pd.to_datetime(frame["joined"]).dt.date
    from_file, from_memory = read(tmp_path, frame), load(frame)
    assert from_file.schema == from_memory.schema
    np.testing.assert_array_equal(from_file.x, from_memory.x)
    frame.to_parquet(tmp_path / "t.parquet")
    parquet = load(tmp_path / "t.parquet")
    assert parquet.schema == from_file.schema
    np.testing.assert_array_equal(parquet.x, from_file.x)


@pytest.mark.parametrize("factor", [1000, 10, 100_000])
def test_the_unit_of_a_column_changes_no_probability(tmp_path, factor):
    frame = table()
    scaled = frame.assign(income=(frame["income"] * 100).round().astype(int) * factor)
    plain, other = read(tmp_path, frame), read(tmp_path, scaled)
    one, two = plain.schema.types[1], other.schema.types[1]
    # The same cells in the same segments, once for each unit of the finer grid.
    assert one.shares == two.shares
    place = np.searchsorted(one.starts, plain.x[:, 1], side="right")
    np.testing.assert_array_equal(place, np.searchsorted(two.starts, other.x[:, 1], side="right"))


def test_names_of_categories_change_no_probability(tmp_path):
    frame = table()
    renamed = frame.assign(city=frame["city"].map({"Paris": "z", "Rome": "y", "Köln": "x"}))
    plain, other = read(tmp_path, frame), read(tmp_path, renamed)
    one = plain.schema.types[0].log_shares(plain.x[:, 0])
    np.testing.assert_allclose(one, other.schema.types[0].log_shares(other.x[:, 0]), atol=1e-12)
    counts = frame["city"][plain.split == 0].value_counts()
    expected = np.log((counts + 0.5) / (counts.sum() + 1.5))
    np.testing.assert_allclose(one, expected[frame["city"]].to_numpy(), atol=1e-12)


@pytest.mark.parametrize("values", ["whole", "decimals", "few", "heavy", "continuous"])
def test_the_cells_of_a_number_have_probabilities_that_sum_to_one(values):
    rng = np.random.default_rng(3)
    made = {
        "whole": rng.integers(-50, 900, 500),
        "decimals": np.round(rng.normal(size=300), 2),
        "few": rng.integers(0, 4, 200),
        "heavy": np.where(rng.random(2000) < 0.9, 0, rng.integers(1, 5000, 2000)),
        "continuous": rng.normal(size=100),
    }[values].astype(float)
    one = number_type(made, made, FrameColumn())
    if one.size < 20_000:
        assert np.exp(one.log_shares(np.arange(one.size))).sum() == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(one.series(np.round(one.place(made))).to_numpy(), made, atol=one.step / 2)
    assert sum(one.widths) == one.size
    if values == "heavy":  # the value that most rows have stands alone
        assert one.widths[0] == 1
        assert one.shares[0] == pytest.approx(np.mean(made == 0), abs=0.001)


def test_what_no_row_has_is_as_probable_as_what_one_row_has():
    values = np.repeat([0, 1, 2, 10], [100, 60, 39, 1]).astype(float)
    one = number_type(values, values, FrameColumn())
    assert one.starts == (0, 1, 2, 3, 10)
    np.testing.assert_allclose(one.shares, np.array([100, 60, 39, 1.5, 1]) / 201.5)


def test_segments_of_numbers_that_hardly_repeat_have_like_mass():
    places = np.unique(np.random.default_rng(0).integers(0, 10**6, 5000))
    starts, masses = segments(places, np.ones(len(places), int), 10**6)
    assert 60 <= len(starts) <= 66
    assert masses[:-1].max() <= 1.05 * masses[:-1].min()


@pytest.mark.parametrize(
    ("values", "step"), [([1.0, 2, 5], 1.0), ([0.1, 0.25], 0.01), ([1e-3, 0.5], 1e-3), ([np.pi, np.e, 1.0, 2.5], 1e-6)]
)
def test_the_precision_that_was_recorded(values, step):
    assert recorded_step(np.array(values)) == pytest.approx(step)


def test_decimals():
    assert [decimals_of(step) for step in (1.0, 10.0, 0.1, 0.001, 1e-9)] == [0, 0, 1, 3, 9]


def refusal(tmp_path, frame, **options) -> str:
    with pytest.raises(DataError) as caught:
        read(tmp_path, frame, **options)
    return str(caught.value)


def test_tables_that_do_not_fit_are_refused_by_column(tmp_path):
    frame = table()
    known = read(tmp_path, frame).schema
    assert "column 'city' holds 'Oslo', which no training row had" in refusal(
        tmp_path, frame.assign(city="Oslo"), schema=known
    )
    assert "lacks the column 'income'" in refusal(tmp_path, frame.drop(columns="income"), schema=known)
    assert "columns the model does not know: 'more'" in refusal(tmp_path, frame.assign(more=1), schema=known)
    assert "column 'joined' holds '3' (Int64); the model knows it as dates" in refusal(
        tmp_path, frame.assign(joined=3), schema=known
    )
    assert "column 'income' holds 'much' (String); the model knows it as numbers" in refusal(
        tmp_path, frame.assign(income="much"), schema=known
    )
    numbers = load(np.random.default_rng(0).normal(size=(50, 1))).schema
    assert "the model was trained on numbers" in refusal(tmp_path, frame[["city"]], schema=numbers)
    pairs = load(np.random.default_rng(0).normal(size=(50, 2))).schema
    empty = pd.DataFrame({"x0": [0.5] * 50, "x1": None})  # without a cell a column is of no kind
    assert read(tmp_path, empty, schema=pairs, missing="nan").mask[:, 1].sum() == 0


def test_what_is_not_modelled_is_said(tmp_path):
    frame = table().assign(who=[f"c{i}" for i in range(N)], empty="", price=[f"{i},50" for i in range(N)])
    data = read(tmp_path, frame)
    assert data.schema.ignored == ("who", "empty", "price")
    note = "Column 'price' is not modelled: its cells have a decimal comma, with which --decimal-comma reads numbers."
    assert note in data.notes
    assert len(data.schema.columns) == 6
    assert any(
        note.startswith("Column 'who' is not modelled: every row has another text, like an id") for note in data.notes
    )
    assert "Column 'empty' is not modelled: no training row has a value." in data.notes
    # They may be there again, or not.
    read(tmp_path, table(), schema=data.schema)
    read(tmp_path, frame, schema=data.schema)
    many = table(n=3000).assign(word=[f"w{i // 2}" for i in range(3000)])
    assert read(tmp_path, many).schema.ignored == ("word",)
    assert "no column that can be modelled" in refusal(tmp_path, frame[["who", "empty"]])


@pytest.mark.parametrize(("again", "kept"), [(0, False), (2, False), (9, True), (60, True)])
def test_numbers_of_members_are_ids_also_where_few_have_two_rows(tmp_path, again, kept):
    """Of 100 with a card in 300 rows; the others have none."""
    cards = [f"M{1000 + 7 * max(i, again)}" for i in range(100)]
    frame = table(n=300).assign(card=[*cards, *[""] * 200])
    data = read(tmp_path, frame.sample(frac=1.0, random_state=0))
    assert ("card" in (data.schema.ignored or ())) != kept
    what = "nearly every" if again else "every"
    assert (
        any(note.startswith(f"Column 'card' is not modelled: {what} row has another text") for note in data.notes)
        != kept
    )


def test_columns_of_numbers_have_types_where_that_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(500, 3)), 1)
    data = load(x, typed=True)
    assert (data.schema.kind, [one.kind for one in data.schema.types]) == ("mixed", ["number"] * 3)
    x[0, 1] = np.nan
    holes = load(x, schema=data.schema)  # what it has learned is enough to read alike
    assert not holes.mask[0, 1]
    assert holes.mask.sum() == 1499
    frame = pd.DataFrame(x, columns=list("abc"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert load(tmp_path / "t.csv", typed=True).schema.types == load(frame, typed=True).schema.types
    assert load(x, missing="nan").schema.kind == "real"
    with pytest.raises(DataError, match="--typed"):
        load(np.zeros((4, 8, 8)), typed=True)


def test_text_that_comes_often_among_numbers_is_a_category(tmp_path):
    kids = np.array(["0", "1", "2", "3+"])[np.random.default_rng(0).integers(0, 4, N)]
    assert read(tmp_path, table().assign(kids=kids)).schema.types[-1].values == ("0", "1", "2", "3+")


def test_numbers_beyond_the_training_rows_count_as_the_outermost(tmp_path):
    known = read(tmp_path, table()).schema
    data = read(tmp_path, table().assign(children=10**6), schema=known)
    assert set(data.x[:, 2].tolist()) == {known.types[2].size - 1}
    (note,) = [note for note in data.notes if "lie beyond" in note]
    assert 400 <= int(note.split()[0]) < 420


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"types": None}, "only kind 'mixed' has types"),
        ({"kind": "real"}, "only kind 'mixed' has types"),
        ({"types": [{"kind": "category", "values": ["a", "a"], "shares": [0.5, 0.5]}]}, "no categories, or one twice"),
        ({"types": [{"kind": "category", "values": ["a", "b"], "shares": [1.0]}]}, "other shares"),
        ({"types": [{"kind": "number", "starts": [0, 5, 3], "size": 9, "shares": [0.2, 0.3, 0.5]}]}, "segments"),
        ({"types": [{"kind": "number", "starts": [1], "size": 9, "shares": [1.0]}]}, "segments"),
        ({"types": [{"kind": "number", "starts": [0], "size": 9, "shares": [1.0], "step": 0}]}, "step"),
        ({"types": [{"kind": "number", "starts": [0], "size": 2**40, "shares": [1.0]}]}, "size"),
    ],
)
def test_damaged_types_are_refused(change, words):
    good = {"shape": [1], "kind": "mixed", "columns": [{"name": "a", "shift": 0.0, "scale": 1.0}]}
    types = {"types": [{"kind": "category", "values": ["a", "b"], "shares": [0.5, 0.5]}]}
    assert Schema.from_json(good | types).types[0] == ColumnType("category", ("a", "b"), shares=(0.5, 0.5))
    with pytest.raises(ModelFileError, match=words):
        Schema.from_json(good | types | change)


def test_a_number_of_1e300_in_new_rows_is_far_outside(tmp_path) -> None:
    """How far it lies beyond the training rows is a finite number, and no warning is let through."""
    rows = "".join(f"{i / 2},{'xy'[i % 2]}\n" for i in range(60))
    (tmp_path / "d.csv").write_text("a,b\n" + rows)
    (tmp_path / "far.csv").write_text("a,b\n1e300,x\n-1e300,y\n1,x\n")
    found = load(tmp_path / "far.csv", schema=load(tmp_path / "d.csv").schema)
    assert found.outside[:, 0].tolist() == [np.finfo(np.float32).max, -np.finfo(np.float32).max, 0.0]


def test_what_impute_writes_beside_a_column_is_left_out():
    """A filled table with its intervals can be read again; another column cannot."""
    frame = pd.DataFrame({"age": np.arange(200) % 60, "kind": ["a", "b"] * 100})
    schema = load(frame).schema
    again = frame.assign(**{"age.low": 1.0, "age.high": 2.0, "kind.p": 0.5})
    np.testing.assert_array_equal(load(again, schema=schema).x, load(frame, schema=schema).x)
    for name in ("age.p.low", "ages.low", "low"):
        with pytest.raises(DataError, match="has columns the model does not know"):
            load(frame.assign(**{name: 1.0}), schema=schema)
