"""What the evidence of a few rows is, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import close

from latens.evidence import importance
from latens.evidence.log_marginals import summarise

WEIGHTS = np.array([[1.0, 2.0, 3.0, 6.0], [1.0, 1.0, 1.0, 1.0]])


def test_a_summary_of_four_weights():
    found = summarise(jnp.log(jnp.asarray(WEIGHTS)))
    close(found.log_mean, np.log(WEIGHTS.mean(axis=1)))
    close(found.effective_sample_size, WEIGHTS.sum(axis=1) ** 2 / (WEIGHTS**2).sum(axis=1))
    close(found.error, WEIGHTS.std(axis=1, ddof=1) / 2.0 / WEIGHTS.mean(axis=1))
    close(summarise(jnp.log(jnp.asarray(WEIGHTS[:, :1]))).log_mean, [0.0, 0.0])


@pytest.mark.parametrize("count", [41, 42])
def test_a_stream_of_weights_has_the_summary_of_all_of_them(count, monkeypatch):
    """Chunks of two draws, three of which are kept: two chunks and a draw are left, or none is."""
    monkeypatch.setattr(importance, "_KEPT", 6)
    log_weights = 2.0 * np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    table, other = jnp.asarray(log_weights), jnp.asarray(log_weights**2)

    def draws(first, number):
        parts = [jax.lax.dynamic_slice(of, (first, 0), (number, 3)) for of in (table, other)]
        return parts[0], jnp.stack(parts, axis=1)

    found, means = jax.jit(lambda: importance.stream(draws, 3, count, 2))()
    whole = jax.jit(summarise)(table.T)
    for name in ("log_mean", "error", "effective_sample_size", "pareto_k"):
        close(getattr(found, name), getattr(whole, name), rtol=1e-4)
    close(means, [log_weights.mean(axis=0), (log_weights**2).mean(axis=0)])
