"""What an objective is: a number to minimise, and honest numbers to report, of samples and their log weights."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from latens.data.dataset import Batch
from latens.distributions import (
    AbstractDistribution,
    AbstractFactorised,
    AbstractReparameterised,
    as_reparameterised,
    has_closed_form,
    kl_terms,
)
from latens.errors import ConfigError
from latens.models import AbstractJointModel, AbstractLatentModel
from latens.runtime import random_keys
from latens.trainable import partition_trainable, said
from latens.typing import AnyArray, Array, Cond, Float, Int, Key, Mask, Nats, PyTree, Shaped, Step, check_options

Statistic = Callable[[AbstractDistribution, AbstractDistribution, Any, Any], PyTree]
"""A function of one row's (posterior, prior, z led by K, x), evaluated inside the row's vmap."""


class Draws(eqx.Module):
    r"""K posterior samples for each of B rows, with their log densities.

    It holds no distribution.

    Args:
        z: Latent events, every leaf with the leading axes (K, B).
        log_likelihood: $\log p(x \mid z)$, shape (K, B), nats.
        log_prior: $\log p(z)$, shape (K, B), nats.
        log_posterior: $\log q(z \mid x)$, shape (K, B), nats.
        statistics: What the named functions given to `draw` returned, every leaf with B as its leading axis.
        kl: The KL of each level from its prior by formula, given the draws of the levels before it, of shape (K, B, L),
            nats; None where the model gives none (an `AbstractJointModel` does).
    """

    z: PyTree[Shaped[Array, "K B ..."]]
    log_likelihood: Float[Array, "K B"]
    log_prior: Float[Array, "K B"]
    log_posterior: Float[Array, "K B"]
    statistics: dict[str, PyTree[Shaped[Array, "B ..."]]]
    kl: Float[Array, "K B L"] | None = None

    @property
    def log_weight(self) -> Float[Array, "K B"]:
        r"""The logarithm of the importance weight of each sample.

        $\log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x)$, shape (K, B), nats.
        """
        return self.log_likelihood + self.log_prior - self.log_posterior


def path_to(posterior: AbstractDistribution, z: PyTree) -> PyTree:
    """Return a sample unchanged, and refuse a gradient through it where it is no smooth function of the parameters."""
    # Such a gradient would silently lack a term.
    part = posterior.without_path(z)
    if part is None:
        return z
    name, has_path = type(part).__name__, said(part, "has_path", of=("sample",))

    @jax.custom_jvp
    def guarded(z: PyTree, parameters: list[Array]) -> PyTree:
        return z

    @guarded.defjvp
    def _refuse(primals: tuple, tangents: tuple) -> tuple:
        if has_path is None:
            raise ConfigError(
                f"{name} does not say whether its samples have a gradient by its parameters.",
                where="objective",
                fix="Write `has_path: ClassVar[bool] = True` in the class where `sample` is a smooth function of all "
                "parameters, else False.",
            )
        raise ConfigError(
            f"samples of a {name} posterior have no gradient by its parameters.",
            where="objective",
            fix="Use ScoreFunction, "
            + (
                "or StratifiedELBO (objective=stratified-elbo) for experts."
                if name == "Mixture"
                else "or a relaxed posterior."
            ),
        )

    return guarded(z, [leaf for leaf in jax.tree.leaves(posterior) if eqx.is_inexact_array(leaf)])


class _How(NamedTuple):
    """How samples of a posterior are drawn."""

    shaped: bool  # whether they are functions of noise that is given or scaled
    noise_scale: float
    reparameterised: bool
    stop_posterior_gradient: bool

    @property
    def plain(self) -> bool:
        """Whether they are the posterior's own."""
        return self.reparameterised and not (self.shaped or self.stop_posterior_gradient)

    def of(self, posterior: AbstractDistribution) -> Callable[[Key, Any], tuple[Any, Array]]:
        """Give what draws a sample and its log density, from a key and noise that may be given."""
        if self.noise_scale != 1.0 and not isinstance(posterior, AbstractReparameterised):
            what = (
                f"samples of a {type(posterior).__name__} posterior are not a function of noise that could be scaled."
            )
            fix = "Leave the scale at 1, or use a posterior such as normal, full-normal or iaf."
            raise ConfigError(what, where="objective.noise_scale", fix=fix)
        density = jax.lax.stop_gradient(posterior) if self.stop_posterior_gradient else posterior
        of_noise = as_reparameterised(posterior) if self.shaped else None

        def place(key: Key, given: PyTree) -> tuple[Any, Array]:
            if self.plain:
                z, log_posterior = posterior.sample_and_log_prob(key=key)
                return path_to(posterior, z), log_posterior
            if of_noise is not None:
                raw = of_noise.sample_noise(key=key) if given is None else given
                z = of_noise.from_noise(jax.tree.map(lambda leaf: self.noise_scale * leaf, raw))
            else:
                z = posterior.sample(key=key)
            z = path_to(posterior, z) if self.reparameterised else jax.lax.stop_gradient(z)
            return z, density.log_prob(z)

        return place


