"""What the hidden part of a picture may have been, its colours, its details, or what lies under noise."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from latens.data.batches import Batch
from latens.distributions import DiagonalNormal, FullNormal
from latens.distributions.pixels import FEW_LEVELS, ColourLogistics
from latens.evaluation.batched import Rows, cells_of, map_rows, of_rows
from latens.evaluation.evidence.importance import as_log_marginals
from latens.evaluation.evidence.log_marginals import LogMarginals, WeightSummary, summarise
from latens.evaluation.evidence.refine import ascend, has_own_parameters
from latens.evaluation.impute import MANY
from latens.evaluation.linear_answer import Gaussian, linear_answer
from latens.evaluation.reductions import Reduction
from latens.io.keys import IMPUTED_EVENTS, PRIOR_SAMPLES, RESAMPLED
from latens.typing import Array, Float, Key, Nats

_AT_ONCE = 50
"""Draws of z that are decoded at once."""

_ROWS = (1, 4, 16)
"""Rows in one compiled batch, the fewest that do: each takes its time, also where it only fills the batch."""

LARGE = 4096
"""Cells of a row above which it is large: such rows are completed one by one, by fewer draws and steps."""

_USUAL = {"num_samples": 1000, "steps": 100, "starts": 4}
_OF_LARGE = {"num_samples": 200, "steps": 50, "starts": 2}
"""Draws of z, gradient steps and Normals of a row, and of a large one.

Colour photographs of 64 x 64, 128 latents: 0.3 s for 100 draws, 0.04 s for a step, and about one draw has all weight.
"""

_FEW_MEANS = 24
"""Draws of z of which the mean of a large picture is exact where that takes a sum over levels; of all others nearly."""


_GUESSES = 64
"""Draws of the prior from which the encoder's first guess at a noisy picture is made."""

_MEANS = 100
"""Draws of z over which the mean of a picture is taken where every level of a pixel is summed over."""

_OF_PRIOR = 4
"""The part of the draws of z, one in so many, that come from the prior where a picture is noisy."""

_FEWEST = 10.0
"""The effective number of draws of z below which their weights are evened: all draws of x would be of one or two z.

64 digits given the means of four blocks, 40 draws of z: CRPS 1.874 with, 1.889 without; given halves 1.558 and 1.557.
"""


class Completed(NamedTuple):
    r"""What a model makes of the hidden part of rows, in the unit of its likelihood."""

    # $E[x \mid x_{seen}]$ where a value is hidden and the value itself where it is seen, shape (B, *x)
    mean: np.ndarray
    draws: np.ndarray  # m samples from $p(x_{hidden} \mid x_{seen})$, seen values likewise, shape (B, M, *x)
    log_seen: np.ndarray  # $\log p(x_{seen})$ in nats, shape (B,); of rows of which everything is seen $\log p(x)$
    effective: np.ndarray  # the effective number of the draws of z, shape (B,): near 1, everything hangs on one of them


@of_rows
def complete(
    rows: Rows,
    *,
    num_draws: int = 8,
    num_samples: int = 1000,
    steps: int = 100,
    starts: int = 4,
    mean: bool = False,
    reduction: Reduction | None = None,
    power: float = 1.0,
    decoded: bool = False,
    each: Callable[["Completed"], Any] | None = None,
) -> Completed:
    r"""Complete rows of which a part is hidden: its mean, samples of it, and log p of what is seen."""
    # An encoder that never saw such gaps gives a poor $q(z \mid x_{seen})$, and one Normal holds one of several
    # answers. So S Normals are refined for each row, by gradient steps on $E_q[\log p(x_{seen}, z) - \log q(z)]$ from
    # the encoder's posterior and from S - 1 draws of the prior. The proposal is their mixture: $\log p(x_{seen})
    # \approx \log \frac1K \sum_k w_k$ with $w_k = p(x_{seen}, z_k) / \frac1S \sum_s q_s(z_k)$ and as many draws of each
    # $q_s$; samples take one of the $z_k$ by weight, then x from $p(x \mid z)$. Of noisy pictures the encoder is given
    # a first guess, the mean of x given y over draws of the prior by weight, and a quarter of the draws come from the
    # prior: of much noise it is the best proposal. Where the weights are worth fewer than ten draws, samples and mean
    # take them to the power at which they are worth ten. One more part of the mixture is the posterior as if the
    # decoder were linear, with all correlations: that of a linear Gaussian is exact. Posteriors that share arrays among
    # rows (flows, hierarchies) are taken as they are.
    # power: that of the likelihood of what is seen: neighbours repeat one another, so that pixels tell less than as
    # many independent numbers. Then `log_seen` is of that likelihood as well.
    # decoded: whether mean and draws are of p(x | z) also where a row is seen, whatever was seen there.
    # each: called with every block of rows as soon as it is done, in order.
    # Source: semi-amortised inference: Kim et al. (2018), arXiv 1802.02550; mixtures as proposals: Owen & Zhou (2000).
    options = {"num_draws": num_draws, "num_samples": num_samples, "steps": steps, "starts": starts, "means": mean}
    options |= {"power": power, "decoded": decoded}
    function = Partial(_complete, reduction=reduction, **options)
    told = None if each is None else lambda block: each(Completed(*block))
    return Completed(*map_rows(function, replace(rows, batch_size=_rows_at_once(rows.batch)), told))


