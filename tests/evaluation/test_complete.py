"""Completed pictures against exact conditionals, several answers where there are several, and the command."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_fixtures import Result
from scipy import special, stats
from tables import MU, SIGMA, W, linear_gaussian

from latens import pretrained
from latens.data import load
from latens.data.batches import Batch, as_batch
from latens.distributions import DiagonalNormal, StandardNormal
from latens.evaluation.complete import _evened, complete, log_hidden
from latens.evaluation.reductions import Reduction
from latens.models import BernoulliHead, Conditional, LatentModel, NormalHead, SharedScaleNormalHead
from latens.trees import Frozen
from latens.workflow.trained import TrainedModel

pytest_plugins = ("cli_fixtures",)

SEEN = np.array([[True, False, True], [False, True, False], [True, True, True]])
X = np.array([[0.4, -0.3, 1.1], [1.5, 0.2, -0.6], [-0.2, 0.9, 0.3]], np.float32)
COVARIANCE = W @ W.T + SIGMA**2 * np.eye(3)


def masked(rows: np.ndarray = X, seen: np.ndarray = SEEN) -> Batch:
    found = as_batch(np.where(seen, rows, np.nan).astype(np.float32))
    return Batch(found.x, found.row_id, mask=jnp.asarray(seen))


def conditional(x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and covariance of the hidden cells of a Normal row."""
    inner = COVARIANCE[np.ix_(seen, seen)]
    cross = COVARIANCE[np.ix_(~seen, seen)] @ np.linalg.inv(inner)
    return MU[~seen] + cross @ (x - MU)[seen], COVARIANCE[np.ix_(~seen, ~seen)] - cross @ COVARIANCE[
        np.ix_(seen, ~seen)
    ]


@pytest.mark.parametrize("encoder", ["best", "prior"])
def test_a_linear_gaussian_row_is_completed_exactly(encoder: str) -> None:
    """Also from an encoder that knows nothing of gaps, or nothing at all."""
    found = complete(linear_gaussian(encoder), masked(), num_draws=4000, num_samples=8000, key=jax.random.key(0))
    for i, (x, seen) in enumerate(zip(X, SEEN)):
        exact = stats.multivariate_normal(MU[seen], COVARIANCE[np.ix_(seen, seen)]).logpdf(x[seen])
        assert abs(found.log_seen[i] - exact) < 0.02
        np.testing.assert_array_equal(found.mean[i][seen], x[seen])
        assert np.all(found.draws[i][:, seen] == x[seen])
        mean, covariance = conditional(x, seen)
        error = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(found.mean[i][~seen], mean, atol=0.05 * error.max(initial=1e-6) + 1e-6)
        drawn = found.draws[i][:, ~seen]
        assert np.all(np.abs(drawn.mean(axis=0) - mean) < 0.1 * error)
        near = 0.1 * (error**2).max(initial=0) + 1e-6
        np.testing.assert_allclose(np.cov(drawn.T).reshape(covariance.shape), covariance, atol=near)
    assert np.all(found.effective > 2000)


@pytest.mark.parametrize("encoder", ["best", "prior"])
def test_what_is_hidden_has_the_density_of_the_conditional(encoder: str) -> None:
    """Each row within 5 errors of its draws, and the mean within 1.96 of the error that is printed."""
    for seed in range(3):
        options = {"num_samples": 800, "steps": 100, "key": jax.random.key(seed)}
        found = log_hidden(linear_gaussian(encoder), masked_as_known(), **options)
        exact = []
        for x, seen in zip(X, SEEN):
            mean, covariance = conditional(x, seen)
            exact.append(stats.multivariate_normal(mean, covariance).logpdf(x[~seen]) if (~seen).any() else 0.0)
        off = np.abs(found.rows - exact)
        assert np.all(off < 5 * (found.whole.row_errors + found.seen.row_errors) + 1e-4)
        assert abs(found.rows.mean() - np.mean(exact)) < 1.96 * found.draws_error < 0.3


