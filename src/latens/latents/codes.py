"""What the latent dimensions do: codes, KL by dimension, which of them are active."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Shaped

from latens.data.dataset import Batch
from latens.data.row_fields import plain_numbers
from latens.distributions import AbstractDistribution, ColourLogistics, Product, RelaxedOneHot, as_reparameterised
from latens.distributions.chain import AbstractLevels
from latens.errors import ConfigError, DataError, UsageError
from latens.evidence.batched import BATCH_SIZES, ModelRows, map_rows, of_parts
from latens.evidence.estimate import shares
from latens.evidence.factors import principal as components
from latens.evidence.importance import encode_prepared
from latens.models import AbstractLatentModel, as_code, mean_code
from latens.models.heads.table import TokenHead
from latens.runtime.compilation import check_generator, check_process, counted
from latens.runtime.programs import compiled
from latens.runtime.random_keys import folded, of_seed
from latens.runtime.terminal import reached
from latens.typing import AnyArray, Array, Cond, Key, Mask, PyTree, checked_later


def from_code(model: AbstractLatentModel, z: Array, cond: Cond = None) -> Any:
    """The latent that `as_code` made an array of: levels of a hierarchy, or a label and a code, as their tuple."""
    like = jax.eval_shape(lambda key: model.prior(cond=cond).sample(key=key), jax.random.key(0))
    if not isinstance(like, tuple):
        return z
    levels, structure = jax.tree.flatten(like)
    sizes = np.cumsum([level.size for level in levels])
    parts = jnp.split(z, sizes[:-1].tolist())
    return jax.tree.unflatten(structure, [part.reshape(level.shape) for part, level in zip(parts, levels)])


def encode(rows: ModelRows) -> dict[str, np.ndarray]:
    """Encode each row: the mean of its posterior and, where they exist, log variances and KL.

    Args:
        rows: The model and the stored rows, B of them.

    Returns:
        `mean` (B, *z) and, where they exist, `log_variance` and `kl` by latent dimension (nats). The mean of a
        categorical latent is the probabilities of its levels, (B, *z, levels).
    """
    return map_rows(encode_prepared, rows)


def _with_noise(model: AbstractLatentModel, batch: Batch, key: Key) -> Array:
    """The codes that belong to the noise that lies among the conditions."""
    cond = dict(batch.cond or {})
    noise = cond.pop(NOISE)

    def one_row(x: PyTree, cond: Cond, mask: Mask, noise: Array) -> Array:
        posterior = model.posterior(x, cond=cond or None, mask=mask)
        like = jax.eval_shape(lambda: _noise_like(posterior))
        leaves, structure = jax.tree.flatten(like)
        sizes = [leaf.size for leaf in leaves]
        if noise.size != sum(sizes):
            what = f"each row has {noise.size} values of noise, and a {type(posterior).__name__} takes {sum(sizes)}."
            raise DataError(what, where="noise", fix=f"Give an array of shape (rows, {sum(sizes)}).")
        parts = jnp.split(noise, np.cumsum(sizes[:-1]).tolist())
        given = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves)]
        return as_code(posterior, _from_noise(posterior, jax.tree.unflatten(structure, given)))

    return jax.vmap(one_row)(batch.x, cond, batch.mask, noise)


def _noise_like(posterior: AbstractDistribution) -> Any:
    if isinstance(posterior, Product):
        return {name: _noise_like(part) for name, part in posterior.parts.items()}
    if isinstance(posterior, RelaxedOneHot):  # its noise is uniform: zeros are not its mean
        return posterior.logits
    return as_reparameterised(posterior).sample_noise(key=jax.random.key(0))


def _from_noise(posterior: AbstractDistribution, noise: PyTree) -> Any:
    if isinstance(posterior, Product):
        return {name: _from_noise(part, noise[name]) for name, part in posterior.parts.items()}
    if isinstance(posterior, RelaxedOneHot):
        # Told from the codes afterwards: noise has no values yet while a program is compiled.
        return jnp.where(jnp.all((noise >= 0.0) & (noise <= 1.0)), posterior.from_uniform(noise), jnp.nan)
    return as_reparameterised(posterior).from_noise(noise)


NOISE = "noise of the posterior"
"""The name under which noise travels among the conditions of a batch."""


@checked_later
def encode_with_noise(rows: ModelRows, noise: np.ndarray) -> np.ndarray:
    r"""Encode each row with noise that is given: for a Normal posterior $z = \mu + \sigma \odot \epsilon$."""
    # noise: as many values for each row as the posterior takes: zeros give the mean, standard Normal ones samples of a
    # Normal posterior. Those of several levels stand one after the other. Relaxed discrete posteriors take uniform
    # noise between 0 and 1.
    noise = plain_numbers(noise, "noise").astype(np.float32)
    if noise.shape[:1] != rows.batch.row_id.shape or not np.isfinite(noise).all():
        found = f"of shape {noise.shape}" if noise.shape[:1] != rows.batch.row_id.shape else "that is not finite"
        what = f"there is noise {found} for {len(rows.batch.row_id)} rows."
        raise DataError(what, where="noise", fix="Give one row of finite values for each row of the data.")
    given = replace(rows.batch, cond={**(rows.batch.cond or {}), NOISE: noise.reshape(len(noise), -1)})
    try:
        codes = map_rows(_with_noise, replace(rows, batch=given))
    except TypeError as error:
        if "is not a function of noise" not in str(error):
            raise
        raise DataError(f"{error}.", where="noise", fix="Leave the noise out.") from None
    if np.isnan(codes).any() and (noise.min() < 0.0 or noise.max() > 1.0):
        what = f"the noise goes from {noise.min():.3g} to {noise.max():.3g}, and this posterior takes uniform noise."
        raise DataError(what, where="noise", fix="Give numbers between 0 and 1: rng.uniform(size=...).")
    return codes


class Principal(NamedTuple):
    """The two directions in which points differ most, the first one first."""

    centre: np.ndarray  # shape (d,)
    axes: np.ndarray  # how coordinates are made of points, shape (d, k), k at most 2
    steps: np.ndarray  # what a step of 1 along each changes, likewise
    shares: np.ndarray  # of the variance, shape (k,)

    def of(self, points: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, "n k"]:
        """Coordinates of points along the axes."""
        return (np.asarray(points, np.float64) - self.centre) @ self.axes


def principal(points: Shaped[np.ndarray, "n d"], noise: Shaped[np.ndarray, " d"]) -> Principal:
    """Find the principal axes of posterior means, each dimension in units of its noise."""
    # Posterior means alone tell little: under a standard Normal prior each has a variance of nearly 1.
    made = components(np.asarray(points, np.float64) / noise, 2)
    lacking = min(2, len(noise)) - len(made.variances)  # of one row there are no directions
    axes = np.pad(made.directions, [(0, 0), (0, lacking)])
    axes *= np.where(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0) < 0, -1.0, 1.0)
    shares = np.pad(made.variances / max(made.each.sum(), 1e-300), (0, lacking))
    scale = noise[:, None]
    return Principal(made.mean * noise, axes / scale, axes * scale, shares)


def unit_noise(means: np.ndarray, log_variance: np.ndarray | None) -> Shaped[np.ndarray, " d"]:
    """The posterior standard deviation of each latent dimension; 1 where a posterior has none."""
    log = np.zeros(means.shape) if log_variance is None else log_variance.reshape(means.shape).astype(np.float64)
    return np.maximum(np.exp(0.5 * log).mean(0), 1e-12)


def active_units(means: np.ndarray, threshold: float = 0.01, weight: np.ndarray | None = None) -> np.ndarray:
    r"""Say which latent dimensions are active: those whose posterior mean varies over the rows.

    $\mathrm{Var}_x(E_q[z_j]) > 0.01$ over the rows given.

    Args:
        means: Posterior means, shape (B, *z).
        threshold: Variance above which a dimension is active.
        weight: Weights of the rows, shape (B,).

    Returns:
        Booleans of shape (*z).

    Source: Burda, Grosse & Salakhutdinov (2016), section 5.2.
    """
    means, share = np.asarray(means, np.float64), shares(weight, len(means))
    centred = means - np.tensordot(share, means, axes=1)
    return np.tensordot(share, centred**2, axes=1) > threshold


Mean = bool | Literal["seen"]
"""Whether the mean is asked for, and whether it is only looked at."""


def mean_of(likelihood: Any, mean: Mean) -> Array:
    """The mean of an event; of pixels of several colours that are only looked at the one that takes no sum."""
    return likelihood.moments()[0] if mean == "seen" and isinstance(likelihood, ColourLogistics) else likelihood.mean()


@compiled
def _decode(
    model: AbstractLatentModel, z: AnyArray, cond: Cond, key: Key, mean: Mean,
    temperature: np.floating | Array | None = None,
) -> Array:  # fmt: skip
    def one(z: PyTree, cond: Cond, key: Key) -> Array:
        likelihood: Any = model.likelihood(from_code(model, z, cond), cond=cond)
        if temperature is not None:
            return likelihood.sample_at(temperature, key=key)
        return mean_of(likelihood, mean) if mean else likelihood.sample(key=key)

    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(z.shape[0]))
    return jax.vmap(one)(z, cond, keys)


@counted(batch_size=1)
def decode(
    model: AbstractLatentModel,
    z: np.ndarray,
    *,
    key: Key | None = None,
    mean: Mean = True,
    cond: Cond = None,
    batch_size: int = 500,
    temperature: float | None = None,
) -> np.ndarray:
    """Decode latents: the mean of p(x | z) for each row of z, or a sample of it.

    Args:
        model: The trained model.
        z: Latents, with n as leading axis.
        key: Random key, for samples.
        mean: False for a sample in the place of the mean; "seen" for a mean that is only looked at, which of pixels of
            several colours takes no sum over levels: mostly within 0.2 of a level, seldom off by ten.
        cond: Conditions, with n as leading axis.
        batch_size: Rows in one compiled batch.
        temperature: Of samples of tokens, from 0; None: 1.

    Returns:
        A NumPy array of shape (n, *x), in the unit of the model.
    """
    check_process() if key is None else check_generator(key)
    if key is None and not mean:
        raise TypeError("decode needs a key to draw")
    key = of_seed(0) if key is None else key  # a mean uses none
    model = eqx.nn.inference_mode(model)
    size = min(batch_size, next((size for size in BATCH_SIZES if len(z) <= size), batch_size))
    parts, at = [], None if temperature is None else np.float32(temperature)
    for number, start in enumerate(range(0, len(z), size)):
        reached(start, len(z))
        index = np.arange(start, min(start + size, len(z)))
        padded = np.concatenate([index, np.full(size - len(index), index[0])])
        part_cond = None if cond is None else jax.tree.map(lambda leaf, i=padded: leaf[i], cond)
        part_key = folded(key, number)
        values = _decode(model, z[padded].astype(np.float32), part_cond, part_key, mean, at)
        parts.append(np.asarray(values)[: len(index)])
    return np.concatenate(parts)


@compiled
def _prior_codes(model: AbstractLatentModel, index: AnyArray, cond: Cond, key: Key, temperature: float) -> Array:
    def one(i: AnyArray, cond: Cond) -> Array:
        return _prior_code(model, jax.random.fold_in(key, i), cond, temperature)

    return jax.vmap(one)(index, cond)


@counted(n=1)
def sample_prior(
    model: AbstractLatentModel, n: int, *, key: Key, cond: Cond = None, temperature: Any = 1.0
) -> np.ndarray:
    """Sample latents from the prior; levels and groups one after the other, categorical latents one-hot.

    Args:
        model: The trained model.
        n: Number of samples.
        key: Random key.
        cond: Conditions with n as leading axis, of a model whose prior reads some.
        temperature: From 0: below 1 samples are nearer to the centre of the prior; see `sample_at`.

    Returns:
        A NumPy array of shape (n, *z).

    Raises:
        ConfigError: The prior has no temperature, and another than 1 is asked for.
        UsageError: The temperature is negative or not finite.
    """
    check_generator(key)
    # As rows are: a few programs serve every number up to 500, and each latent has a key of its own.
    size = next((size for size in BATCH_SIZES if n <= size), n)
    index = np.concatenate([np.arange(n), np.zeros(size - n, int)])
    cond = cond if cond is None or size == n else jax.tree.map(lambda leaf: np.asarray(leaf)[index], cond)
    with _at(temperature) as scale:
        return np.asarray(_prior_codes(model, np.arange(size), cond, key, scale))[:n]


@contextlib.contextmanager
def _at(temperature: Any) -> Iterator[float]:
    """Give a temperature as a plain number; refuse what is none, and priors that have none."""
    given = np.asarray(temperature)
    allowed = given.shape == () and given.dtype.kind in "iuf"
    if not allowed or not 0.0 <= temperature < math.inf:
        what = f"{temperature!r} is not a temperature."
        raise UsageError(what, where="temperature", fix="Give a number from 0; 1 samples from the prior as it is.")
    try:
        yield float(temperature)
    except TypeError as error:
        if temperature == 1.0 or not any(words in str(error) for words in _NO_TEMPERATURE):
            raise
        fix = "Leave it out, or use a prior of Normals, mixtures of them, flows or codes (`latens refit RUN --prior`)."
        what = f"the prior of this model has no temperature ({error})."
        raise ConfigError(what, where="temperature", fix=fix) from None


@compiled
def _prior_rows(
    model: AbstractLatentModel, index: AnyArray, cond: Cond, z_key: Key, x_key: Key, mean: Mean, temperature: float
) -> tuple[Array, Array]:
    z = _prior_codes(model, index, cond, z_key, temperature)
    return _decode(model, z, cond, x_key, mean), z


@counted(n=1)
def new_rows(
    model: AbstractLatentModel, n: int, *, mean: bool, key: Key, cond: Cond = None, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows from the prior, or the means of p(x | z), and give their z beside them."""
    z_key, x_key = folded(key, 0), folded(key, 1)
    if (
        temperature != 1.0
        and not mean
        and isinstance(getattr(getattr(model, "decoder", None), "head", None), TokenHead)
    ):
        z = sample_prior(model, n, key=z_key, cond=cond)  # the temperature is that of the tokens
        with _at(temperature) as scale:
            return decode(model, z, key=x_key, mean=False, cond=cond, temperature=scale), z
    check_generator(key)
    # Codes and rows are one program.
    model, size = eqx.nn.inference_mode(model), next((size for size in BATCH_SIZES if n <= size), BATCH_SIZES[-1])
    parts = []
    with _at(temperature) as scale:
        for number, start in enumerate(range(0, n, size)):
            index = np.minimum(np.arange(start, start + size), n - 1)
            own = None if cond is None else jax.tree.map(lambda leaf, i=index: np.asarray(leaf)[i], cond)
            parts.append((index, own, z_key, folded(x_key, number), mean, scale))
        made = of_parts(_rows_of_prior, (model,), parts)
    x, z = (np.concatenate(each)[:n] for each in zip(*made))
    return x, z


