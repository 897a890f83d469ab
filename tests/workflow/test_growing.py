"""Training that goes on from a model with names that the model's rows had not: nothing else changes before a step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from latens.cli.main import main
from latens.config import override
from latens.data import TRAIN, load
from latens.errors import ConfigError, DataError
from latens.kinds.tables.typed import with_names
from latens.recipes import get_recipe
from latens.runs.folder import RunFolder
from latens.trees import partition_trainable
from latens.workflow import growing
from latens.workflow.experiment import prepare

CITIES, COUNTRIES = ["Lyon", "Oslo", "Porto"], ["F", "N", "P", "I", "S", "D"]
SMALL = {"network.hidden": (8,), "posterior.latent_dim": 2, "data.validation": "none"}


def frame(n=400, more=()):
    """Categories of 3, 6 and 8 names, two numbers of few and many values, an order; then rows with these cities."""
    rng = np.random.default_rng(0)
    made = pd.DataFrame(
        {
            "city": [*rng.choice(CITIES, n), *more],
            "income": rng.normal(size=n + len(more)).round(3),
            "country": rng.choice(COUNTRIES, n + len(more)),
            "rooms": rng.integers(1, 6, n + len(more)),
            "again": rng.choice([*COUNTRIES, "U", "V"], n + len(more)),
        }
    )
    grades = rng.choice(["low", "middle", "high"], n + len(more))
    return made.assign(grade=pd.Categorical(grades, categories=["low", "middle", "high"], ordered=True))


def started(scale, recipe="default", settings=SMALL):
    """A model whose arrays are all draws of this scale, as a start; also where they say nothing, as of no name."""
    experiment = prepare(override(get_recipe(recipe).config, settings), load(frame(), typed=True))
    arrays, rest = partition_trainable(experiment.new_model())
    rng = np.random.default_rng(1)
    arrays = jax.tree.map(lambda leaf: np.float32(scale * rng.normal(size=leaf.shape)), arrays)
    return experiment.trained(eqx.combine(arrays, rest))


def further(start, data):
    return prepare(start.config, data, start=start).new_model()


def terms(model, z, x):
    return np.asarray(jax.vmap(lambda z, x: model.likelihood(z).log_prob_terms(x))(z, x))


@pytest.fixture(scope="module")
def start():
    return started(0.3)


# Two more cities end the group of at most four names; one more does not; a country fills what was padded.
@pytest.mark.parametrize(
    ("column", "names"), [("city", ["Rome", "Turin"]), ("city", ["Rome"]), ("country", ["A", "B"])]
)
def test_the_rows_of_before_are_as_probable_as_before(start, column, names):
    rows = frame(400, names * 20)
    rows[column] = [*rows[column][:400], *(names * 20)]
    rows["city"] = rows["city"].where(rows["city"].isin(CITIES) | (column == "city"), "Lyon")
    data = load(rows, schema=start.schema, unknown="grow")
    place = ["city", "income", "country", "rooms", "again", "grade"].index(column)
    kind, was = data.schema.types[place], start.schema.types[place]
    assert kind.values == (*was.values, *names)
    model, x = further(start, data), data.x[:400]
    seen = [
        jax.vmap(lambda row, one=one: one.posterior(row, mask=jnp.ones(6, bool)).sample(key=jax.random.key(0)))(x)
        for one in (start.model, model)
    ]
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-6, atol=1e-6)
    before, after = terms(start.model, seen[0], x), terms(model, seen[0], x)
    others = [i for i in range(6) if i != place]
    np.testing.assert_allclose(after[:, others], before[:, others], rtol=1e-6, atol=1e-6)
    found = []  # of each new name by how much more probable it is than its share
    for code in range(len(was.values), len(kind.values)):
        cells = x.copy()
        cells[:, place] = code
        found.append(terms(model, seen[0], cells)[:, place] - np.log(kind.shares[code]))
    np.testing.assert_allclose(found[-1], found[0], rtol=1e-6, atol=1e-6)  # none of them has an output of its own
    taken = np.exp(np.array(found)).T @ np.array(kind.shares[len(was.values) :])
    np.testing.assert_allclose(after[:, place], before[:, place] + np.log1p(-taken), rtol=2e-6, atol=2e-6)


def test_a_new_name_starts_at_its_share():
    """A model that says nothing gives each name its share of the rows."""
    start = started(0.0)
    data = load(frame(400, ["Rome"] * 30), schema=start.schema, unknown="grow")
    count = np.sum((data.x[:, 0] == 3) & (data.split == TRAIN))
    share = (count + 0.5) / (np.sum(data.split == TRAIN) + 0.5 * 4)
    x = np.array([[code, 0, 0, 0, 0, 0] for code in range(4)], np.float32)
    found = np.exp(terms(further(start, data), np.ones((4, 2), np.float32), x)[:, 0])
    old = np.array(start.schema.types[0].shares)
    np.testing.assert_allclose(found, [*((1 - share) * old), share], rtol=1e-6)
    assert data.notes[0] == f"Column 'city' has new names, which the model takes: 'Rome' ({count} training rows)."


def test_names_that_only_validation_rows_have_get_half_a_row(start):
    one = start.schema.types[0]
    made = with_names(one, ["Rome"], [0], 300)
    assert made.shares[-1] == pytest.approx(0.5 / (300 + 0.5 * 4))
    assert sum(made.shares) == pytest.approx(1.0)
    assert made.values == (*one.values, "Rome")


def test_what_has_no_place_is_refused(start):
    """A new name in an order; truth values; and a model with an array that no name tells apart."""
    rows = frame(400)
    rows["grade"] = ["best", *["low"] * 399]
    with pytest.raises(DataError, match=r"column 'grade' has names that the model lacks \('best'\).* has no place"):
        load(rows, schema=start.schema, unknown="grow")
    data = load(frame(400, ["Rome"]), schema=start.schema, unknown="grow")

    def build(schema):
        return {"model": start.model, "more": np.zeros(schema.types[0].count * 2)}

    old = build(start.schema)
    with pytest.raises(ConfigError, match=r"column 'city' has names .* array more has no place for them"):
        growing.placed(old, build(data.schema), start.schema, data.schema, build)


def test_what_is_fitted_at_once_starts_from_nothing():
    """Its rows of before would be forgotten, or the new ones unseen."""
    start = started(0.3, "table-mixture", {"posterior.choices": 3})
    with pytest.raises(ConfigError, match="table-mixture is fitted at once, without steps"):
        further(start, load(frame(), schema=start.schema))


def test_a_run_goes_on_with_names_that_it_lacked(tmp_path, capsys):
    """By the command: the new run knows them, and can itself be resumed and started from."""
    frame().to_csv(tmp_path / "old.csv", index=False)
    frame(400, ["Rome"] * 100).to_csv(tmp_path / "new.csv", index=False)
    words = ["--steps", "30", "--num-samples", "2", "--set", "network.hidden=8", "--quiet"]
    assert main(["fit", str(tmp_path / "old.csv"), *words, "--out", str(tmp_path / "one")]) == 0
    words += ["--from", str(tmp_path / "one"), "--out", str(tmp_path / "two")]
    assert main(["fit", str(tmp_path / "new.csv"), *words]) == 0
    assert main(["resume", str(tmp_path / "two"), "--steps", "60", "--quiet"]) == 0
    assert RunFolder.open(tmp_path / "two", lock=False).info["state"] == "done"
    assert main(["sample", str(tmp_path / "two"), "-n", "500", "--out", str(tmp_path / "drawn.csv")]) == 0
    assert np.mean(pd.read_csv(tmp_path / "drawn.csv")["city"] == "Rome") == pytest.approx(0.2, abs=0.12)
    assert main(["evaluate", str(tmp_path / "one"), str(tmp_path / "new.csv"), "--num-samples", "2"]) == 3
    assert "'Rome'" in capsys.readouterr().err