def masked_as_known() -> Batch:
    found = as_batch(X)
    return Batch(found.x, found.row_id, mask=jnp.asarray(SEEN))


def far_pixels() -> LatentModel:
    """Eight yes-no pixels of one latent, whose encoder looks at a single pixel: where that is hidden, it is far off."""
    weights = jnp.asarray([3.0, -3.0, 2.0, 4.0, 3.0, -4.0, 3.0, 2.0])
    return LatentModel(
        StandardNormal((1,)),
        Conditional(lambda x: jnp.array([6.0, -1.4]) - jnp.array([6.6, 0.0]) * x[5], NormalHead((1,))),
        Conditional(lambda z: weights * z, BernoulliHead((8,))),
    )


@pytest.mark.parametrize("steps", [0, pytest.param(100, marks=pytest.mark.more)])
def test_a_log_probability_of_hidden_pixels_is_never_above_0(steps: int) -> None:
    """Against a sum over a grid of z; the difference of two estimates of log p is above +10 nats without steps."""
    model, weights = far_pixels(), np.array([3.0, -3.0, 2.0, 4.0, 3.0, -4.0, 3.0, 2.0])
    x = np.tile(np.array([0, 1, 0, 0, 0, 1, 0, 0], np.float32), (16, 1))
    seen = np.broadcast_to(np.arange(8) < 4, x.shape)
    grid = np.linspace(-8, 8, 8001)
    terms, prior = stats.bernoulli.logpmf(x[0], special.expit(grid[:, None] * weights)), stats.norm.logpdf(grid)
    exact = special.logsumexp(terms.sum(1) + prior) - special.logsumexp(terms[:, :4].sum(1) + prior)
    batch = Batch(jnp.asarray(x), np.arange(16, dtype=np.uint32), mask=jnp.asarray(seen))
    if not steps:
        both = (dataclasses.replace(batch, mask=jnp.asarray(mask)) for mask in (np.ones_like(seen), seen))
        whole, part = (complete(model, one, num_samples=400, steps=0, key=jax.random.key(0)) for one in both)
        assert np.min(whole.log_seen - part.log_seen) > 10.0  # what was printed
    found = log_hidden(model, batch, num_samples=400, steps=steps, key=jax.random.key(0))
    assert np.all(found.rows <= 1e-4)
    assert np.abs(found.rows - exact).max() < 0.5
    assert abs(found.rows.mean() - exact) < 1.96 * found.draws_error


def test_a_row_keeps_its_answers_wherever_it_stands() -> None:
    model, options = linear_gaussian(), {"num_samples": 200, "key": jax.random.key(1)}
    batch, order = masked(), np.array([2, 0, 1])
    turned = Batch(np.asarray(batch.x)[order], np.asarray(batch.row_id)[order], mask=np.asarray(batch.mask)[order])
    one, other = complete(model, batch, **options), complete(model, turned, **options)
    for a, b in zip(one, other):
        np.testing.assert_allclose(a[order], b, rtol=1e-4, atol=1e-5)


