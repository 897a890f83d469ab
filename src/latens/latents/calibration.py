"""Is the encoder's posterior as wide as it should be? Simulation-based calibration on the model's own rows."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.errors import UsageError
from latens.evidence.estimate import Estimate
from latens.io.compilation import compiled
from latens.io.process import counted
from latens.models import AbstractLatentModel
from latens.typing import Array, Cond, Int, Key, PyTree

NUM_DRAWS = 99
"""L draws of the encoder's posterior a row: ranks 0 to 99, of which 90 lie in the middle nine tenths."""

_BINS = 20
_ROWS = 100


class Calibration(NamedTuple):
    """What became of the ranks of n simulated rows.

    Args:
        ranks: From 0 to L, shape (n, d).
        p_value: Of the chi-square test that ranks are uniform, shape (d,).
        coverage: Share of true latents within the central 90 % of the posterior's samples, shape (d,).
        estimates: The estimates by name.
    """

    ranks: np.ndarray
    p_value: np.ndarray
    coverage: np.ndarray
    estimates: dict[str, Estimate]


@counted(num_rows=1, num_draws=1)
def simulation_based_calibration(
    model: AbstractLatentModel,
    *,
    num_rows: int = 1000,
    num_draws: int = NUM_DRAWS,
    cond: dict[str, Any] | None = None,
    key: Key,
) -> Calibration:
    r"""Test on simulated rows whether the encoder's posterior is as wide as the exact one.

    Draw $z \sim p(z)$, $x \sim p(x \mid z)$, L draws of $q(z \mid x)$: the rank of z among these, by unit.

    If q is the true posterior the ranks are uniform on 0, ..., L, whatever the model. Ranks that crowd at both ends say
    that q is too narrow (the usual fault of a mean-field posterior), in the middle too wide, at one end shifted. It
    says nothing about the data: only how the encoder does on rows that the model itself makes. Equal values (choices,
    coins) are ordered at random, which keeps the ranks uniform.

    - `posterior_coverage`: the share of true latents in the central 90 % of the draws, a mean over units; 0.9 is right,
      less is too narrow. Its standard error is that of a mean over simulated rows.
    - `calibration_p_value`: the smallest chi-square p-value of a unit (20 bins of ranks), times the number of units, at
      most 1. With many simulated rows every approximation is found out: read the coverage first.

    Args:
        model: The trained model.
        num_rows: n, simulated rows, 100 or more.
        num_draws: L, posterior samples for each row, with L + 1 a multiple of 20.
        cond: Conditions, with n as leading axis.
        key: Random key.

    Returns:
        The ranks with their tests.

    Raises:
        UsageError: For another L, or fewer than 100 rows.

    Source: Talts et al., Validating Bayesian inference algorithms with simulation-based calibration, 2018, arXiv
    1804.06788.
    """
    if num_draws < 1 or (num_draws + 1) % _BINS:
        what = f"num_draws must be one less than a multiple of {_BINS}, and is {num_draws}."
        raise UsageError(what, where="num_draws", fix=f"Use one less than a multiple of {_BINS}.")
    if num_rows < 5 * _BINS:
        raise UsageError(f"{num_rows} simulated rows are too few for {_BINS} bins.", where="num_rows", fix="Use 100.")
    model = eqx.nn.inference_mode(model)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(num_rows + -num_rows % _ROWS))
    parts = []
    for start in range(0, num_rows, _ROWS):
        part = slice(start, start + _ROWS)
        index = np.arange(num_rows + -num_rows % _ROWS)[part] % num_rows
        given = None if cond is None else jax.tree.map(lambda leaf, i=index: np.asarray(leaf)[i], cond)
        parts.append(np.asarray(_ranks(model, keys[part], given, num_draws)))
    ranks = np.concatenate(parts)[:num_rows]
    return _judged(ranks, num_draws)


@compiled
def _ranks(model: AbstractLatentModel, keys: Array, cond: Cond, num_draws: int) -> Int[Array, "n units"]:
    def one(key: Key, cond: Cond) -> Array:
        latent_key, event_key, draw_key, tie_key = jax.random.split(key, 4)
        z = model.prior(cond=cond).sample(key=latent_key)
        x = model.likelihood(z, cond=cond).sample(key=event_key)
        posterior = model.posterior(x, cond=cond)
        true = _vector(z)

        def compare(index: Array, counts: tuple[Array, Array]) -> tuple[Array, Array]:
            drawn = _vector(posterior.sample(key=jax.random.fold_in(draw_key, index)))
            return counts[0] + (drawn < true), counts[1] + (drawn == true)

        none = jnp.zeros(true.shape, jnp.int32)
        below, equal = jax.lax.fori_loop(0, num_draws, compare, (none, none))
        return below + jax.random.randint(tie_key, equal.shape, 0, equal + 1)

    return jax.vmap(one)(keys, cond)


def _vector(z: PyTree) -> Array:
    return jnp.concatenate([leaf.reshape(-1).astype(jnp.float32) for leaf in jax.tree.leaves(z)])


def _judged(ranks: np.ndarray, num_draws: int) -> Calibration:
    from scipy.stats import chisquare

    n, units = ranks.shape
    width = (num_draws + 1) // _BINS
    counts = np.stack([np.bincount(unit // width, minlength=_BINS) for unit in ranks.T])
    p_value = np.asarray(chisquare(counts, axis=1).pvalue)
    within = (ranks >= width) & (ranks <= num_draws - width)
    how = f"{n} rows made by the model, ranks of z among {num_draws} draws of q(z | x)"
    coverage = Estimate.of(
        within.mean(1),
        num_samples=num_draws,
        protocol=f"share of z in the central 90 % of q(z | x), 0.9 is right; {how}",
    )
    smallest = min(1.0, float(p_value.min()) * units)
    estimates = {
        "posterior_coverage": Estimate(
            coverage.value, coverage.standard_error, num_draws, n, "share", coverage.protocol
        ),
        "calibration_p_value": Estimate(
            smallest, float("nan"), num_draws, n, "probability", f"smallest of {units} units, times their number; {how}"
        ),
    }
    return Calibration(ranks, p_value, within.mean(0), estimates)
