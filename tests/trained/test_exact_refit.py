"""A prior fitted after training, with codes, weights and mixtures that are given: densities, choices, what is kept."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from msgspec import structs
from scipy import special, stats
from tables import MU, SIGMA, W, X, batch_of, linear_gaussian

from latens.config import override
from latens.data.dataset import Batch
from latens.errors import ConfigError
from latens.evidence import Estimate
from latens.models import FullMixturePrior, MixturePrior
from latens.recipes import get_recipe
from latens.trained import prior_refit as refit

RANDOM = np.random.default_rng(0)
LOGITS, LOC = np.array([0.2, -0.5, 1.0]), RANDOM.normal(size=(3, 2))
LOG_SCALE, FACTOR = 0.4 * RANDOM.normal(size=(3, 2)), 0.5 * RANDOM.normal(size=(3, 2, 2))
DIAGONAL = MixturePrior(*(jnp.asarray(part, jnp.float32) for part in (LOGITS, LOC, LOG_SCALE)), 3)
FULL = FullMixturePrior(*(jnp.asarray(part, jnp.float32) for part in (LOGITS, LOC, FACTOR)), 3)


def log_mixture(z: np.ndarray, full: bool) -> np.ndarray:
    roots = [np.tril(f, -1) + np.diag(np.exp(np.diag(f))) for f in FACTOR] if full else map(np.diag, np.exp(LOG_SCALE))
    parts = [stats.multivariate_normal(m, root @ root.T).logpdf(z) for m, root in zip(LOC, roots)]
    return special.logsumexp(special.log_softmax(LOGITS)[:, None, None] + np.array(parts), axis=0)


@pytest.mark.parametrize("full", [False, True])
def test_the_density_of_a_mixture_is_scipys(full: bool) -> None:
    z = 2.0 * RANDOM.normal(size=(4, 5, 2))
    close(refit._log_density(FULL if full else DIAGONAL, z), log_mixture(z, full), rtol=1e-5)


def test_weights_of_draws_without_the_prior_are_those_of_the_formula() -> None:
    model, batch = linear_gaussian(), batch_of(np.stack([X, -X]).astype(np.float32))
    z, rest, own = refit._weights(model, batch, jax.random.key(0), num_samples=6, samples_per_chunk=4)
    assert z.shape == (2, 6, 2)
    assert len(np.unique(np.asarray(z)[..., 0])) == 12
    close(own, stats.norm.logpdf(z).sum(-1), rtol=1e-4)
    mean, scale = ((np.stack([X, -X]) - MU) @ W @ np.linalg.inv(P := W.T @ W / SIGMA**2 + np.eye(2)) / SIGMA**2,
                   np.diag(P) ** -0.5)  # fmt: skip
    log_q = stats.norm.logpdf(z, mean[:, None], scale).sum(-1)
    log_x = stats.norm.logpdf(np.stack([X, -X])[:, None], np.asarray(z) @ W.T + MU, SIGMA).sum(-1)
    close(rest, log_x - log_q, rtol=1e-4, atol=1e-4)


def test_codes_of_rows_come_as_often_as_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    drawn = lambda rows, num_draws: counts.append(num_draws) or np.repeat(np.arange(4.0), num_draws)[:, None]  # noqa: E731
    monkeypatch.setattr(refit, "aggregated_draws", drawn)
    trained = SimpleNamespace(rows=lambda rows, key: rows)
    plain = refit._codes_of(batch_of(np.zeros((4, 1))), trained, 40, 0)
    np.testing.assert_array_equal(plain[:, 0], np.repeat(np.arange(4.0), 10))
    weight = np.array([0.0, 1.0, 3.0, 0.0])
    codes = refit._codes_of(batch_of(np.zeros((4, 1)), weight=jnp.asarray(weight)), trained, 4000, 0)[:, 0]
    assert (len(codes), set(codes)) == (4000, {1.0, 2.0})
    assert abs(np.mean(codes == 2.0) - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 4000)
    refit._codes_of(batch_of(np.zeros((4, 1))), trained, 3, 0)
    assert counts == [10, 1000, 1]


CONFIG = override(get_recipe("default").config, {"data.validation": "split", "training.seed": 5})


@dataclass
class Told:
    """As much of a trained model and its data as a fit at the end asks for."""

    weight: jax.Array | None
    config: Any = CONFIG
    model: Any = field(default_factory=linear_gaussian)
    facts: dict = field(default_factory=dict)

    def subset(self, split: str) -> np.ndarray:
        return np.arange(20)

    def batch(self, data: Any, rows: np.ndarray) -> Batch:
        return batch_of(np.zeros((len(rows), 3)), weight=self.weight)

    def rows(self, batch: Batch, seed: int) -> Batch:
        assert seed == 5
        return batch

    def with_facts(self, **facts: Any) -> "Told":
        return replace(self, facts=facts)


@pytest.mark.parametrize(
    ("shift", "noise", "kept"), [(0.02, 0.01, False), (0.2, 0.01, True), (0.2, 1.0, False), (-1.0, 0.01, False)]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_mixture_is_kept_where_it_gains(
    monkeypatch: pytest.MonkeyPatch, shift: float, noise: float, kept: bool, weighted: bool
) -> None:
    """Of both mixtures the better; by more than two standard errors, and by a twentieth of a nat."""
    rng = np.random.default_rng(1)
    z, rest = rng.normal(size=(20, 50, 2)), rng.normal(size=(20, 50))
    former = log_mixture(z, True) - shift + noise * np.resize([[1.0], [-1.0]], (20, 1))
    worse = replace(DIAGONAL, loc=DIAGONAL.loc + 40.0)
    monkeypatch.setattr(refit, "_codes_of", lambda rows, trained, most, seed: np.zeros((30, 2)))
    monkeypatch.setattr(refit, "mixture_of", lambda codes, components, full, seed: FULL if full else worse)
    monkeypatch.setattr(refit, "map_draws", lambda function, rows: (z, rest, former))
    monkeypatch.setattr(refit, "_measured", lambda trained: "log p(x)")
    weight = rng.integers(1, 4, 20).astype(float) if weighted else None
    told = Told(None if weight is None else jnp.asarray(weight))
    found = refit.refitted_at_end(told, told, seen=10**6)  # type: ignore[arg-type]
    rows = special.logsumexp(log_mixture(z, True) + rest, axis=1) - special.logsumexp(former + rest, axis=1)
    expected, said = Estimate.of(rows, num_samples=50, protocol="", weight=weight), found.facts["refit"]
    assert (said["kept"], said["prior"]) == (kept, "full-mixture")
    assert said["gain"]["value"] == pytest.approx(expected.value, abs=1e-5)
    assert said["gain"]["standard_error"] == pytest.approx(expected.standard_error, rel=1e-3)
    assert (found.config.prior.kind == "full-mixture") is kept
    assert (found.model.prior_part is FULL) is kept


@pytest.mark.parametrize(
    ("settings", "kind", "where"),
    [
        ({}, "mixtures", "prior"),
        ({}, "transformer", "prior"),
        ({"posterior.kind": "vq", "posterior.codes": 4}, "mixture", "prior"),
        ({"label.kind": "condition"}, "mixture", "label.kind"),
        ({"label.kind": "predict"}, "flow-matching", "label.kind"),
    ],
)
def test_priors_that_do_not_go_with_a_model_are_refused(settings: dict, kind: str, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refit.refuse_refit(override(CONFIG, settings), kind)
    assert refused.value.where == where


def test_a_prior_that_is_worse_by_two_errors_is_warned_of() -> None:
    for value, warns in ((-3.0, True), (-1.9, False), (0.5, False)):
        gain = replace(Estimate.of(np.zeros(5), num_samples=1, protocol=""), value=value, standard_error=1.0)
        assert bool(refit.Refitted(None, gain).warning) is warns
    assert refit.Refitted(None, None).warning == ""
    refit.refuse_refit(override(CONFIG, {"label.kind": "condition"}), "flow-matching")
    refit.refuse_refit(structs.replace(CONFIG), "flow")
