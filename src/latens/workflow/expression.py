"""What a model of counts says of cells: normalised expression, and how two groups of cells differ."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int
from scipy.special import digamma, polygamma

from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.given import GIVEN, one_vector
from latens.data.preparation import DEPTH
from latens.distributions import ZeroInflated
from latens.errors import ConfigError, DataError
from latens.evaluation.batched import map_rows
from latens.evaluation.contrast import expected_discoveries, shrunk
from latens.typing import AnyArray, Array, Key
from latens.workflow.trained import TrainedModel

MOST_CELLS = 2**24
"""Decoded numbers that are held at a time."""
MOST_BATCHES = 64
"""Batches that an expression is the mean over, at the most."""
PER = 10_000.0
"""The depth of a cell at which expression is said, where nothing else is."""
LOG2 = float(np.log(2.0))


def refuse_others(trained: TrainedModel, where: str) -> None:
    """Refuse a model whose likelihood is not of counts given their total."""
    if not trained.preparation.depth:
        fix = "Train one on counts: latens fit cells.h5ad --recipe cells."
        raise ConfigError("only a model of counts given each cell's total has an expression.", where=where, fix=fix)


def genes_of(trained: TrainedModel) -> list[str]:
    """The names of the genes."""
    return [column.name for column in trained.schema.columns or ()]


def every_batch(trained: TrainedModel, told: dict[str, Any]) -> np.ndarray | None:
    """The vectors of conditions that an expression is the mean over: every name of each that is not told."""
    # Numbers that are not told are usual. None where the model reads no conditions.
    known = trained.schema.conditions or ()
    if not known:
        return None
    names = [(one.name, one.values) for one in known if one.values and one.name not in told]
    every = list(product(*(values for _, values in names)))
    if len(every) > MOST_BATCHES:
        what = f"the conditions have {len(every):,} combinations, and an expression is the mean over all of them."
        fix = f"Say some of them: --given {names[0][0]}={names[0][1][0]}, or take each cell's own: --own."
        raise DataError(what, where="--given", fix=fix)
    said = [told | dict(zip([name for name, _ in names], one)) for one in every]
    return np.stack([one_vector(known, one, "--given") for one in said])


def _counts(likelihood: Any) -> Any:
    return likelihood.inner if isinstance(likelihood, ZeroInflated) else likelihood


def _decoded(vectors: Array | None, model: Any, batch: Batch, key: Key, *, draws: int) -> dict[str, Array]:
    """Of each row the shares of genes in each draw, as the mean over batches, and sums that its own counts make."""

    def one_row(x: Array, row_id: AnyArray, cond: Any, mask: Any) -> dict[str, Array]:
        posterior = model.posterior(x, cond=cond, mask=mask)
        keys = jax.random.split(jax.random.fold_in(key, row_id), draws)

        def one(key: Key) -> tuple[Array, Array, Array]:
            z = posterior.sample(key=key)
            own = _counts(model.likelihood(z, cond=cond))
            mean = jnp.exp(own.log_mean)
            slack = 1.0 / (1.0 + mean * jnp.exp(-own.log_dispersion))
            if vectors is None:
                return jnp.exp(own.log_mean - cond[DEPTH]), mean, slack

            def at(vector: Array) -> Array:
                return jnp.exp(
                    _counts(model.likelihood(z, cond={**cond, GIVEN: vector, DEPTH: jnp.zeros(())})).log_mean
                )

            return jnp.mean(jax.lax.map(at, vectors), axis=0), mean, slack

        share, mean, slack = jax.lax.map(one, keys)
        mean, slack = jnp.mean(mean, axis=0), jnp.mean(slack, axis=0)
        seen = jnp.ones_like(mean) if mask is None else mask.astype(mean.dtype)
        return {"share": share, "counted": seen * slack * x, "expected": seen * slack * mean}

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def decoded(
    trained: TrainedModel,
    data: Dataset,
    positions: Int[np.ndarray, " n"],
    vectors: np.ndarray | None,
    *,
    draws: int,
    seed: int = 0,
) -> Iterator[tuple[Int[np.ndarray, " b"], dict[str, np.ndarray]]]:
    """Go through rows: the shares of genes in draws of their latents, of shape (b, draws, genes), and their counts."""
    # vectors: the conditions that shares are the mean over; None: each row's own.
    genes = int(np.prod(trained.schema.shape))
    step = int(max(1, min(256, MOST_CELLS // (genes * draws))))
    step = min(step, len(positions))
    function = Partial(_decoded, None if vectors is None else jnp.asarray(vectors, jnp.float32), draws=draws)
    for start in range(0, len(positions), step):
        part = positions[start : start + step]
        yield part, map_rows(function, replace(trained.rows(data, part, seed=seed), batch_size=step))


class Contrast(NamedTuple):
    """How the expression of genes in one group of cells differs from that in another."""

    genes: list[str]
    first: Float[np.ndarray, " genes"]  # mean shares of the totals in the first group
    second: Float[np.ndarray, " genes"]
    estimate: Float[np.ndarray, " genes"]  # log2 of the first over the second, before shrinkage
    error: Float[np.ndarray, " genes"]
    fold: Float[np.ndarray, " genes"]  # its posterior mean
    deviation: Float[np.ndarray, " genes"]  # and standard deviation
    unchanged: Float[np.ndarray, " genes"]  # the probability that it is at most delta, with all digits
    probability: Float[np.ndarray, " genes"]  # that it is larger than delta
    discoveries: Float[np.ndarray, " genes"]  # the expected share of false ones down to this gene


class _Group:
    """Sums over the cells of one group."""

    def __init__(self, draws: int, genes: int) -> None:
        self.rows = 0
        self.draws = np.zeros((draws, genes))  # of shares
        self.means, self.squares, self.counted, self.expected = np.zeros((4, genes))

    def add(self, found: dict[str, np.ndarray]) -> None:
        """Add cells."""
        share = found["share"].astype(np.float64)
        mean = share.mean(axis=1)
        self.rows += len(share)
        self.draws += share.sum(axis=0)
        self.means += mean.sum(axis=0)
        self.squares += (mean**2).sum(axis=0)
        self.counted += found["counted"].sum(axis=0, dtype=np.float64)
        self.expected += found["expected"].sum(axis=0, dtype=np.float64)

    def log2(self) -> tuple[np.ndarray, np.ndarray]:
        """The logarithm of the mean share with what the counts say beyond the model, and the variance of that."""
        # Three things are not known: the latents, which other cells of the group might have been counted, and what the
        # model leaves of the counts. Of O weighted counts where E were expected, the factor between them has the prior
        # Exp(1), and so the posterior Gamma(O + 1, E + 1): its logarithm has these moments.
        share = self.draws / self.rows
        mean = share.mean(axis=0)
        logs = np.log2(np.maximum(share, 1e-30))
        between = np.maximum(self.squares / self.rows - (self.means / self.rows) ** 2, 0.0) / max(self.rows - 1, 1)
        left = digamma(self.counted + 1.0) - np.log(self.expected + 1.0)
        variance = logs.var(axis=0) + (between / mean**2 + polygamma(1, self.counted + 1.0)) / LOG2**2
        return logs.mean(axis=0) + left / LOG2, variance


def contrast(
    trained: TrainedModel,
    data: Dataset,
    first: Int[np.ndarray, " n"],
    second: Int[np.ndarray, " m"],
    vectors: np.ndarray | None,
    *,
    delta: float,
    draws: int,
    seed: int = 0,
) -> Contrast:
    r"""The log fold changes of genes between two groups of rows of `data`."""
    # $\beta_g = \log_2 \frac{\bar\rho_{Ag}}{\bar\rho_{Bg}}$ of mean shares at the same batches, corrected by what the
    # groups' counts are above those that the model expects of each cell, in its own batch and at its own depth.
    genes = genes_of(trained)
    groups = []
    for positions in (first, second):
        group = _Group(draws, len(genes))
        for _, found in decoded(trained, data, positions, vectors, draws=draws, seed=seed):
            group.add(found)
        groups.append(group.log2())
    (one, var_one), (two, var_two) = groups
    estimate, error = one - two, np.sqrt(var_one + var_two)
    made = shrunk(estimate, error)
    probability = made.beyond(delta)
    fold = (made.mean, made.deviation)
    found = expected_discoveries(probability)
    return Contrast(genes, 2.0**one, 2.0**two, estimate, error, *fold, made.within(delta), probability, found)
