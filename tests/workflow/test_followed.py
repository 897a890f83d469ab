"""In new rows a column that depends on a number goes by what the rules make of that number."""

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import latens
from latens import prepare
from latens.data import Dataset, effects, found_effects
from latens.evaluation.latents.encode import redrawn
from latens.recipes import get_recipe
from latens.recipes.building.closed_forms import started_from
from latens.workflow import followed
from latens.workflow.followed import followers
from latens.workflow.trained import TrainedModel


def cups(n: int = 1500, *, judged: bool = True) -> Dataset:
    """Cups of tea: how warm one is follows its material, lid and volume, and what is said of it how warm it is."""
    rng = np.random.default_rng(1)
    cup, lid = rng.choice(["paper", "steel", "foam"], n), rng.choice(["yes", "no"], n)
    small = rng.choice(["small", "large"], n)
    warm = 60.0 + 8.0 * (cup == "foam") - 8.0 * (cup == "steel") + 7.0 * (lid == "yes") - 6.0 * (small == "small")
    warm = (warm + rng.normal(0, 1.0, n)).round(1)
    said = np.where(warm > 64, "hot", np.where(warm < 54, "cold", "good"))
    said = np.where(rng.random(n) < 0.05, "good", said)
    frame = {"cup": cup, "lid": lid, "size": small, "warm": warm, "said": said, "desk": rng.integers(0, 40, n)}
    return latens.load_data(pd.DataFrame(frame if judged else frame | {"said": "good"}), label="none")


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    experiment = prepare(get_recipe("default").config, cups())
    model = started_from(experiment.new_model(), experiment.data, experiment.preparation, begun=1.0)
    made = experiment.trained(model).with_facts(start={"kept": True})
    found = found_effects.found_in(cups(judged=False), {}, ())  # of its causes alone
    return made.with_facts(effects=[list(one) for one in found])


def right(trained: Any, x: np.ndarray) -> float:
    """The share of rows of which that is said which their temperature asks for."""
    names, types = trained.schema.names, trained.schema.types
    warm = types[names.index("warm")].low + x[:, names.index("warm")] * types[names.index("warm")].step
    values = np.array(types[names.index("said")].values)
    said = values[x[:, names.index("said")].astype(int)]
    return float(np.mean(said == np.where(warm > 64, "hot", np.where(warm < 54, "cold", "good"))))


def test_what_depends_on_a_sum_follows_it(trained: TrainedModel) -> None:
    assert [one.target for one in effects.read(trained.facts["effects"])] == ["warm"]
    names = list(trained.schema.names)
    assert [names[k] for k in followers(trained)] == ["said"]  # the desk depends on nothing
    assert followers(trained, ["said"]) == []
    assert followers(trained.with_facts(effects=[])) == []


def test_what_is_said_of_a_number_goes_by_what_its_causes_make_of_it(
    trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, asked = trained.sample(3000), trained.sample(3000, given={"cup": "steel"})
    real = right(trained, np.asarray(cups().x))
    # The model knows the number by its bins, and a bin may hold both of two names.
    alone = right(trained, trained.with_facts(effects=[]).sample(3000))
    assert alone <= real
    assert right(trained, new) > alone - 0.03
    assert right(trained, asked) > alone - 0.05
    monkeypatch.setattr(followed, "redrawn", lambda model, z, x, hidden, **how: x)
    assert right(trained, trained.sample(3000)) < alone - 0.1


def test_columns_that_are_drawn_anew_have_their_probability_given_the_others(trained: TrainedModel) -> None:
    names = list(trained.schema.names)
    k, n = names.index("said"), 20000
    x = np.repeat(np.asarray(cups().x[:1], np.float32), n, axis=0)
    z = np.zeros((n, *trained.latent_shape), np.float32)
    hidden = np.arange(len(names)) == k
    made = redrawn(trained.model, z, x, hidden, key=jax.random.key(0))
    np.testing.assert_array_equal(made[:, ~hidden], x[:, ~hidden])
    likelihood = trained.model.likelihood(jax.numpy.asarray(z[0]), cond=None)
    every = np.stack([np.where(hidden, code, x[0]) for code in range(3)])
    log_p = np.array([float(likelihood.log_prob(jax.numpy.asarray(row))) for row in every], np.float64)
    want = np.exp(log_p - np.logaddexp.reduce(log_p))
    have = np.bincount(made[:, k].astype(int), minlength=3) / n
    np.testing.assert_allclose(have, want, atol=4 * np.sqrt(0.25 / n))
    # A row is drawn alike whatever comes after it.
    few = redrawn(trained.model, z[:100], x[:100], hidden, key=jax.random.key(0))
    again = redrawn(trained.model, z[:400], x[:400], hidden, key=jax.random.key(0))
    np.testing.assert_array_equal(few, again[:100])
