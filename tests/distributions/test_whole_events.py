"""Distributions whose parts depend on one another, over all events there are: sums, definitions, draws, marginals."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quantised_fixtures import EVERY, HEAD, uneven
from scipy import special, stats

from latens.distributions import AbstractDistribution, Bernoulli, ColourLogistics, Mixture, TokenSequence
from latens.models import AutoregressiveHead, BernoulliHead, PixelHead
from latens.networks.token_networks import TokenGRU

KEY = jax.random.key(3)


@dataclass(frozen=True)
class WholeRow:
    """A factory, all events with mass (n, ...), and the function that finds log p of each by the definition."""

    make: Callable[[], AbstractDistribution]
    events: np.ndarray
    oracle: Callable[[Any], np.ndarray] | None = None
    masks: np.ndarray | None = None
    """Masks under which the observed part has a density."""


def grid(levels: int, shape: tuple[int, ...]) -> np.ndarray:
    every = np.array(list(itertools.product(range(levels), repeat=int(np.prod(shape)))))
    return every.reshape(-1, *shape).astype(np.float32 if levels == 2 else np.int32)


def colours(seed: int = 0, shape: tuple[int, int, int] = (1, 1, 3), levels: int = 5) -> ColourLogistics:
    """Two components with random places, widths and couplings."""
    rng, (h, w, c) = np.random.default_rng(seed), shape
    draw = lambda *size: jnp.asarray(rng.normal(size=size), jnp.float32)  # noqa: E731
    pairs = c * (c - 1) // 2
    return ColourLogistics(
        draw(2, h, w), 0.5 * draw(c, 2, h, w), 0.5 * draw(c, 2, h, w) - 1.0, draw(pairs, 2, h, w), levels
    )


def of_colours(d: ColourLogistics) -> np.ndarray:
    """Of a mixture of logistics, cut at the levels, each moved by the channels before it."""
    logits, loc, scale, a = (np.asarray(v, np.float64)[..., 0, 0] for v in (d.logits, d.loc, d.log_scale, d.coupling))
    place, last = {pair: i for i, pair in enumerate([(0, 1), (0, 2), (1, 2)])}, d.levels - 1
    events = grid(d.levels, (len(loc),))
    v, total = 2.0 * events / last - 1.0, 0.0
    for k, weight in enumerate(special.softmax(logits)):
        mass = weight
        for c in range(len(loc)):
            mu = loc[c, k] + sum(a[place[b, c], k] * (v[:, b] - loc[b, k]) for b in range(c))
            low = np.where(events[:, c] == 0, -np.inf, v[:, c] - 1 / last)
            high = np.where(events[:, c] == last, np.inf, v[:, c] + 1 / last)
            mass = mass * (
                stats.logistic.cdf(high, mu, np.exp(scale[c, k])) - stats.logistic.cdf(low, mu, np.exp(scale[c, k]))
            )
        total = total + mass
    return np.log(total)


def head_of(shape: tuple[int, ...], levels: int = 2, components: int = 1, seed: int = 0, **options: int) -> Any:
    """A head with random weights everywhere, so that pixels depend strongly on one another."""
    inner = BernoulliHead(shape) if levels == 2 else PixelHead(shape, levels, components)
    head = AutoregressiveHead(inner, **{"rows": 1, "sides": 1, "width": 5, "features": 2, **options})
    head, rng = head.initialised(key=jax.random.key(seed)), np.random.default_rng(seed)
    return replace(
        head, context=jax.tree.map(lambda a: jnp.asarray(0.6 * rng.normal(size=a.shape), jnp.float32), head.context)
    )


def outputs_of(head: Any, seed: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=head.num_outputs), jnp.float32)


def picture(shape: tuple[int, ...], levels: int = 2, **options: int) -> WholeRow:
    head = head_of(shape, levels, **options)
    oracle = (lambda p: np.array([of_pixels(head, x) for x in grid(2, shape)])) if levels == 2 else None
    return WholeRow(lambda: head(outputs_of(head)), grid(levels, shape), oracle)


def of_pixels(head: Any, x: np.ndarray) -> float:
    """By loops: windows row by row, features of a block, a residual layer that passes units on, a logit each."""
    (h, w), block = x.shape, head.block
    units = head.neighbour_units
    outputs = np.asarray(outputs_of(head), np.float64)
    own, features = outputs[: h * w].reshape(h, w), outputs[h * w :].reshape(2, h, w)
    c = jax.tree.map(lambda a: np.asarray(a, np.float64), head.context)
    total, passed = 0.0, {}
    for i, j in itertools.product(range(h), range(w)):
        sides = range(-head.sides, head.sides + 1)
        places = [(i + a, j + b) for a in range(-head.rows, 0) for b in sides] + [(i, j + b) for b in sides if b < 0]
        inside = lambda p: 0 <= p[0] < h and 0 <= p[1] < w  # noqa: E731
        v = np.array([2.0 * x[p] - 1.0 if inside(p) else 0.0 for p in places])
        corner, place = (i // block * block, j // block * block), (i % block * block + j % block) * 5
        shown = [(corner[0] + a, corner[1] + b) for a, b in itertools.product(range(block), repeat=2)]
        f = np.concatenate([features[:, *p] if inside(p) else np.zeros(2) for p in shown])
        hidden = c.of_values @ v + c.of_features[place : place + 5] @ f + c.bias
        passed[i, j] = np.maximum(hidden, 0)[:units]
        k = [passed.get(p, np.zeros(units)) for p in [(i - 1, j - 1), (i - 1, j), (i - 1, j + 1), (i, j - 1)]]
        hidden = (
            hidden + c.hidden @ np.maximum(hidden, 0) + c.hidden_bias + (c.near @ np.concatenate(k) if units else 0.0)
        )
        logit = own[i, j] + (c.output @ np.maximum(hidden, 0))[0]
        total += x[i, j] * logit - np.logaddexp(0.0, logit)
    return total


def uneven_network(network: Any, scale: float = 1.0) -> Any:
    """The same network with all its arrays drawn at random."""
    leaves, tree = jax.tree.flatten(network)
    keys = jax.random.split(KEY, len(leaves))
    return jax.tree.unflatten(tree, [scale * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves)])


def tokens(vocabulary: int = 3, places: int = 4, marks: int = 0, **options: Any) -> TokenSequence:
    network = uneven_network(TokenGRU.create(vocabulary, 5, marks=marks, key=KEY))
    return TokenSequence(network, jax.random.normal(jax.random.key(0), (4 * 5 + vocabulary,)), (places,), **options)


BEGINNINGS = np.arange(4) < np.arange(5)[:, None]
CLOSING = {"vocabulary": 5, "places": 5, "marks": 2, "never_empty": True, "closing": (2, 3, (4,))}


def may_follow(before: list[int], p: TokenSequence) -> list[int]:
    """Of codes end, a letter, "(", ")" and a ring number, those that may follow others; all where nothing closes."""
    if not p.closing:
        return [0, 1, 2]
    depth = before.count(2) - before.count(3)
    is_open = depth > 0 or before.count(4) % 2
    return [code for code in range(5) if not (code == 0 and (is_open or not before)) and not (code == 3 and depth < 1)]


def by_steps(p: TokenSequence) -> np.ndarray:
    """Of each row of tokens, from the logits of single steps: of those that may follow, up to the first end."""
    places, step = p.shape[0], jax.jit(lambda *at: p.network.step(*at))
    found: dict[tuple[int, ...], float] = {}

    def walk(before: list[int], memory: Any, previous: int, total: float) -> None:
        if len(before) == places - 1:  # the last place is an end, whatever is open
            found[(*before, 0)] = total
            return
        marks = (jnp.array([before.count(2) > before.count(3), before.count(4) % 2]),) if p.closing else ()
        logits, memory = step(jnp.asarray(previous), jnp.asarray(len(before)), memory, p.given, *marks)
        logits, may = np.asarray(logits, np.float64), may_follow(before, p)
        for code in may:
            value = total + logits[code] - special.logsumexp(logits[np.array(may)])
            if code == 0:
                found[tuple(before) + (0,) * (places - len(before))] = value
            else:
                walk([*before, code], memory, code, value)

    walk([], p.network.memory(p.given), 0, 0.0)
    levels = 5 if p.closing else 3
    return np.array([found.get(tuple(row), -np.inf) for row in grid(levels, (places,))])


SHARES, COINS = np.array([0.2, -0.9]), np.array([[2.0, -0.5, 0.3], [-1.0, 1.5, 0.0]])


def of_coins(_: object) -> np.ndarray:
    each = [stats.bernoulli.logpmf(grid(2, (3,)), special.expit(row)).sum(axis=1) for row in COINS]
    return special.logsumexp(special.log_softmax(SHARES) + np.stack(each, axis=1), axis=1)


def _coded() -> np.ndarray:
    return np.stack([np.asarray(HEAD.quantiser.decode(jnp.asarray(codes)[:, None])).reshape(-1) for codes in EVERY])


WHOLE: dict[str, WholeRow] = {
    "ColourLogistics": WholeRow(lambda: colours(1), grid(5, (1, 1, 3)), of_colours),
    "Autoregressive, blocks": picture((2, 3), rows=3, sides=4, block=2),
    "Autoregressive, neighbours": picture((3, 2), neighbour_units=3),
    "Autoregressive of levels": picture((1, 2, 2), 3, components=2),
    "TokenSequence of a GRU": WholeRow(tokens, grid(3, (4,)), by_steps, BEGINNINGS),
    "TokenSequence, closed": WholeRow(
        lambda: tokens(**CLOSING), grid(5, (5,)), by_steps, np.arange(5) < np.arange(6)[:, None]
    ),
    "Mixture of coins": WholeRow(
        lambda: Mixture(jnp.asarray(SHARES), jax.vmap(Bernoulli)(jnp.asarray(COINS))), grid(2, (3,)), of_coins
    ),
    "TransformerCodes": WholeRow(uneven, _coded()),
}


def of_all(names: list[str], function: Callable[[str], Any]) -> dict[str, Any]:
    return jax.tree.map(np.asarray, jax.jit(lambda: {name: function(name) for name in names})())


@pytest.fixture(scope="module")
def log_p() -> dict[str, np.ndarray]:
    of = lambda name: jax.vmap(WHOLE[name].make().log_prob)(jnp.asarray(WHOLE[name].events))  # noqa: E731
    return {name: found.astype(np.float64) for name, found in of_all(list(WHOLE), of).items()}


def test_masses_of_all_events_sum_to_one_and_are_those_of_the_definition(log_p: dict[str, np.ndarray]) -> None:
    for name, row in WHOLE.items():
        mass = np.exp(log_p[name])
        np.testing.assert_allclose(mass.sum(), 1.0, atol=2e-5, err_msg=name)
        assert mass.max() < 0.99, name  # not a sum of one term
        if row.oracle:
            np.testing.assert_allclose(log_p[name], row.oracle(row.make()), rtol=2e-4, atol=2e-5, err_msg=name)


def test_events_are_drawn_as_often_as_their_mass_says(log_p: dict[str, np.ndarray]) -> None:
    keys = jax.random.split(jax.random.key(1), 4000)

    def drawn(name: str) -> tuple:
        one = WHOLE[name].make()
        return jax.vmap(lambda key: one.sample_and_log_prob(key=key))(keys)

    for name, (events, value) in of_all(list(WHOLE), drawn).items():
        place = {row.tobytes(): i for i, row in enumerate(WHOLE[name].events.astype(events.dtype))}
        found = np.array([place[row.tobytes()] for row in events])
        np.testing.assert_allclose(value, log_p[name][found], rtol=1e-4, atol=1e-4, err_msg=name)
        expected = np.exp(log_p[name]) * len(keys)
        counts, rare = np.bincount(found, minlength=len(expected)), expected < 8
        counts, expected = (np.append(one[~rare], one[rare].sum()) for one in (counts, expected))
        statistic = np.sum((counts - expected) ** 2 / np.maximum(expected, 1))
        assert statistic < stats.chi2.isf(1e-5, len(counts)), name


def test_an_observed_part_has_the_sum_of_all_that_agree_with_it(log_p: dict[str, np.ndarray]) -> None:
    """And what is given it their shares; what is hidden has no influence."""
    names = [name for name, row in WHOLE.items() if row.masks is not None]
    chosen = {name: int(np.argsort(log_p[name])[-5]) for name in names}

    def parts(name: str) -> list[tuple]:
        row, found = WHOLE[name], []
        one, event = row.make(), jnp.asarray(row.events[chosen[name]])
        for mask in row.masks:
            hidden = jnp.where(mask, event, -9)
            given = jax.vmap(one.conditioned(event, jnp.asarray(mask)).log_prob)(jnp.asarray(row.events))
            found.append((one.log_prob_observed(hidden, jnp.asarray(mask)), given))
        return found

    for name in names:
        row, p = WHOLE[name], np.exp(log_p[name])
        for mask, (seen, given) in zip(row.masks, parts(name)):
            agree = np.all((row.events == row.events[chosen[name]]) | ~mask, axis=1)
            np.testing.assert_allclose(np.exp(float(seen)), p[agree].sum(), rtol=1e-4, err_msg=name)
            shares = np.exp(np.asarray(given, np.float64))
            np.testing.assert_allclose(shares, np.where(agree, p, 0) / p[agree].sum(), rtol=2e-4, atol=1e-7)
