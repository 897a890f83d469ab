"""A prior fitted after training: the aggregated posterior of a linear model, planted clusters, and the command."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result
from scipy import stats

from latens.cli.arguments import parser
from latens.commands.refit import _OPTIONS
from latens.config import override
from latens.data import Dataset, Preparation, Schema
from latens.data.schema import Column
from latens.distributions import Deterministic
from latens.distributions.chain import Autoregressive, Inverse, Scaled, Stack, Transformed
from latens.errors import ConfigError
from latens.fitting import prepare
from latens.latents.fit_prior import fit_flow, mixture_of
from latens.models import LatentModel
from latens.networks import Dense
from latens.recipes import get_recipe
from latens.trained import prior_refit
from latens.trained.prior_refit import PRIORS, refit_prior
from latens.trained.trained_model import TrainedModel

pytest_plugins = ("cli_fixtures",)

W = np.array([[1.0, 0.3], [-0.5, 0.8], [0.2, -1.0], [0.6, 0.4]])
SIGMA, MEAN = 0.7, np.array([0.8, -0.5])
ROOT = np.array([[1.5, 0.0], [0.6, 0.5]])
POSTERIOR = np.linalg.inv(W.T @ W / SIGMA**2 + np.eye(2))
A = POSTERIOR @ W.T / SIGMA**2
SCALE = np.sqrt(np.diag(POSTERIOR))


def made(n: int = 300, weight: np.ndarray | None = None) -> Dataset:
    """Rows whose latents are N(MEAN, ROOT ROOT'), not N(0, I)."""
    rng = np.random.default_rng(0)
    z = MEAN + rng.standard_normal((n, 2)) @ ROOT.T
    x = (z @ W.T + SIGMA * rng.standard_normal((n, 4))).astype(np.float32)
    columns = tuple(Column(f"x{i}") for i in range(4))
    split = np.where(np.arange(n) < 60, 2, 0).astype(np.uint8)
    ids = np.arange(n)
    return Dataset(x, Schema((4,), "real", columns=columns), ids.astype(np.uint32), ids, split, "made", weight=weight)


def linear(data: Dataset) -> TrainedModel:
    """The linear model with its exact posterior (its diagonal), as a recipe builds it."""
    chosen = {"network.hidden": [], "posterior.latent_dim": 2, "posterior.scale": "log-scale", "training.steps": 1}
    chosen |= {"likelihood.family": "normal", "likelihood.scale": "fixed", "likelihood.fixed_scale": SIGMA}
    experiment = prepare(override(get_recipe("default").config, chosen), data)
    up, down = (Dense(widths, key=jax.random.key(0)) for widths in ([4, 4], [2, 4]))
    weight, bias = np.zeros((4, 4)), np.zeros(4)
    weight[:, :2], bias[2:] = A.T, np.log(SCALE)
    where = lambda net: (net.layers[0].weight, net.layers[0].bias)  # noqa: E731
    up = eqx.tree_at(where, up, (jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32)))
    down = eqx.tree_at(where, down, (jnp.asarray(W.T, jnp.float32), jnp.zeros(4)))
    model = experiment.new_model()
    model = eqx.tree_at(lambda m: (m.encoder.network, m.decoder.network), model, (up, down))
    return experiment.trained(model)


