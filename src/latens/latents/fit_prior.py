"""Densities fitted to the aggregated posterior by the training loop: flows, a prior of codes, a second VAE."""

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data import Dataset, Preparation, Schema
from latens.data.batches import Batch
from latens.distributions.bijections import Scaled
from latens.evidence.batched import Rows
from latens.io.process import counted
from latens.latents.aggregate import Moments, aggregated_draws, aggregated_moments
from latens.models import (
    AbstractLatentModel,
    AbstractModelPrior,
    Conditional,
    Downwards,
    FlowMatching,
    FromLowest,
    LatentModel,
    NormalHead,
    Upwards,
)
from latens.objectives import AbstractObjective, by_row
from latens.objectives.base import Metrics, mean, weighted
from latens.objectives.draws import draw
from latens.training import Budget, Settings, Stage, fit, make_optimizer
from latens.trees import Frozen
from latens.typing import Array, Float, Int, Key, Nats

DRAWS, PASSES = 16, 4
"""Samples of q(z | x) of each row that a prior is trained on, and how often rows are prepared for them."""

MOST_DRAWN = 2**26
"""Numbers of all these samples at the most; of more rows there are fewer samples each."""


class AggregatedFit(AbstractObjective):
    r"""Fit a prior to the aggregated posterior by maximum likelihood on posterior samples, some for each row."""

    # $E_x E_{q(z|x)}[\log p(z)]$ is maximised, in nats for each row. What is trained is p(z) alone: the prior of the
    # model it is given, or, of a `second` VAE, the ELBO of z under that model. The largest value is minus the entropy
    # of the aggregated posterior.

    monitor: ClassVar[str] = "log_prior"
    couples_rows = by_row

    model: Frozen  # the model whose posterior was sampled, frozen
    shift: Frozen  # what is subtracted from z first
    scale: Frozen  # what z is divided by then
    second: bool = eqx.field(static=True, default=False)  # whether z is the data of the model that is trained

    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Int[Array, ""]
    ) -> tuple[Nats, Metrics]:
        """Compute the negative mean log p(z) of a batch, in nats."""
        code_key, draw_key = jax.random.split(key)

        def code(draws: Float[Array, "M n"], row_id: Any) -> Float[Array, " n"]:
            chosen = jax.random.randint(jax.random.fold_in(code_key, row_id), (), 0, len(draws))
            return (draws[chosen] - self.shift.value) / self.scale.value

        codes = jax.vmap(code)(batch.x, batch.row_id)
        pair = weighted(self.values(model, codes, batch, draw_key), batch)
        return -mean(pair), {self.monitor: pair}

    def values(self, model: AbstractLatentModel, codes: Float[Array, "B n"], batch: Batch, key: Key) -> Any:
        """What is maximised, for each row: log p(z) of its draw."""
        if self.second:
            of_codes = dataclasses.replace(batch, x=codes, mask=None, cond=None)
            values = draw(model, of_codes, num_samples=1, key=key).log_weight[0]
        else:
            prior = _any(model).prior_part
            if isinstance(prior, AbstractModelPrior):
                values = jax.vmap(lambda z, cond: prior(self.model.value, cond=cond).log_prob(z))(codes, batch.cond)
            else:
                values = jax.vmap(prior.log_prob)(codes)
        return values - jnp.sum(jnp.log(self.scale.value))


class MatchedFit(AggregatedFit):
    """Fit the velocity of a `FlowMatching` prior to posterior samples, by the error along straight lines."""

    monitor: ClassVar[str] = "minus_squared_error"

    def values(self, model: AbstractLatentModel, codes: Float[Array, "B n"], batch: Batch, key: Key) -> Any:
        """What is maximised, for each row: minus the squared error of the velocity."""
        prior: FlowMatching = _any(model).prior_part
        keys = jax.vmap(lambda row_id: jax.random.fold_in(key, row_id))(batch.row_id)
        return -jax.vmap(lambda z, cond, key: prior.loss(z, cond=cond, key=key))(codes, batch.cond, keys)


def _train(
    part: LatentModel,
    model: Any,
    data: Dataset,
    moments: Moments,
    *,
    second: bool,
    preparation: Preparation,
    steps: int,
    seed: int,
) -> LatentModel:
    """`part` trained for p(z) of codes standardised by these moments, the best on validation rows."""
    shift, scale = (Frozen(array) for array in _scaling(moments))
    matched = isinstance(part.prior_part, FlowMatching)
    objective = (MatchedFit if matched else AggregatedFit)(Frozen(eqx.nn.inference_mode(model)), shift, scale, second)
    # On codes of MNIST 0.005 gains 0.2 nats of E log p(z) over 0.002, and 0.01 loses them again.
    rate = 5e-3 if matched else 2e-3
    optimizer = make_optimizer("adam", learning_rate=rate, schedule="cosine", warmup_steps=0, total_steps=steps)
    codes = _draws_of(model, data, preparation, len(moments.mean), seed)
    settings = Settings(batch_size=min(128, len(codes.subset("train"))), seed=seed, chunk_steps=100)
    stage = Stage(objective, optimizer, Budget(steps=steps))
    seen = Preparation(classes=preparation.classes)
    return fit(part, codes, [stage], preparation=seen, settings=settings).model


