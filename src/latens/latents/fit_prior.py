"""The aggregated posterior, what a prior would be if it were fitted to the rows: its moments, draws and fits."""

import math
from typing import Any, ClassVar, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data import Dataset, Preparation, Schema
from latens.data.dataset import Batch
from latens.distributions import Deterministic, DiagonalNormal, FullNormal
from latens.distributions.chain import Scaled
from latens.errors import ConfigError
from latens.evidence.batched import ModelRows, map_rows
from latens.models import (
    AbstractLatentModel,
    AbstractModelPrior,
    FlowMatching,
    FullMixturePrior,
    LatentModel,
    MixturePrior,
)
from latens.objectives import AbstractObjective, by_row
from latens.objectives.base import Metrics, mean, weighted
from latens.runtime.compilation import counted
from latens.trainable import Frozen, held
from latens.training import Budget, Settings, Stage, fit, make_optimizer
from latens.typing import AnyArray, Array, Cond, Float, Int, Key, Mask, Nats, PyTree

_RIDGE = 1e-6
"""Of the mean variance, added to every variance: a unit that never moves has no density."""


class LatentMoments(NamedTuple):
    """The first two moments of latents, in float64."""

    mean: np.ndarray
    covariance: np.ndarray


def top_level(z: PyTree) -> PyTree:
    """Pick what a prior is fitted to: the latent, of a hierarchy its highest level."""
    return z[-1] if isinstance(z, tuple) else z


@counted(num_draws=1)
def aggregated_draws(rows: ModelRows, *, num_draws: int = 1) -> np.ndarray:
    """Some samples of q(z | x) for every row, of a hierarchy its highest level: the aggregated posterior."""
    drawn = map_rows(Partial(_draws, num_draws=num_draws), rows)
    return drawn.reshape(len(drawn) * num_draws, -1)


def _draws(model: AbstractLatentModel, batch: Batch, key: Key, num_draws: int) -> Float[Array, "B M *z"]:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        posterior = model.posterior(x, cond=cond, mask=mask)
        keys = jax.random.split(jax.random.fold_in(key, row_id), num_draws)
        return jax.vmap(lambda k: top_level(posterior.sample(key=k)))(keys)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


@counted(num_draws=1)
def aggregated_moments(rows: ModelRows, *, num_draws: int = 20) -> LatentMoments:
    """The mean and the covariance of the aggregated posterior."""
    # Of $\bar q(z) = \frac1N\sum_i q(z \mid x_i)$: $E[\mu_i]$ and $\mathrm{Cov}[\mu_i] + E[\Sigma_i]$ (both over the N
    # rows, weighted where they have weights): exact for posteriors whose mean and covariance are known (Normals, point
    # masses); of others, also of the highest level of a hierarchy, from `num_draws` samples of each row.
    weight = np.ones(len(rows.batch.row_id)) if rows.batch.weight is None else np.asarray(rows.batch.weight, np.float64)
    found = map_rows(_moments, rows)
    if found is None:
        draws = aggregated_draws(rows, num_draws=num_draws)
        weight, within = np.repeat(weight, num_draws), 0.0
    else:
        draws, spread = (np.asarray(part, np.float64) for part in found)
        within = np.tensordot(weight / weight.sum(), spread, axes=1)
    share = weight / weight.sum()
    mean = share @ np.asarray(draws, np.float64)
    centred = draws - mean
    return LatentMoments(mean, (share[:, None] * centred).T @ centred + within)


def _moments(model: AbstractLatentModel, batch: Batch, key: Key) -> tuple[Array, Array] | None:
    """(mean, covariance) of each row's posterior, None where they have no formula."""

    def one_row(x: PyTree, cond: Cond, mask: Mask) -> tuple[Array, Array] | None:
        posterior = model.posterior(x, cond=cond, mask=mask)
        if isinstance(posterior, DiagonalNormal):
            return posterior.loc.reshape(-1), jnp.diag(jnp.exp(2.0 * posterior.log_scale_array()).reshape(-1))
        if isinstance(posterior, Deterministic):
            return posterior.loc.reshape(-1), jnp.zeros((posterior.loc.size, posterior.loc.size))
        if isinstance(posterior, FullNormal):
            return posterior.loc, posterior.covariance()
        return None

    return jax.vmap(one_row)(batch.x, batch.cond, batch.mask)


