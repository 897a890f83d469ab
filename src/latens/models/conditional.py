"""Encoders and decoders, each a network, then a head, and the model of both, with one level of latents or several.

Any function or equinox module is a network.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import AbstractDistribution, AbstractFactorised, log_prob
from latens.distributions.chain import Chain
from latens.errors import ConfigError
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.heads.base import AbstractHead
from latens.models.priors import AbstractModelPrior
from latens.networks import LinearPath
from latens.runtime.programs import compiled
from latens.trainable import Frozen, held, traced_once
from latens.typing import AnyArray, Array, Bool, Cond, Float, Key, Mask, Nats, PyTree, Shaped

NEAR = 0.008
"""How many nats a feature the first outputs of a decoder may cost against its last bias alone."""


class Standardise(eqx.Module):
    """Centre and scale an input with frozen arrays; missing entries become 0, the centre.

    `(x - shift) / scale`, of log(1 + x) if `log1p`.

    Args:
        shift: What is subtracted, of shape (*x), in the unit of the input (of its log(1 + x)).
        scale: What it is then divided by, of shape (*x), in the same unit.
        log1p: Whether log(1 + x) is standardised instead of x.
    """

    shift: Frozen
    scale: Frozen
    log1p: bool = eqx.field(static=True)

    def __init__(self, shift: AnyArray, scale: AnyArray, log1p: bool = False) -> None:
        self.shift = Frozen(jnp.asarray(shift, jnp.float32))
        self.scale = Frozen(jnp.asarray(scale, jnp.float32))
        self.log1p = log1p

    def __call__(self, x: Shaped[Array, "*x"]) -> Float[Array, "*x"]:
        """Standardise one input."""
        x = jnp.log1p(x) if self.log1p else x
        return (x - self.shift.value) / self.scale.value


def as_seen(inputs: PyTree, standardise: Callable[..., Array] | None, mask: Bool[Array, "..."] | None) -> Array:
    """An input as a network sees it: standardised, with 0 for what is missing."""
    # standardise: what is applied to it; one with `sees_mask` is given the mask too. None: it stays as it is.
    if mask is not None:
        # Before and after: a NaN in a missing cell must reach neither the value nor a gradient.
        inputs = jnp.where(mask, inputs, jnp.zeros_like(inputs))
    if standardise is None:
        return inputs
    if getattr(standardise, "sees_mask", False):
        return standardise(inputs, mask)
    inputs = standardise(inputs)
    return inputs if mask is None else jnp.where(mask, inputs, jnp.zeros_like(inputs))


class Conditional(eqx.Module):
    """A distribution given one event, `head(network(inputs))`.

    Args:
        network: Maps an array to `head.num_outputs` outputs. It may have an argument `key`.
        head: Turns the outputs into the distribution.
        standardise: A function that is applied to the input first. It turns an input that is not an array into one. If
            it has `sees_mask`, it also receives the mask. None: no change.
        reads: The names of the conditions appended to the input.
        usual: Default of the condition "given". None: the part does not read it.
    """

    network: Callable[..., Array]
    head: AbstractHead
    standardise: Callable[..., Array] | None = None
    reads: tuple[str, ...] = eqx.field(static=True, default=())
    usual: Frozen | None = None

    def __call__(
        self, inputs: PyTree, *, cond: Cond = None, mask: Bool[Array, "..."] | None = None, key: Key | None = None
    ) -> AbstractDistribution:
        """The distribution given one input."""
        inputs = as_seen(inputs, self.standardise, mask)
        if self.reads:
            inputs = jnp.concatenate([inputs.reshape(-1), *(self._condition(name, cond) for name in self.reads)])
        # Without a key there is no dropout, in networks of the user's own neither.
        network = eqx.nn.inference_mode(self.network) if key is None else self.network
        outputs = network(inputs, key=key) if _takes_key(network) else network(inputs)
        if (shape := getattr(outputs, "shape", None)) is None or outputs.size != self.head.num_outputs:
            found = f"an array of shape {shape}" if shape is not None else f"a {type(outputs).__name__}"
            name, needed = type(getattr(self.head, "head", self.head)).__name__, self.head.num_outputs
            what = f"the network returns {found}, but {name} of shape {self.head.shape} needs {needed} numbers."
            raise ConfigError(what, where="network", fix=f"Give its last layer {needed} outputs.")
        return self.head.given(cond)(outputs.reshape(-1))

    def _condition(self, name: str, cond: Cond) -> Float[Array, " n"]:
        if cond is None or name not in cond:
            if name == "given" and self.usual is not None:
                return self.usual.value
            raise ConfigError(f"the model reads the condition {name!r}, which was not given", where="cond")
        return jnp.asarray(cond[name], jnp.float32).reshape(-1)

    def with_output_bias(
        self,
        mean: np.ndarray,
        frequencies: np.ndarray | None = None,
        variance: np.ndarray | None = None,
        rows: AnyArray | None = None,
    ) -> "Conditional":
        """The same part started at the data's moments, where its network has a last bias to set.

        Initial weights give outputs with a variance of about one, whatever the network. What that is for the data
        depends on the head: next to nothing for binary logits, while a decoder of pixels in [0, 1] by their mean would
        start several times as far from them as their mean is.

        Args:
            mean: The mean of the data, of shape (*x).
            frequencies: The frequencies of the levels, of shape (*x, L), for categorical heads.
            variance: The variance of the data, of shape (*x); None: not known.
            rows: A few rows of the data, of shape (n, *x): the last weights are made smaller where noise of variance
                one in the outputs would cost more than 0.008 nats a feature of these. None: they are left.

        Returns:
            A new part, or the same one where the network has no such bias.
        """
        start = getattr(self.network, "with_output_bias", None)
        if start is None:
            return self
        head, bias = self.head.started(mean, frequencies, variance)
        if np.shape(bias) != (head.num_outputs,):
            name = type(getattr(head, "head", head)).__name__  # not of one that scales it
            what = f"output_bias of {name} gives the shape {np.shape(bias)} for {head.num_outputs} outputs."
            raise ConfigError(what, where="likelihood", fix="Give one number for each output, or leave it out.")
        network = start(held(bias))
        smaller = getattr(network, "with_output_weights_times", None)
        if smaller is not None and rows is not None:
            network = smaller(math.sqrt(NEAR / max(cost_of_noise(head, bias, rows), NEAR)))
        return eqx.tree_at(lambda part: (part.network, part.head), self, (network, head))


class AbstractDecoderWrapper(eqx.Module):
    """A decoder around a part, at whose data moments it starts."""

    part: eqx.AbstractVar[Conditional]

    def with_output_bias(self, *moments: Any) -> "AbstractDecoderWrapper":
        """The same decoder around the part that `Conditional.with_output_bias` gives of these moments."""
        part = self.part.with_output_bias(*moments)
        return eqx.tree_at(lambda d: d.part, self, part, is_leaf=lambda node: node is self.part)


def with_usual(model: AbstractLatentModel, vector: AnyArray) -> Any:
    """The same model with another condition where none is given."""

    def changed(part: object) -> Any:
        if not isinstance(part, Conditional) or part.usual is None:
            return part
        return eqx.tree_at(lambda p: p.usual, part, Frozen(jnp.asarray(vector, jnp.float32)))

    return jax.tree.map(changed, model, is_leaf=lambda part: isinstance(part, Conditional))


def cost_of_noise(head: AbstractHead, outputs: Shaped[np.ndarray, " n_out"], rows: AnyArray) -> float:
    """How much log likelihood outputs lose, for each feature, with noise of variance one."""
    # By the curvature at the outputs, so that it does not matter what the rows are nearer to. The mean over features
    # weighs each by its own cost: genes that are never seen cost nothing, and say nothing of the others.
    size, signs = 0.1, np.random.default_rng(0).choice([-1.0, 1.0], (len(rows), outputs.size))
    # With the noise of both signs, the slope cancels.
    steps = size * np.stack([np.zeros_like(signs), signs, -signs])
    still, *moved = np.asarray(_log_likelihoods(head, held(outputs + steps), jax.device_put(np.asarray(rows))))
    with np.errstate(invalid="ignore"):  # of a row outside of the support, which is refused before training
        cells = np.maximum(np.mean(still - np.mean(moved, axis=0), axis=0), 0.0).reshape(-1) / size**2
    cost = float(np.sum(cells**2) / max(float(np.sum(cells)), 1e-12)) * cells.size / math.prod(head.shape)
    return cost if math.isfinite(cost) else 0.0


@compiled
def _log_likelihoods(head: AbstractHead, outputs: Array, rows: Array) -> Array:
    def of_cells(one: Array, row: Array) -> Array:
        made = head(one)
        return made.log_prob_terms(row) if isinstance(made, AbstractFactorised) else made.log_prob(row)[None]

    return jax.vmap(jax.vmap(of_cells), (0, None))(outputs, rows)


def constant_at_first(part: Conditional) -> Conditional:
    """The same part with last weights of 0: what it gives does not depend on its input before it is trained.

    Args:
        part: A part whose network has `layers`.

    Returns:
        A new part.
    """
    last = lambda p: p.network.layers[-1].weight  # noqa: E731
    return eqx.tree_at(last, part, jnp.zeros_like(last(part)))


def _takes_key(network: Callable[..., Array]) -> bool:
    try:
        parameters = inspect.signature(network).parameters
    except (TypeError, ValueError):
        return False
    return "key" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def widths_between(shape_in: tuple[int, ...], hidden: tuple[int, ...], num_outputs: int) -> list[int]:
    """The widths of a dense network on a flattened event.

    Args:
        shape_in: The shape of one event.
        hidden: The hidden widths.
        num_outputs: How many outputs the network has.

    Returns:
        `[inputs, *hidden, outputs]`.
    """
    return [int(np.prod(shape_in, dtype=np.int64)), *hidden, num_outputs]


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


class LatentModel(AbstractLatentModel):
    r"""A latent variable model composed of a prior, an encoder and a decoder.

    $p(z)\,p(x \mid z)$ with $q(z \mid x)$.

    Args:
        prior_part: A distribution, a function of `cond`, or an `AbstractModelPrior`.
        encoder: Maps one event to the posterior of its latent, usually a `Conditional`.
        decoder: Maps one latent to the likelihood of an event, usually a `Conditional`.
    """

    prior_part: AbstractDistribution | AbstractModelPrior | Callable[..., AbstractDistribution]
    encoder: AbstractModelEncoder | Callable[..., AbstractDistribution]
    decoder: Callable[..., AbstractDistribution]

    def prior(self, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The prior part's distribution."""
        if isinstance(self.prior_part, AbstractDistribution):
            return self.prior_part
        if isinstance(self.prior_part, AbstractModelPrior):
            return self.prior_part(self, cond=cond, key=key)
        return self.prior_part(cond=cond, key=key)

    def posterior(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> AbstractDistribution:
        """The encoder's distribution for one row."""
        if isinstance(self.encoder, AbstractModelEncoder):
            return self.encoder(self, x, cond=cond, mask=mask, key=key)
        if mask is not None and (whole := seen_whole(self.decoder, x, mask)) is not None:
            return self.encoder(whole, cond=cond, key=key)
        return self.encoder(x, cond=cond, mask=mask, key=key)

    def likelihood(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The decoder's distribution for one latent."""
        return self.decoder(z, cond=cond, key=key)

    @traced_once
    def log_joint(
        self, z: PyTree, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[Nats, Nats]:
        """The log prior and the log likelihood, in nats."""
        return self.prior(cond=cond).log_prob(z), log_prob(self.likelihood(z, cond=cond, key=key), x, mask)


class Upwards(eqx.Module):
    r"""The encoder of a hierarchy, one part for each level, from the lowest up.

    $q(z_1 \mid x) \prod_{l>1} q(z_l \mid z_{l-1})$.

    Args:
        parts: The part that reads x, then one for each next level that reads the level below.
    """

    parts: tuple[Conditional, ...]

    def __call__(self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None) -> Chain:
        """The distribution of all levels for one row."""
        first = self.parts[0](x, cond=cond, mask=mask, key=key)
        return Chain(first, tuple(_given(part, cond, key) for part in self.parts[1:]))


class Downwards(eqx.Module):
    r"""The prior of a hierarchy, from the top level down.

    $p(z_L) \prod_{l<L} p(z_l \mid z_{l+1})$.

    Args:
        top: The distribution of the top level, or a prior that does not look at its model.
        parts: One part for each next level down, which reads the level above.
    """

    top: AbstractDistribution | AbstractModelPrior
    parts: tuple[Conditional, ...]

    def __call__(self, *, cond: Cond = None, key: Key | None = None) -> Chain:
        """The distribution of all levels."""
        top = self.top(None, cond=cond, key=key) if isinstance(self.top, AbstractModelPrior) else self.top
        return Chain(top, tuple(_given(part, cond, key) for part in self.parts), backwards=True)


class FromLowest(AbstractDecoderWrapper):
    r"""A decoder that sees the lowest level of a hierarchy only.

    $p(x \mid z_1)$.

    Args:
        part: The decoder of the lowest level.
    """

    part: Conditional

    def __call__(self, z: tuple[Array, ...], *, cond: Cond = None, key: Key | None = None) -> AbstractDistribution:
        """The distribution of a row, given the latents of all levels."""
        return self.part(z[0], cond=cond, key=key)


def _given(part: Conditional, cond: Cond, key: Key | None) -> Callable[[Array], AbstractDistribution]:
    return eqx.Partial(part, cond=cond, key=key)
