"""Counts given how many were counted in all: shares of a row's total from the network, a negative binomial around."""

import math
from types import ModuleType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.data.conditions import GIVEN
from latens.data.preparation import DEPTH, log_depth
from latens.distributions import NegativeBinomial, ZeroInflated
from latens.models.heads.base import AbstractHead, DataKind, Moment, Sees, Started
from latens.models.heads.likelihoods import DISPERSIONS
from latens.trainable import Frozen
from latens.typing import AnyArray, Array, Bool, Cond, Float, Shaped

LEAST_SHARE = 1e-9
"""What is added to the share of a gene that no training row shows, so that its logarithm is finite."""
MOST_RESIDUAL = 10.0
"""The largest residual of a count that an encoder sees: one cell of a rare gene would outweigh all else."""


def residuals(counts: AnyArray, depth: AnyArray, shares: AnyArray, xp: ModuleType = jnp) -> Any:
    """Pearson's residuals of counts from shares of a total, both as logarithms, with a dispersion of 1."""
    # xp: NumPy where digits beyond those of float32 matter.
    mean = xp.exp(shares + depth)
    return xp.clip((counts - mean) / xp.sqrt(mean * (1.0 + mean)), -MOST_RESIDUAL, MOST_RESIDUAL)


class DepthHead(AbstractHead):
    r"""A negative binomial of counts given their total $l$: its mean is a share of the total.

    $\mu_g = l\,\rho_g$ with $\rho = \mathrm{softmax}(r)$ of the network's outputs $r$, and the dispersion
    $\log\theta_g = a_g + \sum_k c_k W_{kg}$, where $c$ are the row's conditions (batches, say). The total is
    a condition, "depth", and no latent: p(x | z, l). Where none is given it is `usual`.

    Args:
        shape: The shape of one event, (genes,).
        log_dispersion: The logarithms $a$, of the shape of a row; learned.
        by_condition: The changes $W$ of these for each number of the conditions, of shape (width, genes); learned.
            None: one dispersion a gene.
        usual: The logarithm of the total where none is given, of shape (); frozen.
        zero_inflated: Whether each gene has a probability of an extra zero, whose logits are the second half of the
            outputs.
        depth: The logarithm of this row's total, as `given` sets it; None: `usual`.
        change: This row's change of the logarithms of the dispersions, as `given` sets it; None: none.

    Source: Lopez et al. (2018), Nature Methods 15, 1053 (there with a latent or the observed total).
    """

    kinds: ClassVar[tuple[DataKind, ...]] = ("counts", "levels")
    sees: ClassVar[Sees] = "whole"

    log_dispersion: Float[Array, "*genes"]
    by_condition: Float[Array, "width genes"] | None
    usual: Frozen
    zero_inflated: bool = eqx.field(static=True, default=False)
    depth: Float[Array, ""] | None = None
    change: Float[Array, "*genes"] | None = None

    @property
    def num_outputs(self) -> int:
        """One for each gene; two where zeros are inflated."""
        return math.prod(self.shape) * (2 if self.zero_inflated else 1)

    def given(self, cond: Cond) -> "DepthHead":
        """The head of a row with these conditions.

        Args:
            cond: The row's conditions by name; of these "depth" and "given" are read.

        Returns:
            A head.
        """
        cond = cond or {}
        depth, change = cond.get(DEPTH), None
        if self.by_condition is not None and GIVEN in cond:
            change = jnp.asarray(cond[GIVEN], jnp.float32).reshape(-1) @ self.by_condition
        values = (self.shape, self.log_dispersion, self.by_condition, self.usual, self.zero_inflated)
        return DepthHead(*values, None if depth is None else jnp.asarray(depth, jnp.float32).reshape(()), change)

    def log_shares(self, outputs: Float[Array, " n_out"]) -> Float[Array, "*genes"]:
        """The logarithms of the shares of a row's total.

        Args:
            outputs: Shape (num_outputs,).

        Returns:
            Shape (*x); their exponentials sum to 1.
        """
        return jax.nn.log_softmax(outputs[: math.prod(self.shape)]).reshape(self.shape)

    def __call__(self, outputs: Float[Array, " n_out"]) -> NegativeBinomial | ZeroInflated:
        """The distribution that belongs to these outputs and this row's total."""
        log_theta = self.log_dispersion if self.change is None else self.log_dispersion + self.change
        depth = self.usual.value if self.depth is None else self.depth
        counts = NegativeBinomial(self.log_shares(outputs) + depth, jnp.clip(log_theta, *DISPERSIONS))
        if not self.zero_inflated:
            return counts
        return ZeroInflated(counts, outputs[math.prod(self.shape) :].reshape(self.shape))

    def output_bias(self, mean: np.ndarray, frequencies: np.ndarray | None = None) -> np.ndarray:
        """The outputs whose shares are those of the mean counts.

        Args:
            mean: The mean counts, of shape (*x).
            frequencies: Not read.

        Returns:
            Shape (num_outputs,).
        """
        flat = np.maximum(np.asarray(mean, np.float64).reshape(-1), 0.0)
        shares = np.log(flat / max(flat.sum(), 1e-12) + LEAST_SHARE)
        extra = np.full(flat.size, np.log(0.01) - np.log(0.99))
        return np.concatenate([shares, extra]) if self.zero_inflated else shares

    def started(self, mean: np.ndarray, frequencies: Moment = None, variance: Moment = None) -> Started:
        """The head and the outputs of the shares of the mean counts, with their total as the usual one.

        Args:
            mean: The mean counts, of shape (*x).
            frequencies: Not read.
            variance: Their variance, of shape (*x); it starts the dispersions. None: these stay.

        Returns:
            A head, and outputs of shape (num_outputs,).
        """
        flat = np.asarray(mean, np.float64).reshape(-1)
        usual = Frozen(jnp.asarray(math.log(max(float(flat.sum()), 1.0)), jnp.float32))
        log_theta: Any = self.log_dispersion
        if variance is not None:
            excess = np.asarray(variance, np.float64).reshape(-1) - flat
            theta = np.clip(flat**2 / np.maximum(excess, 1e-12), np.exp(-3.0), np.exp(3.0))
            log_theta = jnp.asarray(np.log(theta).reshape(self.shape), jnp.float32)
        return DepthHead(self.shape, log_theta, self.by_condition, usual, self.zero_inflated), self.output_bias(mean)


