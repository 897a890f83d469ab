"""Missing cells: a row with gaps as an encoder of whole rows sees it, and a model of why entries are missing."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import AbstractFactorised, Affine, DiagonalNormal
from latens.errors import ConfigError
from latens.models.conditional import Standardise
from latens.networks import LinearPath
from latens.typing import AnyArray, Array, Bool, Float, Key, Nats, Shaped

ROUNDS = 20
"""Rounds of conjugate gradients at the most: what an encoder is told need not be exact."""


def seen_whole(decoder: Any, x: Any, mask: Any) -> Float[Array, "..."] | None:
    """Fill in the missing cells of a row by their mean given the others; None where the decoder has no such map."""
    # Of a linear encoder of whole rows this gives the exact posterior mean of a linear decoder, whatever is missing.
    path, located = getattr(decoder, "network", None), getattr(getattr(decoder, "head", None), "located", None)
    if not isinstance(path, LinearPath) or path.mean is None or path.noise is None or located is None:
        return None
    if path.noise.value.shape[-1] > 1:  # cells whose noise is shared say more of one another than by the latents
        return None
    _, shift, scale = located
    own, flat = jnp.asarray(x, jnp.float32), mask.reshape(-1)
    away = ((jnp.where(mask, own, 0.0) - shift) / scale).reshape(-1) - path.mean.value
    slope = path.weight.value.T
    precise = jnp.where(flat[:, None], slope / path.noise.value.reshape(-1, 1), 0.0)
    precision = jnp.eye(slope.shape[1]) + precise.T @ slope
    z = _solved(precision, precise.T @ jnp.where(flat, away, 0.0))
    filled = (path.mean.value + slope @ z).reshape(own.shape) * scale + shift
    return jnp.where(mask, own, filled)


def _solved(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """The solution of a system of a positive definite matrix, by conjugate gradients."""
    # Not by LAPACK: two calls of it in one program may wait for each other for ever on two cores.
    root = jnp.sqrt(jnp.diagonal(matrix))
    scaled = matrix / root / root[:, None]
    return jax.scipy.sparse.linalg.cg(scaled, right / root, maxiter=min(ROUNDS, len(right)), tol=1e-6)[0] / root


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_LOG_WEIGHTS = np.log(_WEIGHTS) - 0.5 * math.log(2.0 * math.pi)


class SelfMasking(eqx.Module):
    r"""A logistic model of each feature's being missing, given its own value.

    $p(\text{feature } j \text{ is missing} \mid x) = \sigma(a_j\,\tilde x_j + b_j)$ with $\tilde x$ standardised. With
    a Normal $p(x \mid z)$ the missing features are integrated out, each by 32-point Gauss-Hermite quadrature (the paper
    samples them): $\log p(s \mid z, x_{obs}) = \sum_{obs}\log(1 - \sigma_j) + \sum_{mis}\log E_{p(x_j|z)}[\sigma_j]$,
    in nats.

    Args:
        slope: The coefficients a, of shape (*x), trained.
        bias: The intercepts b, of shape (*x), trained.
        standardise: What turns x into $\tilde x$; None: x stays as it is.

    Source: Ipsen, Mattei & Frellsen (2021), "not-MIWAE", arXiv 2006.12871.
    """

    slope: Float[AnyArray, "*x"]
    bias: Float[AnyArray, "*x"]
    standardise: Standardise | None = None

    def logits(self, x: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """The log odds of being missing, for each feature.

        Args:
            x: One row of shape (*x), in the data's unit.

        Returns:
            Shape (*x).
        """
        return jnp.asarray(self.slope * (x if self.standardise is None else self.standardise(x)) + self.bias)

    def __call__(self, likelihood: AbstractFactorised, x: Shaped[Array, "*x"], mask: Bool[Array, "*x"] | None) -> Nats:
        r"""The log probability of a mask, given the latent and what is observed."""
        # $\log p(s \mid z, x_{obs})$.
        if mask is None:
            return jnp.sum(jax.nn.log_sigmoid(-self.logits(x)))
        # A value inside the data's range before, `where` after: a NaN must reach neither the value nor a gradient.
        shown = jax.nn.log_sigmoid(-self.logits(jnp.where(mask, x, jnp.zeros_like(x))))
        return jnp.sum(jnp.where(mask, shown, jax.nn.logsumexp(self._terms(likelihood)[1], axis=0)))

    def _terms(self, likelihood: AbstractFactorised) -> tuple[Float[Array, "n *x"], Float[Array, "n *x"]]:
        """The nodes of the quadrature over x given z, and the logarithms of weight times p(missing | x) there."""
        nodes = _nodes(likelihood)
        weights = jnp.asarray(_LOG_WEIGHTS, nodes.dtype).reshape(-1, *(1,) * (nodes.ndim - 1))
        return nodes, weights + jax.nn.log_sigmoid(jax.vmap(self.logits)(nodes))

    def missing_mean(self, likelihood: AbstractFactorised) -> Float[Array, "*x"]:
        r"""The mean of each feature, given the latent and that the feature is missing.

        Args:
            likelihood: $p(x \mid z)$, a diagonal Normal, shifted and scaled or not.

        Returns:
            Shape (*x), in the data's unit.
        """
        nodes, terms = self._terms(likelihood)
        return jnp.sum(jax.nn.softmax(terms, axis=0) * nodes, axis=0)

    def missing_sample(self, likelihood: AbstractFactorised, *, key: Key) -> Float[Array, "*x"]:
        r"""A sample of each feature, given the latent and that the feature is missing.

        Of 64 samples of p(x | z) one, chosen by p(missing | x).

        Args:
            likelihood: $p(x \mid z)$.
            key: A JAX random key.

        Returns:
            Shape (*x), in the data's unit.
        """
        draw_key, choice_key = jax.random.split(key)
        found = jax.vmap(lambda k: likelihood.sample(key=k))(jax.random.split(draw_key, 64))
        which = jax.random.categorical(choice_key, jax.nn.log_sigmoid(jax.vmap(self.logits)(found)), axis=0)
        return jnp.take_along_axis(found, which[None], axis=0)[0]


def _nodes(likelihood: AbstractFactorised) -> Float[Array, "n *x"]:
    """Where a function of each cell is evaluated to be averaged over a Normal."""
    if isinstance(likelihood, Affine):
        return likelihood.shift + likelihood.scale * _nodes(likelihood.base)
    if not isinstance(likelihood, DiagonalNormal):
        raise ConfigError(
            f"self-masking features (not-MIWAE) need a normal likelihood, not {type(likelihood).__name__}.",
            where="likelihood.missing",
            fix="Use --set likelihood.family=normal.",
        )
    return jax.vmap(lambda t: likelihood.from_noise(t * jnp.ones_like(likelihood.loc)))(
        jnp.asarray(_NODES, likelihood.loc.dtype)
    )