def draw(
    model: AbstractLatentModel,
    batch: Batch,
    *,
    num_samples: int,
    first_sample: int | Int[Array, ""] = 0,
    key: Key | None = None,
    noise: PyTree[Float[Array, "K B ..."]] | None = None,
    noise_scale: float = 1.0,
    statistics: dict[str, Statistic] | None = None,
    reparameterised: bool = True,
    stop_posterior_gradient: bool = False,
    dropout: bool = True,
) -> Draws:
    r"""Sample the posterior of every row and evaluate the log densities of likelihood, prior and posterior there.

    $z_k \sim q(z \mid x)$ for every row, with $\log p(x \mid z)$, $\log p(z)$ and $\log q(z \mid x)$.

    Args:
        model: The model.
        batch: The rows, B of them.
        num_samples: K, samples for each row.
        first_sample: Number of the first sample, so that K can be drawn in parts.
        key: Random key. Row i uses `fold_in(key, row_id[i])` and sample k `fold_in(row_key, k)`, so permuting, chunking
            or padding a batch keeps every row's noise.
        noise: Noise in the place of the key, for reparameterised posteriors: as `sample_noise` of the posterior gives
            it, every leaf with the leading axes (K, B). Zero noise gives the mean exactly.
        noise_scale: Factor on the noise. Other than 1, the log weights are those of the sampled z and no longer
            importance weights.
        statistics: Named functions of (posterior, prior, z, x), evaluated row by row.
        reparameterised: False stops the gradient through z (score-function estimators).
        stop_posterior_gradient: True stops the gradient through the parameters of $\log q$ (sticking the landing,
            DReG).
        dropout: False gives the networks no key of their own, so that nothing in them is random. With a key, a network
            drops as its mode says (`equinox.nn.inference_mode` switches it off); given noise alone, none does.

    Returns:
        The samples and their log densities in nats.

    Raises:
        TypeError: Where given noise meets a posterior that is not reparameterised, or without a key and without noise.
        ConfigError: Where a noise scale meets a posterior that is not reparameterised, or a gradient is taken through
            the samples of a discrete posterior.
    """
    if key is None and noise is None:
        raise TypeError("draw needs a key or given noise")
    dropout = dropout and key is not None
    key = jax.random.key(0) if key is None else key
    how = _How(noise is not None or noise_scale != 1.0, noise_scale, reparameterised, stop_posterior_gradient)

    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask, row_noise: PyTree) -> tuple:
        row_key = jax.random.fold_in(key, row_id)
        network_key = jax.random.fold_in(row_key, random_keys.NETWORK_DROPOUT) if dropout else None
        encoder_key = None if network_key is None else jax.random.fold_in(network_key, num_samples)
        posterior = model.posterior(x, cond=cond, mask=mask, key=encoder_key)
        place = how.of(posterior)

        def one_sample(index: Array, given: PyTree) -> tuple:
            sample_key = jax.random.fold_in(row_key, index)
            if how.plain and isinstance(model, AbstractJointModel):
                return tuple(model.draw_joint(posterior, x, cond=cond, mask=mask, key=sample_key))
            z, log_posterior = place(sample_key, given)
            decoder_key = None if network_key is None else jax.random.fold_in(network_key, index)
            log_prior, log_likelihood = model.log_joint(z, x, cond=cond, mask=mask, key=decoder_key)
            return z, log_likelihood, log_prior, log_posterior, None

        if num_samples == 1:
            # The same numbers without an axis of length 1, which costs a tenth of a training step on CPU.
            single = one_sample(jnp.asarray(first_sample), jax.tree.map(lambda leaf: leaf[0], row_noise))
            samples = jax.tree.map(lambda leaf: leaf[None], single)
        else:
            samples = jax.vmap(one_sample)(first_sample + jnp.arange(num_samples), row_noise)
        if not statistics:
            return samples, {}
        prior = model.prior(cond=cond)
        return samples, {name: fn(posterior, prior, samples[0], x) for name, fn in statistics.items()}

    given = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), noise)
    rows = (batch.x, batch.row_id, batch.cond, batch.mask, given)
    drawn, values = jax.vmap(one_row, out_axes=((1, 1, 1, 1, 1), 0))(*rows)
    z, log_likelihood, log_prior, log_posterior, kl = drawn
    return Draws(z, log_likelihood, log_prior, log_posterior, values, kl)


