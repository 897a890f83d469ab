"""Densities fitted to the aggregated posterior by the training loop: flows and a prior of codes."""

import math
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset, Preparation, Schema
from latens.data.dataset import Batch
from latens.distributions.bijections import Scaled
from latens.evidence.batched import ModelRows
from latens.io.process import counted
from latens.latents.aggregate import LatentMoments, aggregated_draws, aggregated_moments
from latens.models import AbstractLatentModel, AbstractModelPrior, FlowMatching, LatentModel
from latens.objectives import AbstractObjective, by_row
from latens.objectives.base import Metrics, mean, weighted
from latens.trainable import Frozen
from latens.training import Budget, Settings, Stage, fit, make_optimizer
from latens.typing import AnyArray, Array, Float, Int, Key, Nats

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
    settings = Settings(batch_size=min(128, len(codes.subset("train"))), seed=seed, chunk_steps=100)
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