def _rows_of_prior(*given: Any) -> tuple[np.ndarray, ...]:
    return tuple(map(np.asarray, _prior_rows(*given)))


_NO_TEMPERATURE = ("samples at a temperature", "is not a function of noise")
"""What the distribution of a prior says where it has no temperature."""


def level_shapes(model: AbstractLatentModel, *, cond: Cond = None) -> tuple[tuple[int, ...], ...]:
    """The shapes of the levels of a hierarchy's latents, lowest first, and none for one level; nothing is computed."""
    shapes: list[tuple[int, ...]] = []

    def seen(cond: Cond) -> None:
        prior = model.prior(cond=cond)
        shapes.extend(prior.shape if isinstance(prior, AbstractLevels) else ())

    eqx.filter_eval_shape(seen, cond)
    return tuple(shapes)


def latent_shape(model: AbstractLatentModel, *, cond: Cond = None) -> tuple[int, ...]:
    """The shape of one latent as `encode` and `sample_prior` give it and `decode` takes it; nothing is computed."""
    return jax.eval_shape(lambda cond: _prior_code(model, jax.random.key(0), cond), cond).shape


def _prior_code(model: AbstractLatentModel, key: Key, cond: Cond, temperature: float = 1.0) -> Array:
    prior = model.prior(cond=cond)
    return as_code(prior, prior.sample(key=key) if temperature == 1.0 else prior.sample_at(temperature, key=key))


