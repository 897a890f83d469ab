"""A mixture fitted to the codes at the end of training: kept where validation rows gain by it, and only there."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import latens
from latens.config import override
from latens.data import Dataset, Schema
from latens.data.schema import Column
from latens.errors import ConfigError
from latens.fitting import Experiment, prepare
from latens.models import MixturePrior
from latens.recipes import get_recipe
from latens.trained.prior_refit import refit_text, refitted_at_end
from latens.trained.trained_model import TrainedModel

W, SIGMA = np.array([[1.0], [-0.5], [0.8]]), 0.3
NOISE = 1.0 / (1.0 + float((W**2).sum()) / SIGMA**2)
CENTRE, WIDTH = 0.95, np.sqrt(1.0 - 0.95**2)
"""Two clusters of codes with the mean 0 and the variance 1 of a standard Normal."""


def rows(planted: bool, n: int = 600, seed: int = 0) -> Dataset:
    """Rows W z + noise, with z of two clusters or of a standard Normal; the first 200 validate, the next 100 test."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 1))
    z = CENTRE * rng.choice([-1.0, 1.0], (n, 1)) + WIDTH * z if planted else z
    x = (z @ W.T + SIGMA * rng.standard_normal((n, 3))).astype(np.float32)
    split = np.where(np.arange(n) < 200, 1, np.where(np.arange(n) < 300, 2, 0)).astype(np.uint8)
    ids = np.arange(n)
    schema = Schema((3,), "real", columns=tuple(Column(f"x{i}") for i in range(3)))
    return Dataset(x, schema, ids.astype(np.uint32), ids, split, "planted")


SETTINGS = {"network.hidden": [], "posterior.latent_dim": 1, "posterior.scale": "log-scale", "training.steps": 1,
            "likelihood.family": "normal", "likelihood.scale": "fixed", "likelihood.fixed_scale": SIGMA}  # fmt: skip


def linear(data: Dataset, **settings: object) -> TrainedModel:
    """The linear model with its exact posterior under a standard Normal."""
    experiment = prepare(override(get_recipe("default").config, {**SETTINGS, **settings}), data)
    model = experiment.new_model()
    weight, bias = np.zeros((3, 2)), np.zeros(2)
    weight[:, :1], bias[1] = NOISE * W / SIGMA**2, 0.5 * np.log(NOISE)
    nets = lambda m: (m.encoder.network.layers[0], m.decoder.network.layers[0])  # noqa: E731
    put = lambda layer, w, b: eqx.tree_at(lambda one: (one.weight, one.bias), layer, (w, b))  # noqa: E731
    one, two = nets(model)
    one = put(one, jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32))
    two = put(two, jnp.asarray(W.T, jnp.float32), jnp.zeros(3))
    return experiment.trained(eqx.tree_at(nets, model, (one, two)))