def test_both_answers_are_found_where_there_are_two() -> None:
    """The seen value is the square of z, the hidden one z itself: either sign is as probable."""
    decode = lambda z: jnp.concatenate([z**2, z])  # noqa: E731
    model = LatentModel(
        StandardNormal((1,)),
        Conditional(lambda x: jnp.array([0.5, -1.0]) + 0.0 * jnp.sum(x), NormalHead((1,))),
        Conditional(decode, SharedScaleNormalHead((2,), Frozen(jnp.log(jnp.asarray(0.1))))),
    )
    assert isinstance(model.posterior(jnp.zeros(2)), DiagonalNormal)
    rows, seen = np.full((1, 2), 1.44, np.float32), np.array([[True, False]])
    found = complete(model, masked(rows, seen), num_draws=400, starts=8, key=jax.random.key(2))
    hidden = found.draws[0][:, 1]
    assert np.all(np.abs(np.abs(hidden) - 1.2) < 0.6)
    assert 0.4 < np.mean(hidden > 0) < 0.6
    grid = np.linspace(-6, 6, 200_001)
    joint = stats.norm.pdf(grid) * stats.norm.pdf(1.44, grid**2, 0.1)
    assert abs(found.log_seen[0] - np.log(joint.sum() * (grid[1] - grid[0]))) < 0.05
    alone = complete(model, masked(rows, seen), num_draws=400, starts=1, key=jax.random.key(2))
    # One refined Normal holds one of them; the linear answer, here as wide as the prior, holds both.
    assert 0.4 < np.mean(alone.draws[0][:, 1] > 0) < 0.6


def test_weights_of_few_draws_are_evened_and_others_stay() -> None:
    """To the power at which they are worth ten draws, and exactly as they were where they are worth more."""
    plain = np.random.default_rng(0).normal(size=200)
    for log_weight in (plain, 40 * plain, np.where(np.arange(200) == 7, 0.0, -500.0)):
        weights, given = np.asarray(_evened(jnp.asarray(log_weight)), float), special.softmax(log_weight)
        np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-5)
        worth = 1 / (given**2).sum()
        np.testing.assert_allclose(1 / (weights**2).sum(), max(worth, 10.0), rtol=1e-3)
        if worth > 10:
            np.testing.assert_allclose(weights, given, rtol=1e-4)
        else:  # a power of them
            power = np.ptp(np.log(weights)) / np.ptp(log_weight)
            np.testing.assert_allclose(
                np.log(weights / weights.max()), power * (log_weight - log_weight.max()), atol=1e-3
            )


def test_the_command_completes_pictures(latens: Callable[..., Result], tmp_path: Path) -> None:
    x = np.asarray(load("digits").x)[:6]
    np.save(tmp_path / "x.npy", x)
    words = ("complete", "pretrained:digits-16d", str(tmp_path / "x.npy"), "--region", "4:,:", "--num-samples", "100")
    told = latens(*words, "--draws", "3", "--out", str(tmp_path / "a.npz"), "--json").json
    with np.load(tmp_path / "a.npz") as made:
        assert made["draws"].shape == (6, 3, 8, 8)
        np.testing.assert_array_equal(made["draws"][:, :, :4], np.repeat(x[:, None, :4], 3, axis=1))
        np.testing.assert_array_equal(made["x"][:, :4], x[:, :4])
        assert not made["mask"][:, 4:].any()
        assert made["mask"][:, :4].all()
        assert np.abs(made["x"][:, 4:] - x[:, 4:]).mean() < np.abs(x[:, 4:].mean(axis=0) - x[:, 4:]).mean()
    assert told["hidden"] == 0.5
    everywhere = np.asarray(load("digits").x)[:, 4:]
    counts = np.stack([(everywhere == level).sum(axis=0) + 0.1 for level in range(17)])
    shares = np.log(counts / counts.sum(axis=0))
    alone = np.mean([np.take_along_axis(shares, row[None].astype(int), axis=0).sum() for row in x[:, 4:]])
    assert told["log_hidden_given_seen"] > alone  # what is seen says something of what is hidden
    mask = np.zeros((8, 8), bool)
    mask[4:] = True
    np.save(tmp_path / "m.npy", mask)
    by_file = (*words[:3], "--mask", str(tmp_path / "m.npy"), *words[5:], "--draws", "3")
    again = latens(*by_file, "--out", str(tmp_path / "b.npz"), "--json").json
    assert again["log_hidden_given_seen"] == told["log_hidden_given_seen"]
    smooth = latens(*words, "--draws", "3", "--mean", "--out", str(tmp_path / "c.npz"), "--json").json
    assert smooth["log_hidden_given_seen"] == told["log_hidden_given_seen"]
    with np.load(tmp_path / "a.npz") as noisy, np.load(tmp_path / "c.npz") as calm:
        np.testing.assert_array_equal(noisy["x"], calm["x"])
        apart = [np.abs(made["draws"] - x[:, None]).mean() for made in (calm, noisy)]
        assert apart[0] < apart[1]  # a mean is nearer to the truth than a draw
    picture = latens(*words, "--draws", "2", "--out", str(tmp_path / "a.png"))
    assert "from left to right" in picture.out + picture.err
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--region", "8:,:"], "holds no pixel of 8 x 8"),
        (["--region", "9:,:"], "9 lies outside the 8 rows"),
        (["--region", "top"], "is not a region of pixels"),
        (["--region", "4:,:", "--mask", "x.png"], "both say what is seen"),
        (["--mask", "absent.png"], "there is no such file."),
        (["--mask", "absent.png", "--scale", "2"], "--mask and --scale both say what is seen"),
        (["--grey"], "which have no colours."),
        (["--scale", "3"], "Use --scale 2 or 4 or 8."),
        (["--scale", "2", "--noise", "3"], "--scale and --noise both say what is seen"),
        (["--noise", "0"], "--noise"),
        ([], "nothing is hidden in the 16 rows of digits"),
    ],
)
def test_a_wrong_region_is_refused(
    latens: Callable[..., Result], flags: list[str], message: str, tmp_path: Path
) -> None:
    found = latens("complete", "pretrained:digits-2d", "digits", *flags, "--out", str(tmp_path / "a.png"))
    assert found.code
    assert message in found.err
    assert not list(tmp_path.iterdir())


