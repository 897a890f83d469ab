"""Rows of text: tokenizers, vocabularies as data, buckets of lengths, and what is refused."""

import itertools
import json

import numpy as np
import pytest

from latens.data import Schema, load
from latens.errors import DataError, ModelFileError, UsageError
from latens.kinds.text.vocabulary import PIECES, Tokens, bucket_edges

NAMES = ["emma", "olivia", "ava", "isabella", "zoë", "li", "emma"]
SMILES = ["CCN(Cc1ccc(OC)c1)C(=O)c1ccsc1", "C[C@@H](Br)Cl", "C1CC%12CC1[Si]%12", "[NH3+]CC([O-])=O"]
ROUND_TRIPS = [
    ("characters", NAMES, "e"),
    ("words", ["74 69 65 50 | 74 69", "a b", "a"], "74"),
    ("atoms", SMILES, "[C@@H]"),
]


@pytest.mark.parametrize(("pieces", "texts", "piece"), ROUND_TRIPS, ids=[one[0] for one in ROUND_TRIPS])
def test_decode_gives_the_strings_that_were_encoded(pieces: str, texts: list[str], piece: str) -> None:
    data = load(texts, pieces=pieces)
    schema = Schema.from_json(json.loads(json.dumps(data.schema.to_json())))
    assert schema == data.schema
    assert schema.decode(data.x) == texts
    assert np.array_equal(schema.encode(texts), data.x)
    assert data.x.shape == (len(texts), *schema.shape)
    assert schema.shape[0] % 4 == 0
    assert data.x.dtype == np.int16
    assert piece in schema.tokens.values
    lengths = (data.x > 0).sum(1)
    assert schema.shape[0] - 4 <= lengths.max() < schema.shape[0]
    assert all((row[:n] > 0).all() and (row[n:] == 0).all() for row, n in zip(data.x, lengths))


def test_every_tokenizer_is_tried() -> None:
    assert {one[0] for one in ROUND_TRIPS} == set(PIECES)


def test_codes_are_places_in_the_vocabulary() -> None:
    data = load(["ba", "cab"])
    assert data.schema.tokens.values == ("a", "b", "c")
    assert data.x.tolist() == [[2, 1, 0, 0], [3, 1, 2, 0]]
    assert data.schema.decode(np.array([[2, 1, 3, 1], [1, 0, 2, 2], [0, 1, 1, 1]])) == ["baca", "a", ""]
    assert load(["abc", "abcd"]).schema.shape == (8,)  # four letters and the end


def test_words_lie_between_any_blanks() -> None:
    data = load(["a  b\tc "], pieces="words")
    assert data.schema.decode(data.x) == ["a b c"]


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_the_edges_of_buckets_are_the_best_of_all(most: int) -> None:
    rng = np.random.default_rng(most)
    for length in (4, 12, 20, 24):
        counts = rng.integers(0, 5, length + 1) * (rng.uniform(size=length + 1) < 0.5)
        counts[0] = 0
        ends = range(4, length, 4)

        def steps(edges: tuple[int, ...], counts: np.ndarray = counts) -> int:
            return sum(n * min(e for e in edges if e >= need) for need, n in enumerate(counts))

        choices = [(*c, length) for k in range(most) for c in itertools.combinations(ends, k)]
        found = bucket_edges(counts, most, length)
        assert found in choices
        assert steps(found) == min(map(steps, choices))
        assert len(found) == min(len(c) for c in choices if steps(c) == steps(found))


def test_buckets_are_few_where_more_do_not_pay() -> None:
    lengths = np.repeat([3, 7, 11, 15], 3000)
    assert load(["a" * n for n in lengths[::30]]).schema.tokens.edges == (8, 16)
    assert load(["a" * n for n in np.r_[lengths, lengths]]).schema.tokens.edges == (4, 8, 12, 16)
    near = np.repeat([3, 7, 15], [14_000, 300, 14_000])  # a bucket of 8 saves a hundredth of the steps
    assert load(["a" * n for n in near]).schema.tokens.edges in ((4, 16), (8, 16))


@pytest.mark.parametrize(
    ("texts", "options", "said"),
    [
        (["ab", ""], {}, "row 1: is a sequence of length 0. Leave it out."),
        (["ab"], {"pieces": "letters"}, "--pieces: there are no pieces 'letters'."),
        (["ab"], {"typed": True}, "holds rows of text, which have no columns of numbers. Leave out --typed."),
        (["ab"], {"counts": True}, "holds rows of text, which have no columns of numbers. Leave out --counts."),
        (["ab"], {"columns": {"a": "category"}}, "which have no columns of numbers. Leave out --column."),
        ([[1.0, 2.0]], {"pieces": "words"}, "holds no rows of text to be cut into pieces."),
        (["abd"], {"schema": load(["ab", "bc"]).schema}, "row 0: character 3 is 'd', which the vocabulary of 3 pieces"),
        (["abcab"], {"schema": load(["abc"]).schema}, "row 0: has 5 characters; the model knows sequences of up to 3."),
        (["ab"], {"schema": load([[0.5, 2.5]]).schema}, "holds text; the model was trained on numbers."),
        ([[1, 2, 9, 0]], {"schema": load(["abc"]).schema}, "has cells from 0 to 9; the model was trained on"),
    ],
)
def test_what_does_not_fit_is_refused(texts: list, options: dict, said: str) -> None:
    with pytest.raises((DataError, UsageError)) as refusal:
        load(texts, **options)
    assert said in str(refusal.value)