class DepthInput(eqx.Module):
    r"""Counts as an encoder sees them: residuals or logarithms without the depth, and the depth beside them.

    For every gene $f_g - m_g$, then $(\log l - \log t) / s$, where $l$ is the row's total. Without `shares`
    $f_g = \log(1 + t\,x_g / l)$. With them $f_g = (x_g - l\rho_g) / \sqrt{l\rho_g (1 + l\rho_g)}$, within
    $\pm 10$: the residual of a negative binomial of dispersion 1 around the gene's usual share $\rho_g$. A gene of few
    counts says something there, where a logarithm drowns it. What is missing is 0.

    Args:
        centre: The means $m$, of shape (genes,); frozen.
        target: The logarithm of the common total $t$, of shape (); frozen.
        spread: The standard deviation $s$ of the logarithm of the total, of shape (); frozen.
        shares: The logarithms of the shares $\rho$, of shape (genes,); frozen. None: logarithms are seen.

    Source: Lause, Berens and Kobak (2021), Genome Biology 22, 258, of the residuals.
    """

    centre: Frozen
    target: Frozen
    spread: Frozen
    shares: Frozen | None

    sees_mask: ClassVar[bool] = True

    def __init__(
        self, centre: AnyArray, target: AnyArray | float, spread: AnyArray | float, shares: AnyArray | None = None
    ) -> None:
        self.centre = Frozen(jnp.asarray(centre, jnp.float32))
        self.target = Frozen(jnp.asarray(target, jnp.float32))
        self.spread = Frozen(jnp.asarray(spread, jnp.float32))
        self.shares = None if shares is None else Frozen(jnp.asarray(shares, jnp.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what the network sees: one number more than there are genes."""
        return (self.centre.value.size + 1,)

    def __call__(self, x: Shaped[Array, "*x"], mask: Bool[Array, "*x"] | None = None) -> Float[Array, " n"]:
        """What a network sees of one row."""
        depth = log_depth(x, mask)
        counts = x.astype(jnp.float32).reshape(-1)
        if self.shares is None:
            seen = jnp.log1p(counts * jnp.exp(self.target.value - depth)) - self.centre.value
        else:
            seen = residuals(counts, depth, self.shares.value) - self.centre.value
        seen = seen if mask is None else jnp.where(mask.reshape(-1), seen, 0.0)
        return jnp.append(seen, (depth - self.target.value) / self.spread.value)
