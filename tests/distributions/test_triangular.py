"""Triangular systems and Cholesky factors: the numbers and derivatives of LAPACK, and no call of it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular

from latens.distributions.triangular import cholesky, solve_columns, solve_lower, solve_transposed

PAIRS = {
    "solve": (solve_lower, lambda factor, right: solve_triangular(factor, right, lower=True)),
    "transposed": (solve_transposed, lambda factor, right: solve_triangular(factor, right, lower=True, trans="T")),
    "columns": (solve_columns, lambda factor, right: solve_triangular(factor, right, lower=True)),
    "cholesky": (lambda matrix, _: cholesky(matrix), lambda matrix, _: jnp.linalg.cholesky(matrix)),
}


def arguments(name: str, n: int, batch: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    factor = np.tril(rng.normal(size=(*batch, n, n)), -1) + 2.0 * np.eye(n)
    right = rng.normal(size=(*batch, n, 3) if name == "columns" else (*batch, n))
    return (factor @ factor.swapaxes(-1, -2) if name == "cholesky" else factor), right


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("name", PAIRS)
def test_the_numbers_are_those_of_lapack(name: str, n: int) -> None:
    ours, theirs = PAIRS[name]
    with jax.enable_x64(True):
        found, expected = (function(*map(jnp.asarray, arguments(name, n))) for function in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("name", PAIRS)
def test_derivatives_forwards_backwards_and_twice(name: str) -> None:
    def scalar(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        def of(first: jax.Array, second: jax.Array) -> jax.Array:
            # Derivatives along matrices of the kind the function takes: triangular, or symmetric.
            kind = 0.5 * (first + first.T) if name == "cholesky" else jnp.tril(first)
            value = function(kind, second)
            return jnp.sum(jnp.sin(value) * jnp.arange(1.0, value.size + 1).reshape(value.shape))

        return of

    with jax.enable_x64(True):
        given = tuple(map(jnp.asarray, arguments(name, 3)))
        for transform in (jax.grad, jax.jacfwd, jax.hessian):
            found, expected = (jax.jit(transform(scalar(f), (0, 1)))(*given) for f in PAIRS[name])
            for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
                np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", PAIRS)
def test_many_at_once_are_no_call_of_lapack(name: str) -> None:
    ours, theirs = PAIRS[name]
    given = tuple(np.asarray(array, np.float32) for array in arguments(name, 5, (6,)))
    loss = lambda function: jax.grad(lambda *a: jnp.sum(jax.vmap(function)(*a) ** 2))  # noqa: E731
    texts = [jax.jit(loss(function)).lower(*given).as_text() for function in (ours, theirs)]
    assert ["lapack" in text for text in texts] == [False, True]
    np.testing.assert_allclose(jax.vmap(ours)(*given), jax.vmap(theirs)(*given), rtol=1e-4, atol=1e-5)


def test_no_factor_of_what_is_not_positive_definite() -> None:
    assert np.isnan(cholesky(jnp.array([[1.0, 2.0], [2.0, 1.0]]))).any()