def test_an_unknown_piece_is_skipped_or_ends_what_is_seen() -> None:
    schema = load(["abc", "cab"]).schema
    made = load(["ab", "axb", "xa"], schema=schema, unknown="missing")
    assert made.x.tolist() == [[1, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert made.mask.tolist() == [[True] * 4, [True, False, False, False], [False] * 4]
    assert made.unseen == ((1, 1, "x"), (2, 0, "x"))
    with pytest.raises(DataError, match=r"row 1: character 2 is 'x'"):
        schema.encode(["ab", "axb"])
    kept = load(["ab", "axb", "xa"], schema=schema, unknown="skip")
    assert (kept.x.tolist(), kept.kept.tolist(), kept.names.tolist()) == ([[1, 2, 0, 0]], [0], [0])
    assert kept.notes == ("2 of 3 rows hold pieces that no training row had, and are left out: 1, 2.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": ["a", "a"]}, "one twice"),
        ({"values": []}, "length >= 1"),
        ({"values": ["a", ""]}, "length >= 1"),
        ({"edges": [4, 4, 8]}, "do not rise to 8"),
        ({"edges": [4]}, "do not rise to 8"),
        ({"pieces": "code"}, "Invalid enum value"),
        ({"run": "me"}, "unknown field"),
    ],
)
def test_a_vocabulary_of_a_stranger_is_checked(change: dict, said: str) -> None:
    given = {"pieces": "characters", "values": ["a", "b"]} | change
    with pytest.raises(ModelFileError, match=said):
        Schema.from_json({"shape": [8], "kind": "tokens", "tokens": given})


def test_rows_of_text_are_never_empty_but_in_older_files() -> None:
    value = load(["ba", "cab"]).schema.to_json()
    assert value["tokens"]["never_empty"] is True
    assert Schema.from_json(value).tokens.never_empty
    del value["tokens"]["never_empty"]
    older = Schema.from_json(value)
    assert not older.tokens.never_empty
    assert "never_empty" not in older.to_json()["tokens"]


def test_smiles_close_what_they_open_where_all_rows_do() -> None:
    rows = ["C1CC1(O)N", "c1ccccc1", "C[C@H](O)%10CC%10", "CC"]
    made = load(rows, pieces="atoms").schema
    values = ("%10", "(", ")", "1", "C", "N", "O", "[C@H]", "c")
    assert (made.tokens.values, made.tokens.closed) == (values, True)
    assert made.tokens.closing == (2, 3, (1, 4))
    assert Schema.from_json(made.to_json()).tokens.closing == (2, 3, (1, 4))
    value = made.to_json()
    del value["tokens"]["closed"]
    assert Schema.from_json(value).tokens.closing is None  # an older file
    assert load(["CO", "C1CC1"], pieces="atoms").schema.tokens.closing == (-1, -1, (1,))
    for open_row in ("CC(", "C)C", "C1CC", "C)C(", "C%10CC1"):
        assert load([*rows, open_row], pieces="atoms").schema.tokens.closing is None
        with pytest.raises(DataError, match=r"row 1: .* a parenthesis or a ring number that does not close; no train"):
            load(["CC", open_row], schema=made)
    assert made.encode(["CC("], where="here")[0].tolist()[:4] == [5, 5, 2, 0]  # a beginning may be open
    assert load(rows).schema.tokens.closing is None


def test_tokens_stand_in_schemas_of_their_kind_alone() -> None:
    tokens = Tokens("characters", ("a",))
    assert "tokens" not in load(np.eye(3)).schema.to_json()
    for schema in ({"shape": [4], "kind": "binary", "tokens": {"pieces": "words", "values": ["a"]}},
                   {"shape": [4], "kind": "tokens"}):  # fmt: skip
        with pytest.raises(ModelFileError, match="only kind 'tokens' has tokens"):
            Schema.from_json(schema)
    assert (tokens.size, Tokens("words", tuple(map(str, range(2**15)))).dtype) == (2, np.int32)


def test_codes_may_be_masked_from_a_place_on() -> None:
    schema = load(["abc", "cab"]).schema
    codes, gone = np.array([[1, 2, 3, 0], [3, 1, 2, 0]]), np.array([[0, 0, 1, 1], [0, 0, 0, 0]], bool)
    made = load(np.ma.array(codes, mask=gone), schema=schema)
    assert made.x.tolist() == [[1, 2, 0, 0], [3, 1, 2, 0]]
    assert np.array_equal(made.mask, ~gone)
    gone[0] = [0, 1, 0, 1]
    with pytest.raises(DataError, match="row 0 has a hole: of text only a beginning can be all that is seen"):
        load(np.ma.array(codes, mask=gone), schema=schema)


def test_copies_of_training_rows_are_counted() -> None:
    data = load(["emma", "ava"] * 50)
    held_out = int((data.split != 0).sum())
    assert f"{held_out} of the {held_out} rows that do not train are copies of training rows." in data.notes
