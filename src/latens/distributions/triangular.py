"""Cholesky factors and triangular systems of many small matrices at once, without LAPACK.

`jax.vmap` of JAX's own functions makes one batched LAPACK call of them. jaxlib 0.10.0 to 0.11.0 split such a call over
the threads of XLA's pool and wait inside of one of them: as many calls as the pool has threads (two programs at a time
on two cores) wait for each other for ever. Here everything is plain array arithmetic, and as fast.
"""

import jax
import jax.numpy as jnp
from jax import lax

from latens.typing import Array, Float, Int

BLOCK = 32
"""Rows that are eliminated at once in large matrices, as products of matrices."""

LARGE = 96
"""Rows from which on a matrix is large."""


def solve_lower(factor: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Solve a lower triangular system by forward substitution.

    $L^{-1} b$; it has derivatives of every order, and `jax.vmap` solves for several $b$ or $L$.

    Args:
        factor: The lower triangular $L$, of shape (n, n): what is above its diagonal must be 0.
        right: The right side $b$, of shape (n,).

    Returns:
        The solution, of shape (n,).

    Examples:
        >>> solve_lower(jnp.array([[2.0, 0.0], [1.0, 4.0]]), jnp.array([2.0, 9.0])).tolist()
        [1.0, 2.0]
    """
    forward, backward = lambda _, b: _forward(factor, b), lambda _, b: _backward(factor, b)
    return lax.custom_linear_solve(lambda x: factor @ x, right, forward, backward)


def solve_transposed(factor: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""Solve the transposed triangular system; see `solve_lower`.

    $L^{-\top} b$.

    Args:
        factor: The lower triangular $L$, of shape (n, n): what is above its diagonal must be 0.
        right: The right side $b$, of shape (n,).

    Returns:
        The solution, of shape (n,).

    Examples:
        >>> solve_transposed(jnp.array([[2.0, 0.0], [1.0, 4.0]]), jnp.array([4.0, 8.0])).tolist()
        [1.0, 2.0]
    """
    forward, backward = lambda _, b: _forward(factor, b), lambda _, b: _backward(factor, b)
    return lax.custom_linear_solve(lambda x: factor.T @ x, right, backward, forward)


def _forward(factor: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    def step(i: Int[Array, ""], found: Float[Array, " n"]) -> Float[Array, " n"]:
        row = lax.dynamic_index_in_dim(factor, i, 0, keepdims=False)
        return found.at[i].set((right[i] - jnp.sum(row * found)) / row[i])

    return lax.fori_loop(0, right.shape[0], step, jnp.zeros_like(right))


def _backward(factor: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """Solve the transposed system from the last row up."""
    n = right.shape[0]

    def step(back: Int[Array, ""], found: Float[Array, " n"]) -> Float[Array, " n"]:
        i = n - 1 - back
        column = lax.dynamic_index_in_dim(factor, i, 1, keepdims=False)
        return found.at[i].set((right[i] - jnp.sum(column * found)) / column[i])

    return lax.fori_loop(0, n, step, jnp.zeros_like(right))


def solve_columns(factor: Float[Array, "n n"], right: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """Solve a lower triangular system for several right sides; see `solve_lower`."""
    # $L^{-1} B$, a column of `right` at a time.
    return jax.vmap(solve_lower, (None, 1), 1)(factor, right)


@jax.custom_jvp
def cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""The Cholesky factor of a symmetric matrix, NaN where that is not positive definite.

    The lower triangular $L$ with $L L^\top$ = `matrix`.

    Args:
        matrix: A symmetric matrix of shape (n, n): only what is on and below its diagonal is read.

    Returns:
        The lower triangular factor, of shape (n, n).

    Examples:
        >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 5.0]])).tolist()
        [[2.0, 0.0], [1.0, 2.0]]
    """
    n = matrix.shape[0]
    if n >= LARGE:
        return _in_blocks(matrix)

    def step(j: Int[Array, ""], found: Float[Array, "n n"]) -> Float[Array, "n n"]:
        rest = lax.dynamic_index_in_dim(matrix, j, 1, keepdims=False) - jnp.sum(found * found[j], axis=1)
        return found.at[:, j].set(jnp.where(jnp.arange(n) >= j, rest / jnp.sqrt(rest[j]), 0.0))

    return lax.fori_loop(0, n, step, jnp.zeros_like(matrix))


def _in_blocks(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The factor of a large matrix, `BLOCK` columns at a time."""
    n = matrix.shape[0]
    padded, blocks = _padded(matrix)

    def step(j: Int[Array, ""], found: Float[Array, "m m"]) -> Float[Array, "m m"]:
        own = lax.dynamic_slice_in_dim(found, j * BLOCK, BLOCK, 0)
        rest = lax.dynamic_slice_in_dim(padded, j * BLOCK, BLOCK, 1) - found @ own.T
        corner = cholesky(lax.dynamic_slice_in_dim(rest, j * BLOCK, BLOCK, 0))
        below = rest @ solve_columns(corner, jnp.eye(BLOCK, dtype=matrix.dtype)).T
        column = jnp.where(jnp.arange(len(found))[:, None] >= (j + 1) * BLOCK, below, 0.0)
        column = lax.dynamic_update_slice_in_dim(column, corner, j * BLOCK, 0)
        return lax.dynamic_update_slice_in_dim(found, column, j * BLOCK, 1)

    return lax.fori_loop(0, blocks, step, jnp.zeros_like(padded))[:n, :n]