def effort(cells: int) -> dict[str, int]:
    """Draws of z, gradient steps and Normals for rows of so many cells, where nobody says how many."""
    return _OF_LARGE if cells > LARGE else _USUAL


def _rows_at_once(batch: Batch) -> int:
    """Rows in one compiled batch: few, and of large ones a single one, so that an answer comes soon."""
    few = next((size for size in _ROWS if len(batch.row_id) <= size), _ROWS[-1])
    return 1 if cells_of(batch) > LARGE else few


class Hidden(NamedTuple):
    r"""$\log p(x_{hidden} \mid x_{seen})$ of each row, in nats, and the two estimates it is the difference of."""

    whole: LogMarginals
    seen: LogMarginals

    @property
    def rows(self) -> np.ndarray:
        """The difference for each row, shape (B,), in nats."""
        return self.whole.rows - self.seen.rows

    @property
    def draws_error(self) -> float:
        """What the draws of z may make the mean wrong by, in nats; infinite where they do not tell."""
        return float(np.hypot(self.whole.draws_error, self.seen.draws_error))


@of_rows
def log_hidden(
    rows: Rows, *, num_samples: int = 1000, steps: int = 100, starts: int = 4, near: Gaussian | None = None
) -> Hidden:
    r"""Estimate $\log p(x_{hidden} \mid x_{seen})$ of rows whose values are all known; `mask` is of what is seen."""
    # Both are sums over the same z, half of them from Normals refined for what is seen, half from such for all of x,
    # and weighed by the mixture: $\log\sum_k w_k\,p(x_{hidden} \mid z_k) - \log\sum_k w_k$. So a log probability is
    # never above 0, and a z that explains the whole row also counts in what is seen of it.
    # near: the decoder made linear at zero, whose slope then serves the linear answer of every row. Nothing is then
    # refined by gradient steps: of large pictures that takes most of the time, and the linear answer has all weight.
    function = Partial(_log_hidden, num_samples=num_samples, steps=steps, starts=starts, near=near)
    found = map_rows(function, replace(rows, batch_size=_rows_at_once(rows.batch)))
    words = ("all of x", "what is seen")
    both = [as_log_marginals(one, num_samples, f"log p of {name}", rows.batch) for one, name in zip(found, words)]
    return Hidden(*both)


def _log_hidden(
    model: Any, batch: Batch, key: Key, num_samples: int, steps: int, starts: int, near: Gaussian | None
) -> tuple[WeightSummary, WeightSummary]:
    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> tuple[Array, Array]:
        start_key, ascent_key, draw_key = jax.random.split(jax.random.fold_in(key, row_id), 3)
        masks = jnp.stack([jnp.ones_like(mask), mask])

        def log_joint(z: Any, mask: Any) -> Nats:
            return sum(model.log_joint(z, x, cond=cond, mask=mask), start=jnp.zeros(()))

        # A loop over both masks, not two copies of a program that is slow to compile.
        encoded = lambda one: model.posterior(x, cond=cond, mask=one)  # noqa: E731
        found = encoded(mask)
        if has_own_parameters(found):
            options = {"steps": steps, "learning_rate": 0.05, "num_samples": 4}
            prior, decode = model.prior(cond=cond), lambda z: model.likelihood(z, cond=cond)

            climbing = climbs(model) and near is None

            def refined(one: Any) -> Any:
                firsts = _starts(encoded(one), prior, starts if steps and climbing else 1, start_key)
                climb = lambda q, k: ascend(Partial(log_joint, mask=one), q, key=k, **options)  # noqa: E731
                if climbing:
                    return _finite_or(jax.vmap(climb)(firsts, jax.random.split(ascent_key, _count(firsts))), firsts)
                return firsts

            several = jax.lax.map(refined, masks)
            several = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), several)
            if steps:
                both = jax.lax.map(lambda one: linear_answer(decode, encoded(one), x, one, None, near=near), masks)
                several = _beside(several, [jax.tree.map(lambda leaf, k=k: leaf[k], both) for k in range(2)])
            z, log_q = _of_mixture(several, num_samples, draw_key)
            # In turn, so that every block of the draws has as many of each Normal.
            order = np.arange(log_q.size).reshape(_count(several), -1).T.reshape(-1)[:num_samples]
            z, log_q = jax.tree.map(lambda leaf: leaf[order], z), log_q[order]
        else:
            keys = jax.random.split(draw_key, num_samples)
            z, log_q = jax.lax.map(lambda k: found.sample_and_log_prob(key=k), keys, batch_size=_AT_ONCE)
        weights = lambda own: jax.lax.map(lambda one: log_joint(one, own), z, batch_size=_AT_ONCE)  # noqa: E731
        whole, seen = jax.lax.map(weights, masks) - log_q
        return whole, seen

    whole, seen = jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)
    return summarise(whole), summarise(seen)