def test_the_command_completes_small_pictures(latens: Callable[..., Result], tmp_path: Path) -> None:
    """Whole pictures, and files of their rounded block means, give the same answers, which are seen as they were."""
    x = np.asarray(load("digits").x)[:3]
    small = np.round(x.reshape(3, 4, 2, 4, 2).mean(axis=(2, 4))).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "small.npy", small)
    words = ("--scale", "2", "--num-samples", "40", "--steps", "20", "--draws", "3", "--json")
    for name in ("x", "small"):
        out = str(tmp_path / f"{name}.npz")
        told = latens("complete", "pretrained:digits-16d", str(tmp_path / f"{name}.npy"), *words, "--out", out).json
        assert told.get("hidden") == 0.75, told
    with np.load(tmp_path / "x.npz") as made, np.load(tmp_path / "small.npz") as again:
        np.testing.assert_array_equal(made["seen"][..., 0], small)
        np.testing.assert_array_equal(made["draws"], again["draws"])
        assert made["draws"].min() >= 0
        assert made["draws"].max() <= 16
        blocks = made["draws"].reshape(3, 3, 4, 2, 4, 2).mean(axis=(3, 5))
        assert np.abs(blocks - small[:, None]).max() <= 0.5
        np.testing.assert_allclose(made["x"].reshape(3, 4, 2, 4, 2).mean(axis=(2, 4)), small, atol=0.01)
        flat = small.repeat(2, axis=1).repeat(2, axis=2)
        assert np.abs(made["x"] - x).mean() < np.abs(flat - x).mean()  # better than the means themselves
    picture = latens(
        "complete", "pretrained:digits-16d", str(tmp_path / "x.npy"), *words[:-1], "--out", str(tmp_path / "a.png")
    )
    assert "of 2 x 2 pixels the mean is seen" in picture.out + picture.err
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "spread", [pytest.param(16.0, marks=pytest.mark.more), pytest.param(64.0, marks=pytest.mark.more), 1000.0]
)
def test_much_noise_leaves_the_model(spread: float) -> None:
    """log p(y) is that of 40,000 draws of the prior; beyond all levels the mean is the mean picture."""
    data = load("digits")
    trained = TrainedModel.load(pretrained.path("digits-16d"))
    x = np.asarray(data.x)[data.subset("test")][:3].astype(float)
    noisy = (x + spread * np.random.default_rng(1).normal(size=x.shape)).astype(np.float32)[..., None]
    reduction = Reduction((8, 8, 1), low=0.0, high=16.0, noise=spread)
    options = {"num_draws": 200, "num_samples": 400, "reduction": reduction, "key": jax.random.key(0)}
    found = complete(trained.model, as_batch(noisy), **options)
    z = jax.random.normal(jax.random.key(7), (40_000, 16))
    density = lambda one: jax.vmap(lambda y: reduction.log_prob(trained.model.likelihood(one), y))(noisy)  # noqa: E731
    weights = np.asarray(jax.jit(lambda z: jax.lax.map(density, z, batch_size=500))(z), np.float64)
    reference = np.logaddexp.reduce(weights, axis=0) - np.log(len(z))
    np.testing.assert_allclose(found.log_seen, reference, atol=0.4)
    assert np.isfinite(found.draws).all()
    if spread >= 1000:
        assert np.abs(found.mean - np.asarray(data.x).mean(axis=0)).mean() < 0.5
        assert abs(found.draws.std(axis=1).mean() / np.asarray(data.x).std(axis=0).mean() - 1.0) < 0.15


