"""`kl="auto"`: in closed form where there is one, from the draws where there is none, and said."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_fixtures import make_data

from latens.config import override
from latens.data import prepare_batch
from latens.distributions import AbstractDistribution, has_closed_form, kl_terms
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.models import FixedPrior
from latens.objectives import ELBO
from latens.objectives.base import by_formula
from latens.recipes import get_recipe
from latens.recipes.parts import bind, prior_part
from latens.recipes.posteriors import POSTERIORS, PRIORS

SMALL = {"network.hidden": 4, "posterior.latent_dim": 3, "training.steps": 1}
SCHEMA = make_data().schema
KEY = jax.random.key(0)


def pair(posterior: str, prior: str) -> tuple[Any, Any] | None:
    """q and p of two rows of the tables; None where they do not go together, or p is made from the whole model."""
    settings = {"posterior": posterior, "prior": prior, "posterior.latent_dim": 3, "posterior.scale": "log-scale"}
    if "choices" in POSTERIORS[posterior].options.__struct_fields__:
        settings |= {"posterior.choices": 3}
    config = override(get_recipe("default").config, settings)
    latent = bind(config).posterior.latent
    try:
        made: Any = prior_part(SCHEMA, config, latent, key=KEY)
        head = bind(config).posterior.made(latent, key=KEY)
    except (ConfigError, TypeError):
        return None
    p = made(None) if isinstance(made, FixedPrior) else made
    if not isinstance(p, AbstractDistribution):
        return None
    return head(jnp.linspace(-0.5, 0.5, head.num_outputs)), p


def test_auto_is_the_closed_form_exactly_where_there_is_one() -> None:
    closed, drawn = 0, 0
    priors = [name for name in PRIORS if name not in ("vamp", "exemplar")]
    for posterior, prior in itertools.product(POSTERIORS, priors):
        if POSTERIORS[posterior].support in ("codes", "mixed") or (found := pair(posterior, prior)) is None:
            continue
        q, p = found
        assert by_formula("auto", q, p) is has_closed_form(q, p)
        own = ELBO()._kl_by_unit(q, p, None, None)
        if has_closed_form(q, p):
            closed += 1
            np.testing.assert_array_equal(own, kl_terms(q, p))
        else:
            drawn += 1
            assert own is None  # the draws' own log q - log p is taken
            with pytest.raises(ConfigError, match="has no closed form") as refused:
                ELBO(kl="analytic")._kl_by_unit(q, p, None, None)
            assert (refused.value.where, "objective.kl=sampled" in refused.value.fix) == ("objective.kl", True)
    assert min(closed, drawn) >= 15, (closed, drawn)  # of 15 posteriors and 14 priors, most of which do not go together


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, "analytic"),
        ({"posterior.kind": "iaf"}, "sampled"),
        ({"prior": "mixture", "prior.components": 3}, "sampled"),
        ({"posterior.levels": 2}, "sampled"),
    ],
)
def test_auto_gives_the_bits_of_the_kind_that_it_takes(settings: dict[str, Any], same: Any) -> None:
    data = make_data()
    experiment = prepare(override(get_recipe("default").config, {**SMALL, **settings}), data)
    batch = prepare_batch(experiment.preparation, data.rows(data.subset("train")[:5]), key=jax.random.key(1))
    model = experiment.new_model()

    @eqx.filter_jit
    def number(objective: ELBO) -> Any:
        return objective(model, batch, key=jax.random.key(2), step=jnp.zeros((), jnp.int32))

    said = [reason for reason in experiment.reasons if reason.startswith("the KL is sampled")]
    assert bool(said) is (same == "sampled")
    auto, chosen = number(ELBO()), number(ELBO(kl=same))
    assert jax.tree.leaves(auto) == jax.tree.leaves(chosen)
    if same == "analytic":
        assert float(number(ELBO(kl="sampled"))[0]) != float(auto[0])
    else:
        with pytest.raises(ConfigError, match="has no closed form"):
            number(ELBO(kl="analytic"))
