"""The plain latent-variable model: a prior, an encoder and a decoder; and missing cells as the encoder sees them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from latens.distributions import AbstractDistribution, log_prob
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.priors import AbstractModelPrior
from latens.networks import LinearPath
from latens.trainable import traced_once
from latens.typing import Array, Cond, Float, Key, Mask, Nats, PyTree

ROUNDS = 20
"""Rounds of conjugate gradients at the most: what an encoder is told need not be exact."""


def seen_whole(decoder: object, x: PyTree, mask: PyTree) -> Float[Array, "..."] | None:
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


class LatentModel(AbstractLatentModel):
    r"""A latent variable model composed of a prior, an encoder and a decoder.

    $p(z)\,p(x \mid z)$ with $q(z \mid x)$.

    Args:
        prior_part: A distribution, a function of `cond`, or an `AbstractModelPrior`.
        encoder: Maps one event to the posterior of its latent, usually a `Conditional`.
        decoder: Maps one latent to the likelihood of an event, usually a `Conditional`.
    """

    prior_part: AbstractDistribution | AbstractModelPrior | Callable[..., AbstractDistribution]
    encoder: AbstractModelEncoder | Callable[..., AbstractDistribution]
    decoder: Callable[..., AbstractDistribution]

    def prior(self, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The prior part's distribution."""
        if isinstance(self.prior_part, AbstractDistribution):
            return self.prior_part
        if isinstance(self.prior_part, AbstractModelPrior):
            return self.prior_part(self, cond=cond, key=key)
        return self.prior_part(cond=cond, key=key)

    def posterior(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        """The encoder's distribution for one row."""
        if isinstance(self.encoder, AbstractModelEncoder):
            return self.encoder(self, x, cond=cond, mask=mask, key=key)
        if mask is not None and (whole := seen_whole(self.decoder, x, mask)) is not None:
            return self.encoder(whole, cond=cond, key=key)
        return self.encoder(x, cond=cond, mask=mask, key=key)

    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The decoder's distribution for one latent."""
        return self.decoder(z, cond=cond, key=key)

    @traced_once
    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        """The log prior and the log likelihood, in nats."""
        return self.prior(cond=cond).log_prob(z), log_prob(self.likelihood(z, cond=cond, key=key), x, mask)