def _reconstruct(
    model: AbstractLatentModel, batch: Batch, key: Key, mean: Mean, of_mean: bool, into: dict[str, Array] | None = None
) -> Array:
    def one_row(x: PyTree, row_id: AnyArray, cond: Cond, mask: Mask) -> Array:
        posterior = model.posterior(x, cond=cond, mask=mask)
        latent_key, event_key = jax.random.split(jax.random.fold_in(key, row_id))
        z = from_code(model, mean_code(posterior), cond) if of_mean else posterior.sample(key=latent_key)
        likelihood = model.likelihood(z, cond=cond if into is None else {**(cond or {}), **into})
        return mean_of(likelihood, mean) if mean else likelihood.sample(key=event_key)

    return jax.vmap(one_row)(batch.x, batch.row_id, batch.cond, batch.mask)


def reconstruct(rows: ModelRows, *, mean: Mean = True) -> np.ndarray:
    """Reconstruct each row: the mean of p(x | z) at the posterior mean, or a sample at a posterior sample.

    Args:
        rows: The model and the stored rows, B of them.
        mean: False for samples in the place of means; "seen" as for `decode`.

    Returns:
        A NumPy array of shape (B, *x), in the unit of the model.
    """
    return map_rows(Partial(_reconstruct, mean=mean, of_mean=bool(mean)), rows)


def draw_around(rows: ModelRows, *, mean: bool = False) -> np.ndarray:
    """Draw a new row around each row: z from q(z | x), then x from p(x | z), or its mean."""
    return map_rows(Partial(_reconstruct, mean=mean, of_mean=False), rows)


def translate(rows: ModelRows, into: dict[str, np.ndarray], *, mean: bool = True) -> np.ndarray:
    """Decode the code of each row under other conditions: q(z | x, its own), then p(x | z, the others).

    Args:
        rows: The model and the stored rows, B of them.
        into: The conditions of one row to decode under, in the place of those of the same name.
        mean: Whether to give the mean of p(x | z) at the posterior mean; else a sample at a posterior sample.

    Returns:
        A NumPy array of shape (B, *x), in the unit of the model.
    """
    function = Partial(_reconstruct, mean=mean, of_mean=mean, into={k: jnp.asarray(v) for k, v in into.items()})
    return map_rows(function, rows)