def _draws_of(model: Any, data: Dataset, preparation: Preparation, size: int, seed: int) -> Dataset:
    """Some samples of q(z | x) for every row that trains or validates, as rows of their own."""
    # A step then costs what the prior does, and no pass of an encoder.
    splits = [data.subset(name) for name in ("train", "validation")]
    used = np.concatenate(splits)
    batch, passes = data.rows(used), min(PASSES, max(1, MOST_DRAWN // (size * len(used))))
    each = min(DRAWS // PASSES, max(1, MOST_DRAWN // (size * len(used) * passes)))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), passes)
    drawn = [aggregated_draws(Rows(model, batch, key, preparation), num_draws=each) for key in keys]
    x = np.concatenate([part.reshape(len(used), each, -1) for part in drawn], axis=1).astype(np.float32)
    own: dict[str, Any] = {name: getattr(data, name) for name in ("row_id", "names", "label", "weight")}
    own = {name: None if value is None else value[used] for name, value in own.items()}
    split = np.repeat(np.arange(2, dtype=np.uint8), [len(part) for part in splits])
    schema = Schema(x.shape[1:], "real", classes=data.schema.classes)
    return Dataset(x=x, schema=schema, split=split, name=data.name, **own)


def _scaling(moments: Moments) -> tuple[Array, Array]:
    variances = jnp.diagonal(jnp.asarray(moments.covariance, jnp.float32))
    return jnp.asarray(moments.mean, jnp.float32), jnp.sqrt(jnp.maximum(variances, 1e-12))


def _still(size: int) -> Moments:
    """Moments that leave codes as they are."""
    return Moments(np.zeros(size), np.eye(size))


def _fit_alone(prior: Any, model: Any, data: Dataset, size: int, **given: Any) -> Any:
    """A prior of so many numbers, which has no use for an encoder or a decoder, trained for the codes of `model`."""
    alone = LatentModel(prior, _absent, _absent)
    return _any(_train(alone, model, data, _still(size), second=False, **given).prior_part)


@counted(steps=1)
def fit_flow(
    flow: Any, model: Any, data: Dataset, *, preparation: Preparation, steps: int = 2000, seed: int = 0
) -> Any:
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
    prior: AbstractModelPrior,
    model: Any,
    data: Dataset,
    *,
    preparation: Preparation,
    steps: int = 2000,
    seed: int = 0,
) -> AbstractModelPrior:
    """Train a prior of codes under which those of the training rows are as probable as it gets."""
    # model: has a quantised posterior, whose codes they are; it stays as it is.
    size = math.prod(model.encoder.head.shape)
    return _fit_alone(prior, model, data, size, preparation=preparation, steps=steps, seed=seed)


def _absent(*operands: Any, **named: Any) -> Any:
    raise TypeError("a density of codes alone has no encoder and no decoder")


@counted(steps=1)
def fit_second_stage(
    skeleton: LatentModel,
    model: LatentModel,
    data: Dataset,
    *,
    preparation: Preparation,
    steps: int = 2000,
    seed: int = 0,
) -> LatentModel:
    """Train a second VAE on the codes of a first one, which adds a level above them."""
    # $p(z) = \int p(u)\,p(z \mid u)\,du$ with the new level u. The result is a hierarchy of one level more, whose p(x)
    # has the usual importance-sampled estimate. skeleton: a new model of that hierarchy, whose highest level is
    # trained. Source: Dai & Wipf (2019), arXiv 1903.05789, section 4.
    above, below, encoder = (_any(part) for part in (skeleton.prior_part, model.prior_part, model.encoder))
    second = LatentModel(above.top, _calm(_any(skeleton.encoder).parts[-1]), _calm(above.parts[0]))
    # Codes are standardised for training, and the scales then moved into the first and the last weights. A scale by
    # softplus times a number is none by softplus: such codes (of a VAE: near N(0, 1)) go in as they are.
    head = _any(second.decoder).head
    folds = isinstance(head, NormalHead) and head.scale == "log-scale"
    moments = _of(model, data, preparation, seed)
    moments = moments if folds else _still(len(moments.mean))
    given = {"preparation": preparation, "steps": steps, "seed": seed}
    second = _train(second, model, data, moments, second=True, **given)
    up, down = (
        _folded(second.encoder, second.decoder, *_scaling(moments)) if folds else (second.encoder, second.decoder)
    )
    old_up = encoder.parts if isinstance(encoder, Upwards) else (encoder,)
    old_down = below.parts if isinstance(below, Downwards) else ()
    decoder = model.decoder if isinstance(encoder, Upwards) else FromLowest(_any(model.decoder))
    prior = Downwards(_any(second.prior_part), (_any(down), *old_down))
    return LatentModel(prior, Upwards((*old_up, _any(up))), decoder)


def _any(part: Any) -> Any:
    return part


def _calm(part: Conditional) -> Conditional:
    """A part whose scales start near those of zero outputs: exponentials that start anywhere ran away (tried)."""
    weight = _any(part.network).layers[-1].weight
    quiet = weight.at[:, math.prod(part.head.shape) :].multiply(0.01)
    return eqx.tree_at(lambda p: p.network.layers[-1].weight, part, quiet)


def _folded(up: Any, down: Any, shift: Array, scale: Array) -> tuple[Conditional, Conditional]:
    """Encoder and decoder of standardised codes as ones of the codes themselves; linear, so exactly the same."""
    first, last, n = up.network.layers[0], down.network.layers[-1], len(shift)
    weight = first.weight / scale[:, None]
    wide = jnp.concatenate([scale, jnp.ones(n)])
    bias = last.bias * wide + jnp.concatenate([shift, jnp.log(scale)])
    up = eqx.tree_at(
        lambda p: (p.network.layers[0].weight, p.network.layers[0].bias), up, (weight, first.bias - shift @ weight)
    )
    down = eqx.tree_at(
        lambda p: (p.network.layers[-1].weight, p.network.layers[-1].bias), down, (last.weight * wide, bias)
    )
    return up, down


def _of(model: Any, data: Dataset, preparation: Preparation, seed: int) -> Moments:
    batch = data.rows(data.subset("train"))
    return aggregated_moments(Rows(model, batch, jax.random.key(seed), preparation))