Metrics = dict[str, tuple[Nats, Float[Array, ""]]]
"""Name -> (weighted sum over the batch, sum of weights); the mean is formed once, at the edge."""

Loss = tuple[Nats, Metrics]
"""What is minimised, and the metrics that are reported beside it."""

Reported = dict[str, Any]
"""Name -> one value for each row, shape (B,), or a pair as in `Metrics`."""


class AbstractObjective(eqx.Module):
    """What training minimises: a number computed from a model and a batch, with the metrics to report beside it.

    An objective is called as `objective(model, batch, key=..., step=...)` and returns what to minimise and the metrics,
    each as one value for each row. `run_objective` makes means of them that leave padding out; a number that is no mean
    over rows is made with `weighted`, which does the same. In training the model that is given has this step's weights
    and drops activations wherever a key reaches its networks, as `draw` sees to; in validation nothing is dropped.

    Attributes:
        monitor: Name of the metric that early stopping and the choice of the best epoch look at. It is computed at
            beta 1 and without penalties.
        maximise: Whether a larger `monitor` is better.
        critic_sees: What enters the critic of an objective that has one: "codes" for the flat latent event, "row" for
            the flat row.
        needs_density: Whether it asks for the density of q(z | x), which a deterministic encoder does not have.
        of_codes: Whether it is of quantised codes, and of nothing else.
        uses_prior: Whether the prior is in it; else the model has nothing to sample from until one is fitted.
        trains_prior: By what the prior is trained: by its "density", by its "samples", which have no gradient by the
            weights of a mixture, or by "nothing".
        has_likelihood: Whether p(x | z) is a density that says something of x; else only samples are measured.
    """

    monitor: ClassVar[str]
    maximise: ClassVar[bool] = True
    needs_density: ClassVar[bool] = True
    of_codes: ClassVar[bool] = False
    uses_prior: ClassVar[bool] = True
    trains_prior: ClassVar[Literal["density", "samples", "nothing"]] = "density"
    has_likelihood: ClassVar[bool] = True
    critic_sees: ClassVar[tuple[Literal["codes", "row"], ...]] = ("codes",)

    def __check_init__(self) -> None:
        check_options(self, "objective.")

    @abstractmethod
    def __call__(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step
    ) -> tuple[Nats | Float[Array, " B"], Reported]:
        """Compute what to minimise and the metrics to report."""

    def remarks(self) -> list[str]:
        """Say what a reader of this objective's numbers has to know: nothing, for most.

        Returns:
            Sentences without a full stop, which stand among the reasons of a training.
        """
        return []

    def couples_rows(self) -> str | None:
        """Say what of the number minimised is not a mean over rows, so that a batch cannot be cut into shards.

        Terms of the parameters alone are no reason: every shard has them.

        Returns:
            A clause such as "its distance is that of a whole batch"; "" where every row counts by itself, as for
            `by_row`; None where the class does not say it, and a single number is then not cut into shards.
        """
        return None

    def in_validation(self) -> "AbstractObjective":
        """The objective that validation reports: itself, unless training changes the samples that it is made of.

        Returns:
            An objective whose metrics have the same names.
        """
        return self

    def with_aux(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step
    ) -> tuple[Nats | Float[Array, " B"], Reported, PyTree]:
        """Compute what to minimise and the metrics, together with what `after_update` needs of this step's work.

        Args:
            model: The model that is trained.
            batch: The rows, B of them.
            key: Random key of this step.
            step: Number of the training step, from 0; shape ().

        Returns:
            What to minimise and the metrics, as from a call, and a tree of arrays of which no gradient is taken, or
            None.
        """
        found = self(model, batch, key=key, step=step)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Mapping)):
            what = f"{type(self).__name__} does not return a pair of a loss and a dictionary."
            fix = "Return (loss, metrics): what to minimise, and a dictionary of metrics with that of `monitor`."
            raise ConfigError(what, where="objective", fix=fix)
        return *found, None

    def after_update(
        self, model: AbstractLatentModel, aux: PyTree, *, key: Key, step: Step
    ) -> "tuple[AbstractLatentModel, AbstractObjective]":
        """Move by one step what moves without a gradient, such as moving averages and unused codes.

        Called inside the compiled step, after the optimiser's update, only where a class overrides it. It may change
        arrays in `Frozen` and integer arrays: what the optimiser trains, and may average, belongs to the optimiser
        alone.

        Args:
            model: The model after the optimiser's update.
            aux: What `with_aux` returned for this batch, from the parameters before the update.
            key: Random key of this step.
            step: Number of the training step, from 0; shape ().

        Returns:
            The model and the objective to go on with.
        """
        return model, self


