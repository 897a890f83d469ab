"""Rows coded without loss: the same rows again, at the cost that the ELBO names; and what is refused."""

import jax
import numpy as np
import pytest

import latens
from latens.data import load
from latens.errors import DataError, ModelFileError, UsageError

constriction = pytest.importorskip("constriction")

from latens.evaluation import elbo_parts  # noqa: E402
from latens.evaluation.bits_back import Stack  # noqa: E402
from latens.io.safetensors import pack, read  # noqa: E402
from latens.workflow.compress import compress, decompress  # noqa: E402


@pytest.fixture(scope="module")
def digits() -> latens.TrainedModel:
    return latens.load("pretrained:digits-16d")


def coded(trained, data, path):
    raw, told = compress(trained, data)
    path.write_bytes(raw)
    return told


def check_cost(trained, data, told):
    """The bits are those of the ELBO, as far as one draw of z for each row can say; words are whole."""
    batch, one = trained.batch(data), []
    for seed in range(8):
        key = jax.random.key(seed)
        parts = elbo_parts(trained.model, batch, num_samples=1, key=key, preparation=trained.preparation)
        one.append(np.float64(parts["elbo"]) / -np.log(2))
    spread = np.sqrt(np.var(one, axis=0, ddof=1).sum())
    assert abs(told["bits"] - told["bits_before"] - np.mean(one, axis=0).sum()) < 4 * spread + 32
    assert abs(told["negative_elbo_bits"] - np.mean(one, axis=0).sum()) < 4 * spread


def test_rows_come_back_at_the_cost_of_the_elbo(digits, tmp_path):
    x = np.asarray(load("digits").x)[:400]
    data = latens.load_data(x, schema=digits.schema)
    told = coded(digits, data, tmp_path / "a.bits")
    again = decompress(digits, tmp_path / "a.bits")
    np.testing.assert_array_equal(again, x)
    assert again.dtype == x.dtype
    check_cost(digits, data, told)
    assert told["bits_per_dimension"] == told["bits"] / x.size
    counts = np.stack([(x == level).sum(axis=0) for level in range(17)])
    alone = -np.sum(counts * np.log2(np.maximum(counts, 1) / 400))  # each pixel at its own frequencies, told for free
    assert told["bits"] < 0.9 * alone


@pytest.mark.parametrize(
    "options",
    [
        {"likelihood": "bernoulli", "prior": "mixture"},
        {"likelihood": "bernoulli", "prior": "full-mixture"},
        {"likelihood": "discretised-logistic"},
        {"likelihood": "categorical", "recipe": "ladder-vae"},
        {"likelihood": "categorical", "recipe": "two-level"},
        {"likelihood": "categorical", "prior": "vamp"},
    ],
    ids=lambda options: "-".join(options.values()),
)
def test_every_part_comes_back(options, tmp_path):
    generator = np.random.default_rng(0)
    most = 1 if options["likelihood"] == "bernoulli" else 4
    x = generator.binomial(most, 0.2 + 0.6 * generator.integers(0, 2, (300, 1)), size=(300, 12)).astype(np.uint8)
    model = latens.VAE(steps=40, random_state=0, **options).fit(x).model_
    data = latens.load_data(x, schema=model.schema)
    told = coded(model, data, tmp_path / "a.bits")
    np.testing.assert_array_equal(decompress(model, tmp_path / "a.bits"), x)
    check_cost(model, data, told)


def test_wrong_files_and_rows_are_refused(digits, tmp_path):
    x = np.asarray(load("digits").x)[:5]
    data = latens.load_data(x, schema=digits.schema)
    coded(digits, data, tmp_path / "a.bits")
    with pytest.raises(UsageError, match="another model coded these rows"):
        decompress(latens.load("pretrained:digits-2d"), tmp_path / "a.bits")
    grey = latens.VAE(steps=5, likelihood="bernoulli").fit(x / 16).model_
    with pytest.raises(DataError, match="probabilities of 2 values"):
        compress(grey, latens.load_data(x / 16, schema=grey.schema))
    digits.save(tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="this is not a file of coded rows"):
        decompress(digits, tmp_path / "model.safetensors")
    raw = bytearray((tmp_path / "a.bits").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "b.bits").write_bytes(bytes(raw))
    with pytest.raises(ModelFileError):
        decompress(digits, tmp_path / "b.bits")


def test_what_a_strangers_file_says_is_not_believed(digits, tmp_path):
    data = latens.load_data(np.asarray(load("digits").x)[:5], schema=digits.schema)
    coded(digits, data, tmp_path / "a.bits")
    arrays, facts = read(tmp_path / "a.bits")
    np.testing.assert_array_equal(decompress(digits, tmp_path / "a.bits"), data.x)
    words = arrays["words"]
    hostile = [
        ({"rows": 10**15}, words),
        ({"rows": -1}, words),
        ({"levels": 2**40}, words),
        ({"reach": 1e12}, words),
        ({"dtype": "O"}, words),
        ({"more": 1}, words),
        ({}, words[:0]),
        ({}, words.astype(np.float32)),
        ({}, np.append(words, np.int32(0))),
    ]
    for change, what in hostile:
        (tmp_path / "b.bits").write_bytes(pack({"words": what}, {**facts, **change}))
        with pytest.raises(ModelFileError, match=r"Expected|unknown field|no coded rows"):
            decompress(digits, tmp_path / "b.bits")


def test_another_machine_is_refused_by_name(digits, tmp_path, monkeypatch):
    data = latens.load_data(load("digits").x[:5], schema=digits.schema)
    coded(digits, data, tmp_path / "a.bits")
    monkeypatch.setenv("PJRT_NPROC", "7")
    with pytest.raises(UsageError, match=r"threads was .* where the rows were coded, and is 7 here"):
        decompress(digits, tmp_path / "a.bits")


@pytest.mark.parametrize("symbols", [10, 200])
def test_rows_of_many_bits_come_back_from_a_long_stack(symbols):
    """A row may take more words than the part of the stack that is at hand: of 200 symbols of a byte, 50 of 12."""
    kind = constriction.stream.model.Categorical(perfect=False)
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 256, (60, symbols)).astype(np.int32)
    shares = generator.dirichlet(np.ones(256), symbols).astype(np.float32)
    first = generator.integers(1, 2**31, 20).astype(np.uint32)
    stack = Stack(first)
    for number, row in enumerate(rows):
        stack.scramble(number, 5)
        stack.push(row, kind, shares)
    other = Stack(stack.words)
    for number, row in reversed(list(enumerate(rows))):
        np.testing.assert_array_equal(other.pop(kind, shares), row)
        other.scramble(number, 5)
    np.testing.assert_array_equal(other.words, first)
