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

from latens.data import Dataset
from latens.data.batches import Batch
from latens.data.given import GIVEN, one_vector
from latens.data.preparation import DEPTH
from latens.distributions import ZeroInflated
from latens.errors import ConfigError, DataError
from latens.evaluation.batched import map_rows
from latens.evaluation.contrast import expected_discoveries, shrunk
from latens.evaluation.folds import CellSums, folds, merged
from latens.typing import AnyArray, Array, Key
from latens.workflow.trained import TrainedModel

MOST_CELLS = 2**24
"""Decoded numbers that are held at a time."""
MOST_BATCHES = 64
"""Batches that an expression is the mean over, at the most."""
RARE = 0.1
"""The share of the cells of either group that must have counts of a gene for it to be listed among the first."""
PER = 10_000.0
"""The depth of a cell at which expression is said, where nothing else is."""


def refuse_others(trained: TrainedModel, where: str) -> None:
    """Refuse a model whose likelihood is not of counts given their total."""
    if not trained.preparation.depth:
        fix = "Train one on counts: latens fit cells.h5ad --recipe cells."
        raise ConfigError("only a model of counts given each cell's total has an expression.", where=where, fix=fix)


def genes_of(trained: TrainedModel) -> list[str]:
    """The names of the genes."""
    return trained.schema.names


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
        counted, expected = seen * slack * x, seen * slack * mean
        return {"share": share, "counted": counted, "expected": expected, "count": seen * x, "seen": seen}

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
    shown: tuple[np.ndarray, ...]  # the share of the cells of each group that have any count of the gene
    counts: tuple[np.ndarray, ...]  # the mean count of a cell of each group
    cells: tuple[int, int]  # how many cells of each group are compared
    sizes: tuple[int, int]  # how many there are
    shared: bool  # whether those compared are of batches that hold both groups

    def limits(self, names: tuple[str, str]) -> list[str]:
        """Sentences on what the differences rest on, where batches do not hold both groups."""
        if not self.shared:
            what = f"warning: no batch holds enough cells of both {names[0]} and {names[1]}, so the differences rest on"
            return [f"{what} the correction of batches: genes that a batch changes in one type alone look like changes"]
        if self.cells == self.sizes:
            return []
        return [f"compared are {self.cells[0]} and {self.cells[1]} cells, those of batches that hold both groups"]

    def called(self, fdr: float) -> np.ndarray:
        """The genes that are said to change: more probably than not, at this expected share of false discoveries."""
        return (self.discoveries <= fdr) & (self.probability > 0.5)

    def order(self, fdr: float) -> Int[np.ndarray, " genes"]:
        r"""The genes as listed: those called by $|\beta| - 2$ deviations, rare ones last; others by probability."""
        called = self.called(fdr)
        rare = called & (np.maximum(*self.shown) < RARE)
        size = np.abs(self.fold)
        least = np.where(called, 2.0 * self.deviation - size, -self.probability)
        return np.lexsort((-size, least, rare, ~called))


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
    genes, batches = genes_of(trained), named_batches(trained, data)
    groups: list[dict[int, CellSums]] = []
    for positions in (first, second):
        group: dict[int, CellSums] = {}
        for part, found in decoded(trained, data, positions, vectors, draws=draws, seed=seed):
            for batch in np.unique(batches[part]).tolist():
                rows = batches[part] == batch
                group.setdefault(batch, CellSums(draws, len(genes))).add(**{k: v[rows] for k, v in found.items()})
        groups.append(group)
    made = folds(*groups)
    estimate = made.first - made.second
    # Shares sum to 1: where some genes have more, all others have a little less, and that is what most are shrunk to.
    # Not of a panel in which they would all be called for it.
    most = float(np.median(estimate))
    effects = shrunk(estimate, made.error, most if abs(most) < delta else 0.0)
    probability = effects.beyond(delta)
    every = [merged(group) for group in groups]
    shown = tuple(one.shown / np.maximum(one.seen, 1.0) for one in every)
    counts = tuple(one.count / np.maximum(one.seen, 1.0) for one in every)
    return Contrast(
        genes, 2.0**made.first, 2.0**made.second, estimate, made.error, effects.mean, effects.deviation,
        effects.within(delta), probability, expected_discoveries(probability), shown, counts, made.cells,
        (len(first), len(second)), made.shared,
    )  # fmt: skip


def named_batches(trained: TrainedModel, data: Dataset) -> Int[np.ndarray, " n"]:
    """Which combination of the names of its conditions each row has, as a code; numbers are left."""
    if data.cond is None or GIVEN not in data.cond:
        return np.zeros(len(data), np.int64)
    parts, at = [np.zeros((len(data), 1))], 0
    for one in trained.schema.conditions or ():
        parts += [data.cond[GIVEN][:, at : at + one.width]] if one.values else []
        at += one.width
    return np.unique(np.concatenate(parts, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
