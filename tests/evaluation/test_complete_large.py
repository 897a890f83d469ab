"""Large pictures are completed one by one, by fewer draws, and what is done is kept."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result
from tables import linear_gaussian

from latens.data import load
from latens.data.batches import Batch, as_batch
from latens.distributions.pixels import ColourLogistics
from latens.evaluation import complete as module
from latens.evaluation.complete import complete, effort
from latens.evaluation.linear_answer import Gaussian
from latens.verbs import complete as verb
from latens.verbs.kernel import Made

pytest_plugins = ("cli_fixtures",)


def test_the_effort_follows_the_size_of_a_row() -> None:
    assert effort(784) == effort(32 * 32 * 3) == {"num_samples": 1000, "steps": 100, "starts": 4}
    assert effort(64 * 64 * 3) == {"num_samples": 200, "steps": 50, "starts": 2}


def pixels(z: jax.Array) -> ColourLogistics:
    """Pixels of 40 x 40 whose three channels depend on each other, wide enough for their ends to count."""
    loc = jnp.tanh(z[:3, None, None, None] + jnp.linspace(-1.0, 1.0, 1600).reshape(1, 1, 40, 40))
    return ColourLogistics(jnp.zeros((1, 40, 40)), loc, jnp.full((3, 1, 40, 40), -1.0), jnp.full((3, 1, 40, 40), 0.7))


def test_a_slow_mean_is_that_of_all_draws() -> None:
    """Nearly of all, and exactly of a few: within 0.2 of a level; moments alone are 1.8 off, the few draws 6.2."""
    z = 0.3 * jax.random.normal(jax.random.key(0), (60, 3))
    share = jax.nn.softmax(2.0 * z[:, 0])
    kept = lambda likelihood, event: event  # noqa: E731
    assert module._slow_mean(pixels, z)
    found = module._mean_of(pixels, kept, z, share, jax.random.key(1))
    mean = jax.jit(lambda one: pixels(one).mean())
    means = np.stack([np.asarray(mean(one)) for one in z])
    exact = np.tensordot(np.asarray(share), means, axes=1)
    assert np.abs(np.asarray(found) - exact).max() < 0.2
    moments = np.asarray(jax.jit(jax.vmap(lambda one: pixels(one).moments()[0]))(z))
    assert np.abs(np.tensordot(np.asarray(share), moments, axes=1) - exact).max() > 1.5
    few, _ = module._resampled(jnp.arange(60), share, jax.random.key(1), module._FEW_MEANS)
    assert np.abs(means[np.asarray(few)].mean(axis=0) - exact).max() > 5.0


def test_blocks_come_in_order_and_together_are_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = np.array([[True, False, True], [False, True, False], [True, True, True]])
    x = np.array([[0.4, -0.3, 1.1], [1.5, 0.2, -0.6], [-0.2, 0.9, 0.3]], np.float32)
    rows = as_batch(x)
    batch = Batch(rows.x, rows.row_id, mask=jnp.asarray(seen))
    options = {"num_draws": 4, "num_samples": 40, "steps": 3, "key": jax.random.key(0)}
    whole = complete(linear_gaussian("best"), batch, **options)
    monkeypatch.setattr(module, "LARGE", 2)
    blocks: list = []
    again = complete(linear_gaussian("best"), batch, each=blocks.append, **options)
    assert [len(block.mean) for block in blocks] == [1, 1, 1]
    np.testing.assert_array_equal(np.concatenate([block.draws for block in blocks]), again.draws)
    np.testing.assert_allclose(again.draws, whole.draws, atol=1e-4)
    np.testing.assert_allclose(again.log_seen, whole.log_seen, atol=1e-4)


def test_what_is_stopped_keeps_the_rows_that_were_done(
    latens: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", x := np.asarray(load("digits").x)[:5])
    monkeypatch.setattr(module, "LARGE", 10)
    monkeypatch.setattr(verb, "KEPT_EVERY", -1.0)
    write, written = Made.write, []

    def stopped(self: Made, path: Path) -> None:
        write(self, path)
        written.append(len(self.arrays["x"]))
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Made, "write", stopped)
    words = ("complete", "pretrained:digits-16d", str(tmp_path / "x.npy"), "--region", "4:,:", "--steps", "1")
    ended = latens(*words, "--num-samples", "20", "--out", str(tmp_path / "a.npz"))
    assert ended.code == 130
    assert written == [1, 2, 3]
    assert "a.npz: 2 of 5 rows, those that were done" in ended.err  # the third was stopped as it was counted
    with np.load(tmp_path / "a.npz") as made:
        np.testing.assert_array_equal(made["x"][:, :4], x[:3, :4])
        assert made["draws"].shape == (3, 8, 8, 8)


def test_one_system_after_another() -> None:
    """On two cores two calls of LAPACK at the same time may wait for each other for ever: no two are independent."""
    made = Gaussian(jnp.zeros(12), jnp.ones((12, 2)), jnp.tile(jnp.eye(3), (4, 1, 1)))
    answer = lambda x: made.answer(x, x > 0, None)  # noqa: E731
    text = jax.jit(answer).lower(jnp.ones(12)).compile().as_text() or ""
    assert text.count('"lapack_sgetrf_ffi"') == 1  # of the groups, also for the determinant
    assert text.count('"lapack_spotrf_ffi"') == 1
    assert text.count('"lapack_strsm_ffi"') == 3  # two for the groups, one for the posterior