def _complete(
    model: Any,
    batch: Batch,
    key: Key,
    num_draws: int,
    num_samples: int,
    steps: int,
    starts: int,
    means: bool,
    reduction: Reduction | None,
    power: float,
    decoded: bool,
) -> tuple[Array, Array, Array, Array]:
    def one_row(x: Any, row_id: Any, cond: Any, mask: Any) -> tuple[Array, Array, Array, Array]:
        own = jax.random.fold_in(key, row_id)
        first_key, ascent_key, draw_key, choice_key = jax.random.split(own, 4)

        def log_joint(z: Any, by_moments: bool = False) -> Nats:
            if reduction is None:
                log_prior, log_seen = model.log_joint(z, x, cond=cond, mask=mask)
                return log_prior + (log_seen if power == 1.0 else power * log_seen)
            log_seen = reduction.log_prob(model.likelihood(z, cond=cond), x, by_moments=by_moments)
            return model.prior(cond=cond).log_prob(z) + log_seen

        def finished(likelihood: Any, event: Array, key: Key | None = None) -> Array:
            return event if reduction is None else reduction.given(likelihood, event, x, key)

        prior, decode = model.prior(cond=cond), lambda one: model.likelihood(one, cond=cond)
        if reduction is None:
            found = model.posterior(x, cond=cond, mask=mask)
        else:
            found = model.posterior(_guess(prior, decode, reduction, x, first_key), cond=cond)
        noisy = reduction is not None and reduction.noise > 0 and found.density_elsewhere
        of_prior = num_samples // _OF_PRIOR if noisy else 0
        if steps and has_own_parameters(found):
            firsts = _starts(found, prior, starts if climbs(model) else 1, first_key)
            options = {"steps": steps, "learning_rate": 0.05, "num_samples": 4}
            climb = lambda q, k: ascend(Partial(log_joint, by_moments=True), q, key=k, **options)  # noqa: E731
            answer = linear_answer(decode, found, x, mask, reduction, power)
            if climbs(model):
                climbed = jax.vmap(climb)(firsts, jax.random.split(ascent_key, _count(firsts)))
                firsts = _finite_or(climbed, firsts)
            found = _beside(firsts, [answer])
            z, log_q = _of_mixture(found, num_samples - of_prior, draw_key)
            density = lambda one: _mixture_log_prob(found, one)  # noqa: E731
        else:
            keys = jax.random.split(draw_key, num_samples - of_prior)
            z, log_q = jax.lax.map(lambda k: found.sample_and_log_prob(key=k), keys, batch_size=_AT_ONCE)
            density = found.log_prob
        if of_prior:
            z, log_q = _with_prior(prior, z, log_q, density, of_prior, jax.random.fold_in(own, PRIOR_SAMPLES))
        log_weight = jax.lax.map(log_joint, z, batch_size=_AT_ONCE) - log_q
        log_sum = jax.nn.logsumexp(log_weight)
        effective = jnp.exp(2.0 * log_sum - jax.nn.logsumexp(2.0 * log_weight))
        up_to = jnp.cumsum(share := _evened(log_weight))
        some = _resampled(z, share, choice_key) if _sums_levels(reduction, decode, z) else (z, share)
        # What is seen also tells the noise that hidden cells share with it.
        given = decode if mask is None or decoded else lambda one: decode(one).conditioned(x, mask)
        mean = _mean_of(given, finished, *some, key=choice_key)
        which, events = jax.random.split(jax.random.fold_in(choice_key, IMPUTED_EVENTS))
        at = jax.random.uniform(which, (num_draws,)) * up_to[-1]
        chosen = jnp.minimum(jnp.searchsorted(up_to, at, side="right"), log_weight.size - 1)

        def event(index: Array, key: Key) -> Array:
            found = given(jax.tree.map(lambda leaf: leaf[index], z))
            if means:
                return finished(found, found.mean())
            if reduction is None or not reduction.noise:
                return finished(found, found.sample(key=key))
            # Halves of a split: `sample` may fold small numbers into its own.
            event_key, noise_key = jax.random.split(key)
            return finished(found, found.sample(key=event_key), noise_key)

        draws = jax.lax.map(
            lambda pair: event(*pair), (chosen, jax.random.split(events, num_draws)), batch_size=_AT_ONCE
        )
        if mask is not None and not decoded:
            mean, draws = jnp.where(mask, x, mean), jnp.where(mask, x, draws)
        elif reduction is None and not decoded:
            mean, draws = x.astype(mean.dtype), jnp.broadcast_to(x, draws.shape).astype(draws.dtype)
        return mean, draws, log_sum - jnp.log(log_weight.size), effective

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def climbs(model: Any) -> bool:
    """Whether proposals are refined by gradient steps: each inverts the covariance of many correlated variables."""
    # Beside such a likelihood the linear answer is the proposal: what its network adds is small.
    return getattr(getattr(getattr(model, "decoder", None), "head", None), "group", 1) < MANY