def log_p(x: np.ndarray, weight: np.ndarray, loc: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """log p(x) of the linear model under a mixture of Normals as the prior, exactly."""
    parts = [
        np.log(w) + stats.multivariate_normal(W[:, 0] * m, W @ W.T * s**2 + SIGMA**2 * np.eye(3)).logpdf(x)
        for w, m, s in zip(weight, loc, scale)
    ]
    return special.logsumexp(parts, axis=0)


NORMAL = (np.ones(1), np.zeros(1), np.ones(1))
TRUE = (np.full(2, 0.5), np.array([-CENTRE, CENTRE]), np.full(2, WIDTH))


def test_two_clusters_of_codes_are_found_and_gain_what_the_formula_says() -> None:
    data = rows(planted=True)
    old = linear(data)
    new = refitted_at_end(old, data, seen=10**6)
    found = new.facts["refit"]
    prior = new.model.prior_part
    assert (found["kept"], new.config.prior.kind, type(prior)) == (True, "mixture", MixturePrior)
    x = data.x[data.subset("validation")].astype(np.float64)
    fitted = jax.nn.softmax(prior.logits), prior.loc[:, 0], jnp.exp(prior.log_scale[:, 0])
    gains = log_p(x, *map(np.asarray, fitted)) - log_p(x, *NORMAL)
    assert found["gain"]["n"] == len(x) == 200
    assert found["gain"]["value"] == pytest.approx(gains.mean(), abs=0.002)
    assert found["gain"]["standard_error"] == pytest.approx(gains.std(ddof=1) / np.sqrt(200), rel=0.1)
    assert gains.mean() > 0.7 * np.mean(log_p(x, *TRUE) - log_p(x, *NORMAL)) > 0.1
    assert new.model.encoder is old.model.encoder
    again = TrainedModel.from_bytes(new.to_bytes())
    assert np.array_equal(again.model.prior_part.loc, prior.loc)
    assert "prior: a mixture of Gaussians fitted to the codes, which changes log p(x) by +0." in refit_text(again)


def test_only_validation_rows_decide_and_test_rows_are_not_looked_at() -> None:
    data = rows(planted=True)
    other = data.x.copy()
    other[data.subset("test")] = 1e6
    one, two = (refitted_at_end(linear(d), d, seen=10**6) for d in (data, replace(data, x=other)))
    assert one.facts["refit"] == two.facts["refit"]
    assert np.array_equal(one.model.prior_part.loc, two.model.prior_part.loc)
    on_test = data.test_as_validation()
    left = refitted_at_end(linear(on_test, **{"data.validation": "test"}), on_test, seen=10**6)
    assert left.facts["refit"] == {"kept": False, "because": "no rows of their own validate"}


def test_rows_that_count_twice_are_rows_that_come_twice() -> None:
    data = rows(planted=True)
    weight = np.where(data.x[:, 0] > 0, 3.0, 1.0).astype(np.float32)
    found = refitted_at_end(linear(data), replace(data, weight=weight), seen=10**6)
    prior = found.model.prior_part
    share = float(jax.nn.softmax(prior.logits)[np.asarray(prior.loc[:, 0]) > 0].sum())
    train = data.subset("train")
    right = data.x[train, 0] > 0
    assert share == pytest.approx(3 * right.sum() / (3 * right.sum() + (~right).sum()), abs=0.05)


@pytest.mark.parametrize(("seen", "tried"), [(13_999, False), (14_000, True)])
def test_a_short_training_is_not_followed_by_a_fit_that_takes_longer(seen: int, tried: bool) -> None:
    """200 rows of 50 draws and 4,000 codes: as many rows as the steps of the training saw."""
    data = rows(planted=True)
    found = refitted_at_end(linear(data), data, seen=seen).facts["refit"]
    assert ("gain" in found, found.get("because")) == (tried, None if tried else "the training was short")


def test_codes_that_no_mixture_can_be_fitted_to_end_no_training() -> None:
    data = rows(planted=True)
    trained = linear(data)
    model = eqx.tree_at(lambda m: m.encoder.network.layers[0].bias, trained.model, jnp.full(2, jnp.nan))
    found = refitted_at_end(replace(trained, model=model), data, seen=10**6).facts["refit"]
    assert (found["kept"], "reg_covar" in found["because"]) == (False, True)


def asked(name: str = "default", **settings: object) -> bool | None:
    """What a configuration says of the fit once it is resolved."""
    small = {"network.hidden": [4], "posterior.latent_dim": 2, "training.steps": 1, **settings}
    return prepare(override(get_recipe(name).config, small), rows(planted=False, n=400)).config.prior.refit


@pytest.mark.parametrize(
    ("name", "settings", "refit"),
    [
        ("default", {}, True),
        ("default", {"prior.refit": "false"}, False),
        ("default", {"prior": "standard-normal"}, False),
        ("default", {"prior": "mixture"}, False),
        ("default", {"prior": "mixture", "prior.refit": "true"}, True),
        ("default", {"posterior.levels": [2]}, False),
        ("default", {"posterior": "von-mises-fisher"}, False),
        ("iwae", {}, False),
        ("iwae", {"prior.refit": "true"}, True),
        ("vamp-prior", {}, False),
    ],
)
def test_a_prior_that_was_chosen_is_left_alone(name: str, settings: dict[str, object], refit: bool) -> None:
    assert asked(name, **settings) is refit


@pytest.mark.parametrize(("units", "refit"), [(2, False), (3, True)])
def test_the_plane_of_pictures_keeps_the_percentiles_of_its_prior(units: int, refit: bool) -> None:
    pictures = latens.read(np.random.default_rng(0).integers(0, 5, (60, 8, 8), dtype=np.uint8))
    config = override(get_recipe("default").config, {"posterior.latent_dim": units, "network.hidden": [4]})
    assert prepare(config, pictures).config.prior.refit is refit


def test_a_detector_keeps_its_trained_prior_unless_it_is_told() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    for settings, refit in (({}, False), ({"prior.refit": True}, True)):
        found = latens.VAEDetector(folds=1, settings={"training.steps": 1, **settings}, random_state=0).fit(x)
        assert found.model_.config.prior.refit is refit


def test_a_fit_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at the end with posterior.kind=von-mises-fisher") as error:
        asked(posterior="von-mises-fisher", **{"prior.refit": "true"})
    assert error.value.where == "prior.refit"


SHORT = {**SETTINGS, "training.steps": 120, "training.batch_size": 128, "optimizer.learning_rate": 1e-5}


def experiment(data: Dataset, **settings: object) -> Experiment:
    """Some steps from the exact model, which hardly move it."""
    return prepare(override(get_recipe("default").config, {**SHORT, **settings}), data, start=linear(data))


def test_training_goes_on_from_a_model_with_its_fitted_prior() -> None:
    data = rows(planted=True)
    first = refitted_at_end(linear(data), data, seen=10**6)
    config = override(get_recipe("default").config, {**SETTINGS, "training.steps": 2})
    further, _ = latens.fitting.train(prepare(config, data, start=first))
    assert further.config.prior == first.config.prior
    assert further.facts["started_from"]["config"]["prior"]["kind"] == "mixture"
    assert not np.array_equal(further.model.prior_part.loc, first.model.prior_part.loc)
    np.testing.assert_allclose(further.model.prior_part.loc, first.model.prior_part.loc, atol=0.05)
