"""What is decided of tables and of text: networks, their learning rate, the size of a batch."""

import equinox as eqx
import numpy as np
import pandas as pd
import pytest

import latens
from latens import read
from latens.config import override
from latens.data import Dataset
from latens.fitting import prepare
from latens.kinds import Numbers, Table
from latens.recipes import get_recipe
from latens.recipes.plan import RATE

TABLE_RATE, TABLE_WIDTH = Table.defaults.rate, Table.defaults.width


@pytest.fixture(scope="module")
def table() -> Dataset:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b"], 300)
    size = np.where(kind == "a", 1.0, 3.0) + rng.normal(size=300)
    return latens.read(pd.DataFrame({"kind": kind, "size": size.round(2)}), label="none")


@pytest.mark.parametrize(
    ("settings", "hidden", "rate"),
    [
        ({}, (TABLE_WIDTH,), TABLE_RATE),
        ({"network.hidden": (256, 256)}, (256, 256), RATE),
        ({"optimizer.learning_rate": 0.006}, (TABLE_WIDTH,), 0.006),
        ({"start.kind": "none"}, (256, 256), RATE),
    ],
)
def test_what_is_not_set_is_decided(table: Dataset, settings: dict, hidden: tuple[int, ...], rate: float) -> None:
    recipe = get_recipe("default")
    config, _ = recipe.resolve(override(recipe.config, settings), table)
    assert (config.network.hidden, config.optimizer.learning_rate) == (hidden, rate)


def test_a_classifier_reads_rows_as_the_encoder_does() -> None:
    rows = pd.DataFrame({"kind": ["a", "b", None] * 20, "size": np.arange(60) / 7.0, "y": ["u", "v"] * 30})
    for frame in (rows, rows[["size", "y"]]):
        config = override(get_recipe("m2").config, {"network.hidden": [4], "posterior.latent_dim": 2})
        model = prepare(config, latens.read(frame, label="y")).new_model()
        assert model.classifier.standardise is not None
        assert eqx.tree_equal(model.classifier.standardise, model.conditional.encoder.standardise)


def test_pictures_and_numbers_keep_theirs() -> None:
    recipe = get_recipe("default")
    data = latens.read(np.random.default_rng(0).normal(size=(200, 6)), label="none")
    config, _ = recipe.resolve(recipe.config, data)
    assert (config.network.hidden, config.optimizer.learning_rate) == ((128, 128), RATE)


def test_what_the_pages_say_of_tables_is_what_they_have() -> None:
    assert (TABLE_RATE, TABLE_WIDTH, Table.defaults.scored, Numbers.defaults.scored) == (5e-3, 64, 1000, 100)


@pytest.mark.parametrize(("rows", "length", "size"), [(1300, 4, 128), (1300, 95, 64), (300, 95, 32), (300, 400, 8)])
def test_batches_of_long_texts_have_fewer_rows(rows: int, length: int, size: int) -> None:
    data = read([" ".join(["a", "b"] * (length // 2)) + f" {number % 7}" for number in range(rows)], pieces="words")
    plan = prepare(get_recipe("text").config, data)
    assert plan.config.training.batch_size == size
    assert any(f"batches of {size}," in reason and "tokens on average" in reason for reason in plan.reasons)
