"""A model that keeps the tree it began with: one draw of z is exact, and stands for all of them."""

import equinox as eqx
import numpy as np
import pandas as pd

import latens
from latens.config import override
from latens.evaluation import log_marginal
from latens.recipes import get_recipe
from latens.workflow.cells import draws_of, given_rest
from latens.workflow.detect import surprises
from latens.workflow.trained import TrainedModel


def trained() -> tuple[latens.Dataset, TrainedModel]:
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], 400)
    size = np.round(rng.normal(np.where(kind == "a", 3.0, 9.0), 1.0), 1)
    frame = pd.DataFrame({"kind": kind, "size": size, "price": np.round(size * 2.0 + rng.normal(0, 1.0, 400), 1)})
    data = latens.load_data(frame, label="none")
    config = override(get_recipe("default").config, {"training.steps": 2})
    return data, latens.train(latens.prepare(config, data))[0]


def test_one_draw_gives_what_many_give_where_the_tree_is_kept() -> None:
    data, model = trained()
    assert model.facts["start"]["kept"] is True
    assert (draws_of(model, 300), draws_of(model, 1)) == (1, 1)
    rows = model.rows(model.batch(data, np.arange(50)), seed=0)
    many = log_marginal(rows, num_samples=40)
    np.testing.assert_allclose(log_marginal(rows, num_samples=1), many, rtol=2e-6)
    key = rows.key
    forgot = model.with_facts(start={"kept": False})
    one, other = (surprises(each, data, None, others=300, num_samples=40, key=key) for each in (model, forgot))
    np.testing.assert_allclose(one, other, rtol=2e-6)
    assert draws_of(forgot, 300) == 300
    one, other = (given_rest(each, data, np.arange(50), num_samples=7) for each in (model, forgot))
    for shares, same in zip(one, other, strict=True):
        np.testing.assert_allclose(shares, same, rtol=1e-4, atol=1e-7)


def test_many_draws_are_taken_where_training_was_kept() -> None:
    _, model = trained()
    moved = eqx.tree_at(lambda m: m.decoder.head.more, model.model, replace_fn=lambda one: one + 0.1)
    fitted = eqx.tree_at(lambda m: m.prior_part.loc, model.model, replace_fn=lambda one: one + 0.1)
    for other in (moved, fitted):
        changed = TrainedModel(other, model.schema, model.preparation, model.config, facts=model.facts)
        assert draws_of(changed, 300) == 300