@pytest.mark.parametrize(
    "spread", [pytest.param(1.0, marks=pytest.mark.more), 3.0, pytest.param(8.0, marks=pytest.mark.more)]
)
def test_the_command_takes_noise_away(latens: Callable[..., Result], tmp_path: Path, spread: float) -> None:
    """Of whole numbers and of others, over a range of strengths: nearer than what is seen and than a flat guess."""
    data = load("digits")
    x = np.asarray(data.x)[data.subset("test")][:6].astype(float)
    noisy = (x + spread * np.random.default_rng(0).normal(size=x.shape)).astype(np.float32)
    np.save(tmp_path / "noisy.npy", noisy)
    words = ("--noise", str(spread), "--num-samples", "100", "--steps", "50", "--draws", "20", "--json")
    told = latens(
        "complete", "pretrained:digits-16d", str(tmp_path / "noisy.npy"), *words, "--out", str(tmp_path / "a.npz")
    ).json
    assert told["noise"] == spread, told
    with np.load(tmp_path / "a.npz") as made:
        np.testing.assert_allclose(made["seen"][..., 0], noisy, rtol=1e-6)
        assert made["draws"].min() >= 0
        assert made["draws"].max() <= 16
        mean, draws = made["x"], made["draws"]
    error = np.sqrt(((mean - x) ** 2).mean())
    mixed = np.asarray(data.x)[data.subset("train")]
    prior = mixed.var(axis=0)
    alone = mixed.mean(axis=0) + prior / (prior + spread**2) * (noisy - mixed.mean(axis=0))
    assert error < 0.95 * np.sqrt(((alone - x) ** 2).mean())  # pixels know of one another
    np.save(tmp_path / "cut.npy", np.clip(np.round(noisy), 0, 16).astype(np.uint8))
    found = latens(
        "complete", "pretrained:digits-16d", str(tmp_path / "cut.npy"), *words[:-1], "--out", str(tmp_path / "c.npz")
    )
    assert "lie at an end of the range" in found.out + found.err
    np.save(tmp_path / "within.npy", np.clip(np.round(noisy), 1, 15).astype(np.uint8))
    for name in ("noisy.npy", "within.npy"):  # nothing was cut off, or not at the ends
        silent = latens(
            "complete", "pretrained:digits-16d", str(tmp_path / name), *words[:-1], "--out", str(tmp_path / "d.npz")
        )
        assert not silent.code
        assert "at an end of the range" not in silent.out + silent.err
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    assert ((x >= low - 0.5) & (x <= high + 0.5)).mean() > 0.8
