"""A Normal of correlated variables against its covariance, and the triangular systems behind it against LAPACK."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close
from jax.scipy.linalg import solve_triangular
from scipy import stats

from latens.distributions import CorrelatedNormal
from latens.distributions.triangular import (
    BLOCK,
    LARGE,
    cholesky,
    inverse_lower,
    solve_columns,
    solve_lower,
    solve_transposed,
)
from latens.errors import ConfigError
from latens.models import AffineHead, CorrelatedNormalHead

RNG = np.random.default_rng(0)
LOC, SCALE = RNG.normal(size=(3, 2)), np.exp(0.5 * RNG.normal(size=(3, 2)))
ROOT = np.linalg.cholesky(np.corrcoef(RNG.normal(size=(6, 9))))
X = RNG.normal(size=(3, 2))
MASK = np.array([[True, False], [False, True], [True, True]])


def made() -> tuple[CorrelatedNormal, np.ndarray]:
    parts = LOC, np.log(SCALE), np.linalg.inv(ROOT)
    scaled = SCALE.reshape(-1, 1) * ROOT
    return CorrelatedNormal(*(jnp.asarray(part, jnp.float32) for part in parts)), scaled @ scaled.T


def test_what_is_seen_and_the_rest():
    """The marginal of the observed variables, and the Normal of the hidden ones given them; NaN where hidden."""
    one, covariance = made()
    at, flat = MASK.ravel(), X.ravel()
    seen = jnp.asarray(np.where(MASK, X, np.nan))
    inner = covariance[np.ix_(at, at)]
    log_p, gradient = jax.value_and_grad(lambda loc: CorrelatedNormal(loc, one.log_scale, one.white).log_prob_observed(
        seen, jnp.asarray(MASK)))(one.loc)  # fmt: skip
    close(log_p, stats.multivariate_normal(LOC.ravel()[at], inner).logpdf(flat[at]), rtol=0, atol=1e-5)
    close(np.asarray(gradient).ravel()[at], np.linalg.solve(inner, (flat - LOC.ravel())[at]), rtol=1e-4)
    assert not np.asarray(gradient).ravel()[~at].any()
    rest, cross = one.conditioned(seen, jnp.asarray(MASK)), covariance[np.ix_(~at, at)]
    expected = LOC.ravel()[~at] + cross @ np.linalg.solve(inner, (flat - LOC.ravel())[at])
    close(np.asarray(rest.mean()).ravel()[~at], expected, rtol=0, atol=1e-5)
    left = covariance[np.ix_(~at, ~at)] - cross @ np.linalg.solve(inner, cross.T)
    close(np.asarray(rest.covariance())[np.ix_(~at, ~at)], left, rtol=0, atol=1e-5)


def test_large_matrices_are_taken_in_blocks():
    """Also where the last block is not whole; nothing is read above the diagonal."""
    n = LARGE + 5
    assert n > 2 * BLOCK
    root = np.tril(0.2 * RNG.normal(size=(n, n))) + 2.0 * np.eye(n)
    matrix = jnp.asarray(np.tril(root @ root.T) + np.triu(np.full((n, n), 7.0), 1), jnp.float32)
    found = cholesky(matrix)
    close(found, root, rtol=0, atol=1e-3)
    close(inverse_lower(found) @ root, np.eye(n), rtol=0, atol=1e-3)
    assert np.isnan(np.asarray(cholesky(matrix - 50.0 * jnp.eye(n)))).any()


def test_the_head_begins_at_what_is_left():
    """Scales and correlations of a covariance, in the unit of the data; groups of one cell are independent."""
    _, covariance = made()
    shift, scale = np.full((3, 2), 5.0), RNG.uniform(1.0, 2.0, (3, 2))
    head = AffineHead(CorrelatedNormalHead((3, 2), jnp.zeros((3, 2)), scale_floor=1e-3), shift, scale)
    assert head.group == 6
    started, outputs = head.started_around(LOC, covariance[None])
    found = started(jnp.asarray(outputs, jnp.float32))
    exact = stats.multivariate_normal(LOC.ravel(), covariance).logpdf(X.ravel())
    close(found.log_prob(jnp.asarray(X)), exact, rtol=0, atol=1e-4)
    apart, outputs = head.started_around(LOC, np.diagonal(covariance)[:, None, None])
    independent = stats.norm(LOC, np.sqrt(np.diagonal(covariance)).reshape(3, 2)).logpdf(X).sum()
    close(apart(jnp.asarray(outputs, jnp.float32)).log_prob(jnp.asarray(X)), independent, rtol=0, atol=1e-4)
    with pytest.raises(ConfigError, match="at most 1,024 values a row, and these have 1,025"):
        CorrelatedNormalHead((1025,), jnp.zeros(1025))


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