def run_objective(
    objective: AbstractObjective,
    model: AbstractLatentModel,
    batch: Batch,
    *,
    key: Key,
    step: Step,
    training: bool,
    in_shards: bool = False,
) -> tuple[Nats, Metrics, PyTree]:
    """Compute an objective as a training step or a validation does: what no objective has to think of is done here.

    Rows of weight 0 cannot matter.

    Args:
        objective: The objective.
        model: The model.
        batch: The prepared rows, B of them; those of weight 0 are padding.
        key: Random key of this step.
        step: Number of the training step, from 0; shape ().
        training: Whether activations are dropped.
        in_shards: Whether the batch is a part of a larger one, over whose parts the mean is taken.

    Returns:
        The number to minimise (nats, averaged over the batch), the metrics, and what `after_update` needs, or None.

    Raises:
        ConfigError: The objective gives something that is neither a number nor one number for each row; or it gives
            one number in shards, and does not say whether it couples rows.
    """
    if not training:
        model, objective = eqx.nn.inference_mode((model, objective.in_validation()))
    batch = without_padding(batch)
    loss, metrics, aux = objective.with_aux(model, batch, key=key, step=step)
    pairs = {name: v if isinstance(v, tuple) else _by_row(objective, name, v, batch) for name, v in metrics.items()}
    if in_shards and jnp.shape(loss) == () and coupling(objective) is None:
        name = type(objective).__name__
        raise ConfigError(
            f"{name} gives one number for a whole batch, and does not say whether it is a mean over rows.",
            where="training.shards",
            fix="Give one value for each row; or write `couples_rows` in the class, which gives an empty text for a "
            "mean over rows and else the reason; or use --set training.shards=1.",
        )
    loss = loss if jnp.shape(loss) == () else mean(_by_row(objective, "what to minimise", loss, batch))
    return loss, pairs, aux


def coupling(objective: AbstractObjective) -> str | None:
    """What `couples_rows` says of the number that this class computes; None where it does not say it."""
    told = said(objective, "couples_rows", of=("__call__", "with_aux"))
    return None if told is None else told()


def by_row(self: AbstractObjective) -> str:
    """What `couples_rows` gives where every row counts by itself: `couples_rows = by_row` in the class.

    Args:
        self: The objective.

    Returns:
        The empty text.
    """
    return ""


def _by_row(objective: AbstractObjective, name: str, values: Array, batch: Batch) -> tuple[Nats, Float[Array, ""]]:
    rows = batch.row_id.shape
    if jnp.shape(values) != rows:
        raise ConfigError(
            f"{type(objective).__name__} gives {name} in the shape {jnp.shape(values)}.",
            where="objective",
            fix=f"Give one value for each row, shape {rows}, or the pair that `weighted` makes of them.",
        )
    return weighted(values, batch)