def normal_of(moments: LatentMoments) -> FullNormal:
    """Build the Normal with these moments; a millionth of the mean variance is added to every variance."""
    covariance = np.asarray(moments.covariance, np.float64)
    ridge = _RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    return FullNormal(jnp.asarray(moments.mean, jnp.float32), _factor(covariance + ridge * np.eye(len(covariance))))


def _factor(covariance: np.ndarray) -> Float[Array, "*c n n"]:
    """Cholesky factors as `FullNormal` has them: logarithms on the diagonal."""
    lower = np.linalg.cholesky(covariance)
    diagonal = np.arange(covariance.shape[-1])
    lower[..., diagonal, diagonal] = np.log(lower[..., diagonal, diagonal])
    return held(lower)


@counted(components=1)
def mixture_of(draws: np.ndarray, components: int, *, full: bool, seed: int = 0) -> MixturePrior | FullMixturePrior:
    """Fit a mixture of Normals by EM from k-means (scikit-learn's `GaussianMixture`)."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    draws = np.asarray(draws, np.float64)
    if not 1 <= components <= len(draws):
        what = f"components must be a number from 1 to the {len(draws)} samples, not {components}."
        raise ConfigError(what, where="prior.components", fix=f"Use 1 to {len(draws)}.")
    ridge = _RIDGE * max(float(draws.var(0).mean()), 1e-12)
    kind = "full" if full else "diag"
    # `tol` is of the mean log-likelihood, in nats; a fit that stops at the limit is still a fit.
    em = GaussianMixture(components, covariance_type=kind, reg_covar=ridge, max_iter=500, random_state=seed)
    with threadpool_limits(1):  # threads for matrices this small wait for one another: 25 s in the place of 0.2
        em.fit(draws)
    logits, loc = held(np.log(np.asarray(em.weights_))), held(np.asarray(em.means_))
    if full:
        return FullMixturePrior(logits, loc, _factor(np.asarray(em.covariances_)), components)
    return MixturePrior(logits, loc, held(0.5 * np.log(np.asarray(em.covariances_))), components)


DRAWS, PASSES = 16, 4
"""Samples of q(z | x) of each row that a prior is trained on, and how often rows are prepared for them."""

MOST_DRAWN = 2**26
"""Numbers of all these samples at the most; of more rows there are fewer samples each."""


class AggregatedFit(AbstractObjective):
    r"""Fit a prior to the aggregated posterior by maximum likelihood on posterior samples, some for each row."""

    # $E_x E_{q(z|x)}[\log p(z)]$ is maximised, in nats for each row. What is trained is p(z) alone. The largest value
    # is minus the entropy of the aggregated posterior.

    monitor: ClassVar[str] = "log_prior"
    couples_rows = by_row

    model: Frozen  # the model whose posterior was sampled, frozen

    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics]:
        """Compute the negative mean log p(z) of a batch, in nats."""
        code_key, draw_key = jax.random.split(key)

        def code(draws: Float[Array, "M n"], row_id: AnyArray) -> Float[Array, " n"]:
            chosen = jax.random.randint(jax.random.fold_in(code_key, row_id), (), 0, len(draws))
            return draws[chosen]

        codes = jax.vmap(code)(batch.x, batch.row_id)
        pair = weighted(self.values(model, codes, batch, draw_key), batch)
        return -mean(pair), {self.monitor: pair}

    def values(self, model: AbstractLatentModel, codes: Float[Array, "B n"], batch: Batch, key: Key) -> Any:
        """What is maximised, for each row: log p(z) of its draw."""
        prior = cast(Any, model).prior_part
        if isinstance(prior, AbstractModelPrior):
            return jax.vmap(lambda z, cond: prior(self.model.value, cond=cond).log_prob(z))(codes, batch.cond)
        return jax.vmap(prior.log_prob)(codes)


class MatchedFit(AggregatedFit):
    """Fit the velocity of a `FlowMatching` prior to posterior samples, by the error along straight lines."""

    monitor: ClassVar[str] = "minus_squared_error"

    def values(self, model: AbstractLatentModel, codes: Float[Array, "B n"], batch: Batch, key: Key) -> Any:
        """What is maximised, for each row: minus the squared error of the velocity."""
        prior: FlowMatching = cast(Any, model).prior_part
        keys = jax.vmap(lambda row_id: jax.random.fold_in(key, row_id))(batch.row_id)
        return -jax.vmap(lambda z, cond, key: prior.loss(z, cond=cond, key=key))(codes, batch.cond, keys)


def _draws_of(model: AbstractLatentModel, data: Dataset, preparation: Preparation, size: int, seed: int) -> Dataset:
    """Some samples of q(z | x) for every row that trains or validates, as rows of their own."""
    # A step then costs what the prior does, and no pass of an encoder.
    splits = [data.subset(name) for name in ("train", "validation")]
    used = np.concatenate(splits)
    batch, passes = data.rows(used), min(PASSES, max(1, MOST_DRAWN // (size * len(used))))
    each = min(DRAWS // PASSES, max(1, MOST_DRAWN // (size * len(used) * passes)))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), passes)
    drawn = [aggregated_draws(ModelRows(model, batch, key, preparation), num_draws=each) for key in keys]
    x = np.concatenate([part.reshape(len(used), each, -1) for part in drawn], axis=1).astype(np.float32)
    own: dict[str, Any] = {name: getattr(data, name) for name in ("row_id", "names", "label", "weight")}
    own = {name: None if value is None else value[used] for name, value in own.items()}
    split = np.repeat(np.arange(2, dtype=np.uint8), [len(part) for part in splits])
    schema = Schema(x.shape[1:], "real", classes=data.schema.classes)
    return Dataset(x=x, schema=schema, split=split, name=data.name, **own)


def _scaling(moments: LatentMoments) -> tuple[Array, Array]:
    variances = jnp.diagonal(jnp.asarray(moments.covariance, jnp.float32))
    return jnp.asarray(moments.mean, jnp.float32), jnp.sqrt(jnp.maximum(variances, 1e-12))


def _fit_alone(
    prior: Any, model: AbstractLatentModel, data: Dataset, size: int, *,
    preparation: Preparation, steps: int, seed: int,
) -> Any:  # fmt: skip
    """A prior of so many numbers, trained for p(z) of the codes of `model`, the best on validation rows."""
    matched = isinstance(prior, FlowMatching)
    objective = (MatchedFit if matched else AggregatedFit)(Frozen(eqx.nn.inference_mode(model)))
    # On codes of MNIST 0.005 gains 0.2 nats of E log p(z) over 0.002, and 0.01 loses them again.
    rate = 5e-3 if matched else 2e-3
    optimizer = make_optimizer("adam", learning_rate=rate, schedule="cosine", warmup_steps=0, total_steps=steps)
    codes = _draws_of(model, data, preparation, size, seed)
    settings = Settings(batch_size=min(128, codes.count("train")), seed=seed, chunk_steps=100)
    stage = Stage(objective, optimizer, Budget(steps=steps))
    alone = LatentModel(prior, _absent, _absent)
    seen = Preparation(classes=preparation.classes)
    return cast(Any, fit(alone, codes, [stage], preparation=seen, settings=settings).model).prior_part


@counted(steps=1)
def fit_flow(
    flow: Any, model: AbstractLatentModel, data: Dataset, *, preparation: Preparation, steps: int = 2000, seed: int = 0,
) -> Any:  # fmt: skip
    """Train a flow so that its density of the aggregated posterior of the training rows is as large as it gets."""
    # flow: a `Transformed` with a `Scaled` bijection outside, or a `FlowMatching`, whose velocity is trained by its
    # error along straight lines from noise to draws instead: it starts at the codes' means and scales. The best one on
    # validation rows is given back.
    shift, scale = _scaling(_of(model, data, preparation, seed))
    if isinstance(flow, FlowMatching):
        started: Any = flow.standardised(shift, scale)
    else:
        outside = Scaled(flow.bijection.inner, shift, jnp.log(scale))
        started = eqx.tree_at(lambda f: f.bijection, flow, outside)
    return _fit_alone(started, model, data, len(shift), preparation=preparation, steps=steps, seed=seed)


@counted(steps=1)
def fit_codes(
    prior: AbstractModelPrior, model: Any, data: Dataset, *, preparation: Preparation, steps: int = 2000, seed: int = 0
) -> AbstractModelPrior:
    """Train a prior of codes under which those of the training rows are as probable as it gets."""
    # model: has a quantised posterior, whose codes they are; it stays as it is.
    size = math.prod(model.encoder.head.shape)
    return _fit_alone(prior, model, data, size, preparation=preparation, steps=steps, seed=seed)


def _absent(*operands: object, **named: object) -> Any:
    raise TypeError("a density of codes alone has no encoder and no decoder")


def _of(model: AbstractLatentModel, data: Dataset, preparation: Preparation, seed: int) -> LatentMoments:
    batch = data.rows(data.subset("train"))
    return aggregated_moments(ModelRows(model, batch, jax.random.key(seed), preparation))
