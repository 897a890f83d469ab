"""Draws of z from several proposals together, each weighed against their mixture."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution, DiagonalNormal
from latens.models import AbstractLatentModel
from latens.typing import AnyArray, Array, Cond, Float, Key, Mask, PyTree

EVIDENCE = ("q", "q", "q", "wide", "q", "q", "q", "prior")
"""Whose the draws of log p(x) are in turn: those of the wider posterior reach tails, those of the prior all."""

WIDER = math.log(2.0)
"""The logarithm of how many times wider the wider posterior is, where the posterior is a diagonal Normal."""


def proposed(
    model: AbstractLatentModel,
    batch: Batch,
    count: int,
    *,
    first: Array | int,
    num_samples: int,
    proposals: tuple[str, ...],
    key: Key,
    beside: AbstractDistribution | None = None,
) -> tuple[PyTree[Array], Float[Array, "K B"], Float[Array, "K 2 B"]]:
    r"""Some of K draws of z for each row, from the posterior "q", "wide", the "prior" and `beside`, in turn."""
    # $\log w = \log p(x \mid z) + \log p(z) - \log\sum_j \frac{K_j}{K} r_j(z)$, with $K_j$ of the K draws from the
    # proposal $r_j$. The mean of w is p(x) in expectation, whatever K is, and the prior bounds every weight. All draws
    # are of q where its density is known along its own draws only, and those of a wider one where none is known.
    # Source: Owen & Zhou (2000), "Safe and effective importance sampling"; Veach & Guibas (1995).
    # returns: the draws; their log weights; and of those of q log p(x, z) - log q(z | x) and log p(x | z), times what
    # makes a mean over all draws that over these, 0 of the others.
    # first: the number of the first draw, to draw K in parts. num_samples: K. proposals: in turn, at most one "prior".
    index = first + jnp.arange(count)

    def one_row(
        x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask, other: AbstractDistribution | None
    ) -> tuple[PyTree[Array], Array, Array]:
        row_key = jax.random.fold_in(key, row_id)
        keys = jax.vmap(lambda i: jax.random.fold_in(row_key, i))
        posterior, prior = model.posterior(x, cond=cond, mask=mask), model.prior(cond=cond)
        known = {"wide": isinstance(posterior, DiagonalNormal), "q": True}
        order = [one if known.get(one, posterior.density_elsewhere) else "q" for one in proposals]
        counts = {one: sum(order[k % len(order)] == one for k in range(num_samples)) for one in order}
        is_of = {one: jnp.asarray(np.array(order) == one)[index % len(order)] for one in counts}

        def put(name: str, z: PyTree[Array], made: PyTree[Array]) -> PyTree[Array]:
            led = lambda leaf: is_of[name].reshape(-1, *(1,) * (leaf.ndim - 1))  # noqa: E731
            return jax.tree.map(lambda leaf, new: jnp.where(led(leaf), new.astype(leaf.dtype), leaf), z, made)

        z, log_q = jax.vmap(lambda own: posterior.sample_and_log_prob(key=own))(keys(index))
        densities = {}
        if isinstance(posterior, DiagonalNormal) and counts.get("wide"):
            z = put("wide", z, posterior.loc + math.exp(WIDER) * (z - posterior.loc))
            densities["wide"] = DiagonalNormal(posterior.loc, posterior.log_scale_array() + WIDER).log_prob
        if other is not None and counts.get("beside"):
            z = put("beside", z, jax.vmap(lambda own: other.sample(key=own))(keys(index)))
            densities["beside"] = other.log_prob
        if counts.get("prior"):
            most, ahead = -(-count // len(order)), (order.index("prior") - first) % len(order)
            source = jax.vmap(lambda own: prior.sample(key=own))(keys(first + ahead + len(order) * jnp.arange(most)))
            at = jnp.clip((jnp.arange(count) - ahead) // len(order), 0, most - 1)
            z = put("prior", z, jax.tree.map(lambda leaf: leaf[at], source))
            log_q = jnp.where(is_of["prior"], jax.vmap(posterior.log_prob)(source)[at], log_q)
        if densities:
            log_q = jax.vmap(posterior.log_prob)(z)
        log_prior, log_likelihood = jax.vmap(lambda z: model.log_joint(z, x, cond=cond, mask=mask))(z)
        found = {"q": log_q, "prior": log_prior} | {one: jax.vmap(density)(z) for one, density in densities.items()}
        parts = [found[one] + math.log(n / num_samples) for one, n in counts.items() if n]
        log_joint = log_likelihood + log_prior
        own = jnp.where(is_of["q"][:, None], jnp.stack([log_joint - log_q, log_likelihood], axis=1), 0.0)
        return z, log_joint - functools.reduce(jnp.logaddexp, parts), own * (num_samples / counts["q"])

    rows = (batch.x, batch.row_id, batch.cond, batch.mask, beside)
    return jax.vmap(one_row, out_axes=(1, 1, 2))(*rows)