def without_padding(batch: Batch) -> Batch:
    """Put a row that counts into those of weight 0, where a NaN would reach the gradient even through `where`."""
    if batch.weight is None:
        return batch
    counts = batch.weight > 0
    first = jnp.argmax(counts)

    def filled(leaf: Array) -> Array:
        return jnp.where(counts.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, leaf[first])

    x, cond, mask = jax.tree.map(filled, (batch.x, batch.cond, batch.mask))
    return dataclasses.replace(batch, x=x, cond=cond, mask=mask)


def weighted(values: Float[Array, " B"], batch: Batch) -> tuple[Nats, Float[Array, ""]]:
    """Sum a value over the rows by weight: a metric that is right for padded, weighted and sharded batches.

    Args:
        values: One value for each row, shape (B,), usually in nats. What stands in rows of weight 0 does not matter.
        batch: The rows, with their weights.

    Returns:
        The pair (sum of weight times value, sum of weights).
    """
    weights = batch.weights
    # `where`, not a product alone: what a padded row computes must never matter, not even a NaN.
    return jnp.sum(jnp.where(weights > 0, weights * values, 0.0)), jnp.sum(weights)


def mean(pair: tuple[Nats, Float[Array, ""]]) -> Nats:
    """Divide a metric's sum by its weight, with 0 for a batch of padding alone.

    Args:
        pair: A weighted sum and the sum of its weights, as from `weighted`.

    Returns:
        The mean, in the unit of the values.
    """
    return pair[0] / jnp.where(pair[1] > 0, pair[1], 1.0)


def sum_of_squares(tree: PyTree) -> Nats:
    r"""Half the sum of squared parameters, which is the penalty called L2 or weight decay."""
    # $\frac12\sum w^2$ over the weights that are trained.
    trained = partition_trainable(tree)[0]
    leaves = jax.tree_util.tree_leaves_with_path(trained)
    name = lambda entry: getattr(entry, "name", getattr(entry, "key", ""))  # noqa: E731
    counted = [leaf for path, leaf in leaves if name(path[-1]) == "weight"]
    return sum((0.5 * jnp.sum(leaf**2) for leaf in counted), jnp.zeros(()))


def value_with_gradient(value: Nats, surrogate: Nats) -> Nats:
    """Join one number's value with the gradient of another.

    Args:
        value: The value that is reported; no gradient flows through it.
        surrogate: The number whose gradient is taken.

    Returns:
        A number equal to `value` with the gradient of `surrogate`.
    """
    return surrogate + jax.lax.stop_gradient(value - surrogate)


KL: TypeAlias = Literal["auto", "analytic", "sampled"]
"""How KL(q || p) is found: in closed form where there is one, else from draws; in closed form only; from draws only."""


def stopped(tree: PyTree) -> PyTree:
    """Return the same tree, through which no gradient flows."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


class Roles(AbstractLatentModel):
    """A model made of two: the prior and the likelihood of one, the posterior of the other."""

    # `Roles(model, stopped(model))` has the values of `model` and trains its generative part alone; a prior that reads
    # the encoder (VampPrior) counts as generative.

    generative: AbstractLatentModel  # the model whose prior and likelihood are used
    recognition: AbstractLatentModel  # the model whose posterior is used

    def prior(self, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        return self.generative.prior(cond=cond, key=key)

    def posterior(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        return self.recognition.posterior(x, cond=cond, mask=mask, key=key)

    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        return self.generative.likelihood(z, cond=cond, key=key)

    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        return self.generative.log_joint(z, x, cond=cond, mask=mask, key=key)


def generative_part(model: AbstractLatentModel) -> Roles:
    """Keep a model's values and let gradients reach its prior and likelihood only."""
    return Roles(model, stopped(model))


def recognition_part(model: AbstractLatentModel) -> Roles:
    """Keep a model's values and let gradients reach its posterior only, through z and through log q."""
    return Roles(stopped(model), model)


def sampled_metrics(draws: Draws, batch: Batch) -> Metrics:
    r"""Report the ELBO and its two parts from posterior samples alone, averaged over the K samples of a row."""
    # `kl` is $E_q[\log q - \log p]$.
    return {
        "elbo": weighted(jnp.mean(draws.log_weight, axis=0), batch),
        "log_likelihood": weighted(jnp.mean(draws.log_likelihood, axis=0), batch),
        "kl": weighted(jnp.mean(draws.log_posterior - draws.log_prior, axis=0), batch),
    }


