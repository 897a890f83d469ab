"""Missing cells: a row with gaps as an encoder of whole rows sees it."""

import jax
import jax.numpy as jnp

from latens.networks import LinearPath
from latens.typing import Array, Float, PyTree

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