def inverse_lower(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The inverse of a lower triangular matrix: for several right sides each a product then.

    Args:
        factor: The lower triangular matrix, of shape (n, n): what is above its diagonal must be 0.

    Returns:
        The inverse, lower triangular, of shape (n, n).

    Examples:
        >>> inverse_lower(jnp.array([[2.0, 0.0], [1.0, 4.0]])).tolist()
        [[0.5, 0.0], [-0.125, 0.25]]
    """
    n = factor.shape[0]
    if n < LARGE:
        return solve_columns(factor, jnp.eye(n, dtype=factor.dtype))
    padded, blocks = _padded(factor)
    eye = jnp.eye(len(padded), dtype=factor.dtype)

    def step(j: Int[Array, ""], found: Float[Array, "m m"]) -> Float[Array, "m m"]:
        own = lax.dynamic_slice_in_dim(padded, j * BLOCK, BLOCK, 0)
        corner = lax.dynamic_slice_in_dim(own, j * BLOCK, BLOCK, 1)
        rest = lax.dynamic_slice_in_dim(eye, j * BLOCK, BLOCK, 0) - own @ found
        inside = solve_columns(corner, jnp.eye(BLOCK, dtype=factor.dtype))
        return lax.dynamic_update_slice_in_dim(found, inside @ rest, j * BLOCK, 0)

    return lax.fori_loop(0, blocks, step, jnp.zeros_like(padded))[:n, :n]


def _padded(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "m m"], int]:
    """The matrix with ones on the diagonal after it, to a whole number of blocks, and their number."""
    n = matrix.shape[0]
    blocks = -(-n // BLOCK)
    more = blocks * BLOCK - n
    return jnp.pad(matrix, ((0, more), (0, more))) + jnp.diag(
        jnp.r_[jnp.zeros(n), jnp.ones(more)].astype(matrix.dtype)
    ), blocks


@cholesky.defjvp
def _cholesky_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # dL = L Phi(L^-1 dA L^-T): Phi keeps what is below the diagonal and half of the diagonal (Murray 2016, eq. 8).
    factor, change = cholesky(*primals), tangents[0]
    both = solve_columns(factor, solve_columns(factor, change).T).T
    return factor, factor @ (jnp.tril(both) - 0.5 * jnp.diag(jnp.diagonal(both)))