class Evidence(NamedTuple):
    r"""The two parts of the ELBO by row, the samples they come from, and the metrics to report."""

    draws: Draws  # the posterior samples and their log densities
    log_likelihood: Float[Array, " B"]  # mean of $\log p(x \mid z)$ over the samples, shape (B,), nats
    kl: Float[Array, " B"]  # KL(q || p), shape (B,), nats
    metrics: Metrics  # `elbo`, `log_likelihood` and `kl`, in nats


def evidence(
    model: AbstractLatentModel,
    batch: Batch,
    *,
    key: Key,
    kl: KL = "auto",
    num_samples: int = 1,
    statistics: dict[str, Statistic] | None = None,
) -> Evidence:
    """Compute the two parts of the ELBO: what an objective that adds a term to it starts from."""
    wanted: dict[str, Statistic] = dict(statistics or {})
    if kl != "sampled":
        wanted["kl"] = lambda q, p, z, x: jnp.sum(kl_terms(q, p)) if by_formula(kl, q, p) else None
    draws = draw(model, batch, num_samples=num_samples, key=key, statistics=wanted)
    log_likelihood = jnp.mean(draws.log_likelihood, axis=0)
    divergence = draws.statistics.get("kl")
    if divergence is None:
        divergence = jnp.mean(draws.log_posterior - draws.log_prior, axis=0)
    metrics = {
        "elbo": weighted(log_likelihood - divergence, batch),
        "log_likelihood": weighted(log_likelihood, batch),
        "kl": weighted(divergence, batch),
    }
    return Evidence(draws, log_likelihood, divergence, metrics)


def prior_samples(model: AbstractLatentModel, batch: Batch, *, key: Key) -> PyTree:
    """Sample one event of the prior for each row, independently of the row's posterior sample."""
    # A row of the same id gets the same event.
    base = jax.random.fold_in(key, random_keys.PRIOR_SAMPLES)

    def one_row(row_id: AnyArray, cond: Cond) -> Any:
        return model.prior(cond=cond).sample(key=jax.random.fold_in(base, row_id))

    return jax.vmap(one_row)(batch.row_id, batch.cond)


def flat_codes(z: PyTree) -> Float[Array, "B n"]:
    """Lay latent events out as one vector for each row: leaves flattened and put side by side."""
    # Levels of a categorical row are whole numbers; a critic sees them as numbers.
    as_numbers = [v if eqx.is_inexact_array(v) else jnp.asarray(v, jnp.float32) for v in jax.tree.leaves(z)]
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in as_numbers]
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves, axis=1)


def decoded(model: AbstractLatentModel, z: PyTree, batch: Batch) -> Float[Array, "B n"]:
    """Compute the decoder's mean of each row, flat, with zeros where x is missing."""

    def one_row(z: PyTree, cond: Cond) -> AnyArray:
        likelihood = model.likelihood(z, cond=cond)
        if not isinstance(likelihood, AbstractFactorised):
            raise ConfigError(
                f"a {type(likelihood).__name__} likelihood has no mean by variable to compare.",
                where="likelihood.family",
                fix="Use --set likelihood.family=normal.",
            )
        return likelihood.mean()

    rows = jax.vmap(one_row)(z, batch.cond)
    return flat_rows(rows, batch.mask, rows.dtype)


def flat_rows(x: PyTree, mask: Mask, dtype: DTypeLike) -> Float[Array, "B n"]:
    """Lay rows out as a critic sees them, with zeros where they are missing."""
    x = x if mask is None else jax.tree.map(lambda leaf, m: jnp.where(m, leaf, jnp.zeros_like(leaf)), x, mask)
    return flat_codes(x).astype(dtype)


def require(holds: bool, message: str, where: str, fix: str = "") -> None:
    """Refuse an option of an objective unless a condition holds."""
    if not holds:
        raise ConfigError(message, where=f"objective.{where}", fix=fix)


def by_formula(kl: KL, q: AbstractDistribution, p: AbstractDistribution) -> bool:
    """Say whether an objective takes KL(q || p) in closed form rather than from samples."""
    return kl == "analytic" or (kl == "auto" and has_closed_form(q, p))
