"""What a model begins with: the tree that is its rival, and none where there is none to count."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data.dataset import training_rows
from latens.evaluation.evidence.tree import MOST_BINS, fit_tree
from latens.models.heads.tree import BINS, TreeHead
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import started_from
from latens.recipes.building.plan import resolve
from latens.recipes.building.recipe import build_new
from latens.recipes.parts.bound import bind


def table(rows: int, columns: int) -> pd.DataFrame:
    """Names of which each is that of the column before it in three rows of four."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 3, rows)]
    for _ in range(columns - 1):
        made.append(np.where(rng.random(rows) < 0.75, made[-1], rng.integers(0, 3, rows)))
    return pd.DataFrame({f"c{j}": np.array(["a", "b", "c"])[column] for j, column in enumerate(made)})


def begun(frame: pd.DataFrame, **settings: object) -> tuple[latens.Dataset, TreeHead]:
    """The head of a model before its first step, and the data."""
    data = latens.load_data(frame)
    config, _ = resolve(override(get_recipe("default").config, settings), data)
    model = build_new(get_recipe("default"), data.schema, bind(config), key=jax.random.key(0))
    return data, started_from(model, data).decoder.head


def test_the_start_is_the_rival() -> None:
    data, head = begun(table(300, 4))
    x, mask, weight = training_rows(data)
    made = fit_tree(x, mask, data.schema.types or (), weight=weight)
    assert head.parents.value.tolist() == made.parents.tolist()
    assert sum(p != j for j, p in enumerate(made.parents)) == 3
    test = data.x[data.subset("test")]
    tree = head(jnp.zeros(head.num_outputs))
    found = np.asarray(jax.vmap(tree.log_prob)(test))
    assert np.allclose(found, made.log_prob(test), atol=1e-4)


@pytest.mark.parametrize(("columns", "kind"), [(MOST_BINS // BINS, "tree"), (MOST_BINS // BINS + 1, "table")])
def test_a_table_too_wide_to_count_pairs_has_no_tree(columns: int, kind: str) -> None:
    data = latens.load_data(table(30, columns))
    assert resolve(get_recipe("default").config, data)[0].likelihood.family == kind


def test_no_start_is_what_was() -> None:
    data = latens.load_data(table(60, 3))
    config = override(get_recipe("default").config, {"start": "none"})
    assert resolve(config, data)[0].likelihood.family == "table"
