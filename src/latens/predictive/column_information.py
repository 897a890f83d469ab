"""What the columns of a row say about one another: mutual information under a model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from latens.distributions.base import AbstractFactorised
from latens.errors import ConfigError
from latens.io.programs import compiled
from latens.io.random_keys import check_generator
from latens.models import AbstractLatentModel
from latens.typing import Array, Float, Key, PyTree


class Information(NamedTuple):
    """The mutual information of each pair of columns, in nats, and its standard error."""

    nats: np.ndarray  # of shape (columns, columns), symmetric; NaN on the diagonal
    errors: np.ndarray  # likewise


def column_information(
    model: AbstractLatentModel, columns: int, *, num_rows: int = 256, num_samples: int = 1024, repeats: int = 8,
    key: Key,
) -> Information:  # fmt: skip
    """The mutual information of each pair of columns under a model, from its density, with its error, in nats."""
    # I(x_a; x_b) = E[log p(x_a, x_b) - log p(x_a) - log p(x_b)] over rows that the model draws. Each density is the
    # mean of p(x | z) over draws of p(z); where the latents can be counted, it is their exact sum. The bias of the
    # logarithm of a mean is taken off by halves of the draws, and what that changes is part of the error.
    # model: its p(x | z) factorises over the entries of a row, and it has no conditions.
    # repeats: independent ones, at least 2: the error is that of their mean.
    check_generator(key)
    found = [_one(model, columns, num_rows, num_samples, one) for one in jax.random.split(key, repeats)]
    values, corrections = (np.stack([np.asarray(one[k], np.float64) for one in found]) for k in (0, 1))
    spread = values.std(axis=0, ddof=1) / np.sqrt(repeats)
    nats, errors = np.full((2, columns, columns), np.nan)
    first, second = np.triu_indices(columns, 1)
    nats[first, second] = nats[second, first] = values.mean(axis=0)
    errors[first, second] = errors[second, first] = np.hypot(spread, corrections.mean(axis=0))
    return Information(nats, errors)


@compiled
def _one(
    model: AbstractLatentModel, columns: int, num_rows: int, num_samples: int, key: Key
) -> tuple[Float[Array, " pairs"], Float[Array, " pairs"]]:
    """The information of each pair in one repeat, and what taking off the bias changed."""
    row_key, event_key, draw_key = jax.random.split(key, 3)
    prior = model.prior(cond=None)
    drawn = lambda key, n: jax.vmap(lambda k: prior.sample(key=k))(jax.random.split(key, n))  # noqa: E731
    rows = jax.vmap(lambda z, k: model.likelihood(z, cond=None).sample(key=k))(
        drawn(row_key, num_rows), jax.random.split(event_key, num_rows)
    )
    z = drawn(draw_key, num_samples)
    terms = jax.vmap(lambda x: jax.vmap(lambda one: _terms(model, one, x)[:columns], out_axes=1)(z), out_axes=1)(rows)

    def log_mean(terms: Float[Array, "n K"]) -> Float[Array, "2 n"]:
        """The log density of each row, and how much of it the halves of the draws correct."""
        parts = jax.nn.logsumexp(terms.reshape(len(terms), 2, -1), axis=2) - jnp.log(num_samples // 2)
        whole = jax.nn.logsumexp(parts, axis=1) - jnp.log(2.0)
        return jnp.stack([whole, whole - parts.mean(axis=1)])

    alone = jax.vmap(log_mean)(terms)
    first, second = np.triu_indices(columns, 1)

    def pair(places: tuple[Array, Array]) -> Float[Array, "2"]:
        a, b = places
        return (log_mean(terms[a] + terms[b]) - alone[a] - alone[b]).mean(axis=1)

    found, correction = jax.lax.map(pair, (jnp.asarray(first), jnp.asarray(second))).T
    return found + correction, jnp.abs(correction)


def _terms(model: AbstractLatentModel, z: PyTree, x: Shaped[Array, "..."]) -> Float[Array, " columns"]:
    likelihood = model.likelihood(z, cond=None)
    if not isinstance(likelihood, AbstractFactorised):
        what = f"a {type(likelihood).__name__} does not factorise over the columns of a row."
        raise ConfigError(what, where="likelihood", fix="Use a likelihood of independent columns.")
    return likelihood.log_prob_terms(x).reshape(-1)