def _evened(log_weight: Float[Array, " K"]) -> Float[Array, " K"]:
    """The weights, 1 together; where they are worth fewer than `_FEWEST` draws, to the power at which they are."""
    fewest = min(_FEWEST, 0.5 * log_weight.size)
    power = lambda beta: jax.nn.softmax(beta * log_weight)  # noqa: E731

    def halved(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        enough = jnp.sum(power(middle) ** 2) * fewest <= 1.0
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, _ = jax.lax.fori_loop(0, 20, halved, (jnp.zeros(()), jnp.ones(())))
    return power(jnp.where(jnp.sum(power(jnp.ones(())) ** 2) * fewest <= 1.0, 1.0, low))


def _sums_levels(reduction: Reduction | None, decode: Callable[[Any], Any], z: Any) -> bool:
    """Whether what is seen is summed over all levels of a pixel, which takes as many times as long."""
    return reduction is not None and reduction.num_levels(decode(jax.tree.map(lambda leaf: leaf[0], z))) > 0


def _resampled(z: Any, share: Float[Array, " K"], key: Key, most: int = _MEANS) -> tuple[Any, Float[Array, " L"]]:
    """At most so many of the draws, each as often as its share says (systematic resampling), all of one share."""
    count = min(most, share.size)
    up_to = jnp.cumsum(share)
    at = (jnp.arange(count) + jax.random.uniform(jax.random.fold_in(key, RESAMPLED))) / count * up_to[-1]
    chosen = jnp.minimum(jnp.searchsorted(up_to, at, side="right"), share.size - 1)
    return jax.tree.map(lambda leaf: leaf[chosen], z), jnp.full(count, 1.0 / count)


def _mean(decode: Callable[[Any], Array], z: Any, share: Float[Array, " K"]) -> Array:
    """The mean of what draws of z are decoded to, some of them at once, with these weights."""
    size = min(_AT_ONCE, share.size)
    parts = -(-share.size // size)
    in_parts = lambda leaf: jnp.resize(leaf, (parts, size, *leaf.shape[1:]))  # noqa: E731
    weight = jnp.where(jnp.arange(parts * size) < share.size, jnp.resize(share, (parts * size,)), 0.0)
    decoded = jax.vmap(decode)

    def add(total: Array, part: tuple[Any, Array]) -> tuple[Array, None]:
        return total + jnp.tensordot(part[1], decoded(part[0]), axes=1), None

    like = jax.eval_shape(decoded, z).shape[1:]
    return jax.lax.scan(add, jnp.zeros(like), (jax.tree.map(in_parts, z), weight.reshape(parts, size)))[0]


def _mean_of(
    given: Callable[[Any], Any], finished: Callable[[Any, Array], Array], z: Any, share: Float[Array, " K"], key: Key
) -> Array:
    """The mean of a row over draws of z with these weights."""
    exact = lambda one: finished(given(one), given(one).mean())  # noqa: E731
    if not _slow_mean(given, z):
        return _mean(exact, z, share)
    # Nearly, of all draws, and what that is off by, of a few: the error differs little from draw to draw.
    nearly = lambda one: finished(given(one), given(one).moments()[0])  # noqa: E731
    few = _resampled(z, share, key, _FEW_MEANS)
    return _mean(nearly, z, share) + _mean(lambda one: exact(one) - nearly(one), *few)


def _slow_mean(given: Callable[[Any], Any], z: Any) -> bool:
    """Whether a mean is a sum over the levels of channels of a large picture."""
    one = jax.eval_shape(given, jax.tree.map(lambda leaf: leaf[0], z))
    return isinstance(one, ColourLogistics) and one.levels > FEW_LEVELS and one.loc.size > LARGE * one.loc.shape[1]


def _starts(found: Any, prior: Any, starts: int, key: Key) -> Any:
    """The encoder's posterior and copies of it at draws of the prior, led by their number."""
    firsts = [found]
    if isinstance(found, DiagonalNormal):
        for own in jax.random.split(key, max(starts - 1, 1))[: starts - 1]:
            firsts.append(eqx.tree_at(lambda q: q.loc, found, prior.sample(key=own).astype(found.loc.dtype)))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *firsts)


def _beside(several: Any, answers: list[FullNormal | None]) -> Any:
    """Several Normals and further ones, led by their number."""
    if not isinstance(several, DiagonalNormal) or any(one is None for one in answers):
        return several
    same = jax.vmap(lambda q: FullNormal(q.loc, jnp.diag(q.log_scale_array())))(several)
    return jax.tree.map(lambda first, *rest: jnp.concatenate([first, jnp.stack(rest)]), same, *answers)


def _finite_or(several: Any, others: Any) -> Any:
    """Several distributions, led by their number; each that has become infinite on its way is as it was before."""
    whole = [jnp.all(jnp.isfinite(leaf.reshape(len(leaf), -1)), axis=1) for leaf in jax.tree.leaves(several)]
    usable = jnp.all(jnp.stack(whole), axis=0)
    pick = lambda new, old: jnp.where(usable.reshape(-1, *[1] * (new.ndim - 1)), new, old)  # noqa: E731
    return jax.tree.map(pick, several, others)


def _count(several: Any) -> int:
    return jax.tree.leaves(several)[0].shape[0]


def _of_mixture(several: Any, num_samples: int, key: Key) -> tuple[Array, Float[Array, " K"]]:
    """As many draws of each distribution, and their log density under the mixture of all in equal parts."""
    count = _count(several)
    each = -(-num_samples // count)
    keys = jax.random.split(key, (count, each))
    z = jax.vmap(lambda q, own: jax.vmap(lambda k: q.sample(key=k))(own))(several, keys)
    z = z.reshape(count * each, *z.shape[2:])
    return z, jax.vmap(lambda one: _mixture_log_prob(several, one))(z)


def _mixture_log_prob(several: Any, z: Array) -> Nats:
    """The log density of one latent under the mixture of several distributions in equal parts."""
    density = jax.vmap(lambda q: q.log_prob(z))(several)
    return jax.nn.logsumexp(density) - jnp.log(density.size)


def _with_prior(
    prior: Any, z: Any, log_q: Float[Array, " K"], density: Callable[[Any], Nats], count: int, key: Key
) -> tuple[Any, Float[Array, " L"]]:
    """Draws of q and of the prior together, and the log density of each under the mixture of both by their numbers."""
    more = jax.vmap(lambda k: prior.sample(key=k))(jax.random.split(key, count))
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), z, more)
    log_q = jnp.concatenate([log_q, jax.lax.map(density, more, batch_size=_AT_ONCE)])
    log_p = jax.lax.map(prior.log_prob, both, batch_size=_AT_ONCE)
    share = count / log_q.size
    return both, jnp.logaddexp(log_q + np.log1p(-share), log_p + np.log(share))


def _guess(prior: Any, decode: Callable[[Any], Any], reduction: Reduction, seen: Array, key: Key) -> Array:
    """What the encoder is given for what is seen of a picture: the flattest one, or of a noisy one a first guess."""
    shape = jax.eval_shape(lambda: decode(prior.sample(key=key)).mean()).shape
    if not reduction.noise:
        return reduction.spread(seen).reshape(shape)
    z = jax.vmap(lambda k: prior.sample(key=k))(jax.random.split(key, _GUESSES))
    log_seen = lambda one: reduction.log_prob(decode(one), seen, by_moments=True)  # noqa: E731
    share = _evened(jax.lax.map(log_seen, z, batch_size=_AT_ONCE))
    return _mean(lambda one: reduction.moved(decode(one), decode(one).mean(), seen), z, share)