def exact_moments(x: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    means = x.astype(np.float64) @ A.T
    return np.average(means, axis=0, weights=weight), np.cov(means.T, ddof=0, aweights=weight) + np.diag(SCALE**2)


def test_the_change_in_log_p_is_the_one_of_the_formula() -> None:
    data = made()
    trained, test = linear(data), data.subset("test")
    mean, covariance = exact_moments(data.x[data.subset("train")])
    noise = SIGMA**2 * np.eye(4)
    new = stats.multivariate_normal(W @ mean, W @ covariance @ W.T + noise).logpdf(data.x[test])
    old = stats.multivariate_normal(np.zeros(4), W @ W.T + noise).logpdf(data.x[test])
    gains = [refit_prior(trained, data, "normal", num_samples=400, seed=seed).gain for seed in range(6)]
    values = np.array([gain.value for gain in gains if gain is not None])
    assert len(values) == 6
    assert np.mean(new - old) > 0.1
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert error < 0.01
    assert abs(values.mean() - np.mean(new - old)) < 5 * error + 1e-3  # the bias of log p(x) with 400 draws
    paired = np.std(new - old, ddof=1) / np.sqrt(len(test))
    assert gains[0] is not None
    assert gains[0].standard_error == pytest.approx(paired, rel=0.05)


def test_a_fit_takes_the_steps_and_the_seed_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, asked = linear(made()), []
    fit = lambda work: asked.append((work.steps, work.seed)) or trained.model.prior_part  # noqa: E731
    monkeypatch.setitem(PRIORS, "flow", replace(PRIORS["flow"], fit=fit))
    monkeypatch.setattr(prior_refit, "_gain", lambda *rest: None)
    for given in ({}, {"steps": 7, "seed": 3}):
        refit_prior(trained, made(), "flow", **given)
    assert asked == [(2000, 0), (7, 3)]


@pytest.mark.parametrize("full", [False, True])
def test_a_mixture_finds_planted_clusters(full: bool) -> None:
    rng, n = np.random.default_rng(0), 3000
    centres, shares = np.array([[-4.0, 0.0], [3.0, 2.0], [1.0, -5.0]]), np.array([0.2, 0.3, 0.5])
    root = np.array([[0.5, 0.0], [0.4, 0.3]]) if full else np.diag([0.5, 0.3])
    which = rng.choice(3, n, p=shares)
    draws = centres[which] + rng.standard_normal((n, 2)) @ root.T
    prior = mixture_of(draws, 3, full=full)
    order = [int(np.argmin(np.linalg.norm(np.asarray(prior.loc) - c, axis=1))) for c in centres]
    covariance = root @ root.T
    for place, cluster in enumerate(order):
        count = int((which == place).sum())
        deviation = np.abs(np.asarray(prior.loc)[cluster] - centres[place])
        assert np.all(deviation < 5 * np.sqrt(np.diag(covariance) / count))
        assert np.exp(prior.logits[cluster]) == pytest.approx(count / n, abs=1e-3)
        component = prior(None).component(cluster)
        found = component.covariance() if full else np.diag(np.exp(2 * np.asarray(component.log_scale)))
        assert np.abs(np.asarray(found) - covariance).max() < 5 * 0.25 * np.sqrt(3 / count)
    with pytest.raises(ConfigError, match="from 1 to the 3 samples, not 4"):
        mixture_of(draws[:3], 4, full=full)


def point(x, *, cond=None, mask=None, key=None):
    return Deterministic(jnp.asarray(x, jnp.float32)[:2])


def test_a_flow_reaches_the_entropy_of_what_it_is_fitted_to() -> None:
    rng, covariance = np.random.default_rng(0), ROOT @ ROOT.T * 0.01
    x = (MEAN + 0.1 * rng.standard_normal((2000, 2)) @ ROOT.T).astype(np.float32)
    ids = np.arange(2000)
    data = Dataset(x, Schema((2,), "real"), ids.astype(np.uint32), ids, (ids % 10 == 0).astype(np.uint8), "made")
    layers = tuple(Autoregressive.create(2, 0, 16, key=jax.random.key(k)) for k in range(2))
    inside = Inverse(Stack(layers))
    from latens.distributions import StandardNormal

    flow = Transformed(StandardNormal((2,)), Scaled(inside, jnp.zeros(2), jnp.zeros(2)))
    model = LatentModel(StandardNormal((2,)), point, point)
    fitted = fit_flow(flow, model, data, preparation=Preparation(), steps=600)
    fresh = (MEAN + 0.1 * rng.standard_normal((4000, 2)) @ ROOT.T).astype(np.float32)
    exact = stats.multivariate_normal(MEAN, covariance).logpdf(fresh)
    gap = exact - np.asarray(jax.vmap(fitted.log_prob)(jnp.asarray(fresh)), np.float64)
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    # The gap is a KL divergence: not below 0, and small beside the 0.34 nats that independent units would cost.
    assert -5 * error < gap.mean() < 0.05
    z, density = fitted.sample_and_log_prob(key=jax.random.key(1))
    assert float(fitted.log_prob(z)) == pytest.approx(float(density), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("mixtur", {}, "Did you mean 'mixture'"),
        ("normal", {"components": 3}, "no option 'components'"),
        ("mixture", {"layers": 3}, "Valid: components"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, options: dict, words: str) -> None:
    data = made(80)
    with pytest.raises(ConfigError, match=words):
        refit_prior(linear(data), data, kind, options=options)


@pytest.mark.slow
def test_the_command_writes_beside_the_old_run(latens: Callable[..., Result], tmp_path: Path) -> None:
    # Its codes were hardly held to the standard Normal, so another prior fits them better.
    run_folder = tmp_path / "run"
    small = ("--set", "network.hidden=32", "--set", "posterior.latent_dim=3", "--set", "objective.beta=0.1")
    assert latens("fit", "digits", "--epochs", 6, *small, "--num-samples", 20, "--out", run_folder).code == 0
    before = (run_folder / "model.safetensors").read_bytes()
    done = latens("refit", run_folder, "--prior", "mixture", "--components", 16, "--num-samples", 200, "--json")
    assert done.code == 0, done.err
    folder = Path(done.json["out"])
    assert folder == run_folder.with_name(f"{run_folder.name}-mixture")
    assert done.json["gain"]["value"] > 5 * done.json["gain"]["standard_error"]
    assert (run_folder / "model.safetensors").read_bytes() == before
    # The two numbers of the two runs differ by the change that was reported.
    old, new = (latens("evaluate", run, "--num-samples", 200, "--json").json["metrics"] for run in (run_folder, folder))
    changed = new["log_marginal"]["value"] - old["log_marginal"]["value"]
    assert changed == pytest.approx(done.json["gain"]["value"], abs=1e-3)
    assert latens("sample", folder, "-n", 3, "--out", tmp_path / "s.npz").code == 0
    twice = latens("refit", run_folder, "--prior", "mixture", "--dry-run", "--json")
    assert Path(twice.json["out"]).name == f"{run_folder.name}-mixture-2"
    assert latens("refit", run_folder, "--prior", "mixtur").code == 2
    assert latens("refit", run_folder, "--prior", "normal", "--components", 2, "--out", tmp_path / "n").code == 4
    assert latens("refit", run_folder, "iris").code == 3
    assert latens("resume", folder, "--json").json["state"] == "done"


def test_the_command_offers_the_kinds_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["refit", "--help"])
    choices = re.findall(r"--prior \{(.*?)\}", "".join(capsys.readouterr().out.split()).replace("--prior", "--prior "))
    assert {tuple(words.split(",")) for words in choices} == {tuple(PRIORS)}
    assert {name for kind in PRIORS.values() for name in kind.options} == set(_OPTIONS)


def test_codes_that_read_a_label_get_a_prior_of_each_class():
    rng, n = np.random.default_rng(0), 120
    label, ids = rng.integers(0, 2, n).astype(np.int32), np.arange(n)
    x = (np.where(label, 3.0, -3.0)[:, None] + rng.normal(size=(n, 4))).astype(np.float32)
    split = np.where(np.arange(n) < 20, 2, 0).astype(np.uint8)
    schema = Schema((4,), "real", columns=tuple(Column(f"x{i}") for i in range(4)), classes=("a", "b"))
    data = Dataset(x, schema, ids.astype(np.uint32), ids, split, "made", label)
    small = {"label": "condition", "network.hidden": 8, "posterior.codes": 3, "posterior.latent_dim": 8}
    config = override(get_recipe("vq-vae").config, {**small, "training.steps": 1})
    experiment = prepare(config, data)
    trained = experiment.trained(experiment.new_model())
    found, gain = refit_prior(trained, data, "transformer", options={"layers": 1, "width": 8, "together": 2}, steps=3)
    assert found.config.label.prior == "class"
    prior = found.model.prior_part
    assert prior.network.classes.shape == (2, 8)
    assert prior.network.together == 2
    assert gain.n == 20
    again = TrainedModel.from_bytes(found.to_bytes())
    of = lambda m: jax.vmap(lambda y: m.prior(cond={"label": y}).log_prob(jnp.zeros(8)))(jnp.eye(2))  # noqa: E731
    np.testing.assert_array_equal(of(found.model), of(again.model))
    assert of(found.model)[0] != of(found.model)[1]
