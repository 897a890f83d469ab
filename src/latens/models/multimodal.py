"""Several modalities of one thing, any of which may be missing: an encoder and a decoder for each, in one model."""

import itertools
from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from latens.distributions import AbstractDistribution, Blocks, DiagonalNormal, Joined, Mixture, Product
from latens.errors import ConfigError
from latens.typing import Array, Bool, Cond, Float, Key, Mask, PyTree

Rule = Literal["product", "mixture", "mixture-of-products"]

_NEVER = -1e30  # a logarithm of nothing; -inf would make a NaN of 0 times it


class Experts(eqx.Module):
    r"""An encoder for each of several modalities, and a posterior of any observed subset of them.

    $q(z \mid x_S)$ of a subset S of M modalities, from $q_m(z \mid x_m)$ for each. The rules by which these experts
    become one posterior:

    - "product": $\propto N(z; 0, I) \prod_{m \in S} q_m$, with the prior as an expert (Wu & Goodman 2018);
    - "mixture": $\frac{1}{|S|} \sum_{m \in S} q_m$ (Shi et al. 2019);
    - "mixture-of-products": all products of encoders of subsets of S but the empty one, in equal shares (Sutter et
      al. 2021).

    An event x is one array with `blocks`, or without them a dict by name: its mask is a dict too (by modality or by
    feature), and a name that it lacks is missing. A modality of which no feature is observed is no expert, and where
    none is the posterior is N(0, I).

    Args:
        encoders: An encoder for each modality, by name, each giving a `DiagonalNormal`.
        rule: How the experts become one posterior, one of the names above.
        blocks: Where the modalities lie in one array; None: an event is a dict.

    Raises:
        ConfigError: The rule is unknown, `blocks` has other names, or there are more than 10 modalities under
            "mixture-of-products" (1023 products).

    Source: Wu & Goodman (2018), arXiv 1802.05335; Shi et al. (2019), arXiv 1911.03393; Sutter, Daunhawer & Vogt
    (2021), arXiv 2105.02470.
    """

    encoders: dict[str, Callable[..., AbstractDistribution]]
    rule: Rule = eqx.field(static=True, default="product")
    blocks: Blocks | None = None

    def __check_init__(self) -> None:
        most = 10 if self.rule == "mixture-of-products" else 10_000
        for holds, what in (
            (self.rule in get_args(Rule), f"no rule {self.rule!r}; there are {', '.join(get_args(Rule))}."),
            (1 <= len(self.encoders) <= most, f"{len(self.encoders)} modalities, of 1 to {most}."),
            (self.blocks is None or set(self.blocks.names) == set(self.encoders), "blocks and encoders differ."),
        ):
            if not holds:
                raise ConfigError(what, where="posterior.rule", fix="Change the rule, or the modalities.")

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, sorted: the order of every axis M."""
        return tuple(sorted(self.encoders))

    def parts(self, x: PyTree, mask: Mask) -> tuple[dict[str, Any], dict[str, Any]]:
        """Divide an event and its mask by modality.

        Args:
            x: One event: an array with `blocks`, else a dict by name.
            mask: True where x is observed, as an event is; None: everywhere.

        Returns:
            Two dicts by name; a name that the mask lacks is observed, one that x lacks is not.
        """
        if self.blocks is None:
            return x, {} if mask is None else mask
        return self.blocks.split(x), {} if mask is None else self.blocks.split(mask)

    def restricted(self, x: PyTree, mask: Mask, chosen: Bool[Array, " M"]) -> Any:
        """The mask under which only the chosen modalities are observed, of what a mask shows.

        Args:
            x: One event.
            mask: True where x is observed, as an event is; None: everywhere.
            chosen: True for the chosen modalities, of shape (M,).

        Returns:
            A mask, as an event is.
        """
        parts, masks = self.parts(x, mask)
        shown = {n: chosen[i] & masks.get(n, True) for i, n in enumerate(self.names) if n in parts}
        if self.blocks is None:
            return shown
        return self.blocks.join({name: jnp.broadcast_to(shown[name], parts[name].shape) for name in shown})

    def unimodal(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> tuple[DiagonalNormal, Bool[Array, " M"]]:
        r"""The posterior of each modality by itself, and which modalities are observed.

        $q_m(z \mid x_m)$, with N(0, I) in the place of those that are not observed.

        Args:
            x: One event.
            cond: Named arrays that the encoders are conditioned on.
            mask: True where x is observed, as an event is; None: everywhere.
            key: A JAX random key for dropout; None: no dropout.

        Returns:
            Diagonal Normals led by M, and whether each modality is observed, of shape (M,).

        Raises:
            ConfigError: The event has none of the modalities, or an encoder gives no diagonal Normal.
        """
        parts, masks = self.parts(x, mask)
        found: dict[str, tuple[DiagonalNormal, Array]] = {}
        for index, name in enumerate(self.names):
            if name in parts:
                own = None if key is None else jax.random.fold_in(key, index)
                normal = self.encoders[name](parts[name], cond=cond, mask=masks.get(name), key=own)
                if not isinstance(normal, DiagonalNormal):
                    what = f"the encoder of {name} gives a {type(normal).__name__}, and experts are diagonal Normals."
                    raise ConfigError(what, where="posterior", fix="Give it a NormalHead.")
                found[name] = normal, jnp.any(jnp.asarray(masks.get(name, True)))
        if not found:
            what = f"an event with none of {', '.join(self.names)}."
            raise ConfigError(what, where="x", fix="Give one of them, or take the prior.")
        like = next(iter(found.values()))[0].loc
        normals = [found.get(name, (DiagonalNormal(like, like), jnp.asarray(False))) for name in self.names]
        observed = jnp.stack([there for _, there in normals])
        cleared = [
            [jnp.where(there, leaf, jnp.zeros_like(leaf)) for leaf in (normal.loc, normal.log_scale_array())]
            for normal, there in normals
        ]
        loc, log_scale = (jnp.stack(leaves) for leaves in zip(*cleared))
        return DiagonalNormal(loc, log_scale), observed

    def __call__(
        self, x: PyTree, *, cond: Cond = None, mask: Mask = None, key: Key | None = None
    ) -> DiagonalNormal | Mixture:
        """The posterior of one event, of whichever modalities are observed."""
        normals, observed = self.unimodal(x, cond=cond, mask=mask, key=key)
        if self.rule == "product":
            return product_of_normals(normals, observed, with_prior=True)
        if self.rule == "mixture":
            return Mixture(_equal_shares(observed, observed), normals)
        subsets = subsets_of(len(self.names))
        # A subset that is not all observed has no share; its product only has to be finite.
        made = jax.vmap(lambda subset: product_of_normals(normals, subset & observed))(jnp.asarray(subsets))
        return Mixture(_equal_shares(jnp.all(~subsets | observed[None], axis=1), observed), made)


class ByModality(eqx.Module):
    r"""The decoder of a model of several modalities.

    $\prod_m p_m(x_m \mid z)$.

    Args:
        decoders: A decoder for each modality, by name.
        blocks: Where the modalities lie in one array: the likelihood is then one of that array (`Joined`). None: one of
            a dict (`Product`).
    """

    decoders: dict[str, Callable[..., AbstractDistribution]]
    blocks: Blocks | None = None

    def __call__(self, z: PyTree, *, cond: Cond = None, key: Key | None = None) -> Product | Joined:
        """The distribution of all modalities for one latent."""
        keys = {n: None if key is None else jax.random.fold_in(key, i) for i, n in enumerate(sorted(self.decoders))}
        made: dict[str, Any] = {name: part(z, cond=cond, key=keys[name]) for name, part in self.decoders.items()}
        return Product(made) if self.blocks is None else Joined(made, self.blocks)

    def with_output_bias(
        self, mean: PyTree, frequencies: PyTree = None, variance: PyTree = None, rows: PyTree = None
    ) -> "ByModality":
        """The same decoders, each started at the moments of its own features.

        Args:
            mean: The mean of the data, as an event is: an array, or a dict by name.
            frequencies: The frequencies of the levels, as an event is, for categorical heads.
            variance: The variance of the data, as an event is; None: not known.
            rows: A few rows of the data, as events are, led by n; see `Conditional.with_output_bias`. None: none.

        Returns:
            A new decoder.
        """

        def by_name(values: PyTree) -> dict[str, Any]:
            if values is None:
                return dict.fromkeys(self.decoders)
            return values if self.blocks is None else self.blocks.split(values)

        means, of_levels, spreads = by_name(mean), by_name(frequencies), by_name(variance)
        several = by_name(None) if rows is None else jax.vmap(by_name)(rows)
        made = {}
        for name, part in self.decoders.items():
            with_bias: Any = part
            own, spread = (None if of[name] is None else np.asarray(of[name]) for of in (of_levels, spreads))
            some = several[name]
            made[name] = with_bias.with_output_bias(np.asarray(means[name]), own, spread, some)
        return ByModality(made, self.blocks)


def product_of_normals(
    normals: DiagonalNormal, members: Bool[Array, " M"], *, with_prior: bool = False
) -> DiagonalNormal:
    r"""The product of the members among M diagonal Normals, as a Normal: precisions add up and weigh the means.

    $\sigma^{-2} = \sum_m \sigma_m^{-2}$, $\mu = \sigma^2 \sum_m \mu_m \sigma_m^{-2}$.

    Args:
        normals: Diagonal Normals led by M.
        members: True for those that are multiplied, of shape (M,).
        with_prior: Whether N(0, 1) counts among them; it stands alone where there are none.

    Returns:
        One diagonal Normal.

    Examples:
        >>> pair = DiagonalNormal(jnp.array([[3.0], [7.0]]), jnp.zeros((2, 1)))
        >>> both = product_of_normals(pair, jnp.array([True, False]), with_prior=True)
        >>> float(both.loc[0]), round(float(jnp.exp(2.0 * both.log_scale[0])), 6)
        (1.5, 0.5)
    """
    counts = jnp.concatenate([members, (jnp.asarray(with_prior) | ~jnp.any(members))[None]])
    counts = counts.reshape(-1, *(1,) * (normals.loc.ndim - 1))
    with_zero = lambda leaf: jnp.concatenate([leaf, jnp.zeros_like(leaf[:1])])  # noqa: E731 - N(0, 1) comes last
    log_precision = jnp.where(counts, with_zero(-2.0 * normals.log_scale_array()), _NEVER)
    # By logarithms: a very narrow expert's precision would overflow float32.
    total = jax.nn.logsumexp(log_precision, axis=0, keepdims=True)
    loc = jnp.sum(jnp.exp(log_precision - total) * with_zero(normals.loc), axis=0)
    return DiagonalNormal(loc, -0.5 * total[0])


def subsets_of(count: int, sizes: range | None = None) -> Bool[np.ndarray, "S M"]:
    """All subsets of so many modalities, by size, as rows of True and False.

    Args:
        count: The number M of modalities.
        sizes: The sizes of subsets; None: from 1 to M.

    Returns:
        Shape (S, M).

    Examples:
        >>> subsets_of(2).tolist()
        [[True, False], [False, True], [True, True]]
    """
    sizes = range(1, count + 1) if sizes is None else sizes
    rows = [[i in chosen for i in range(count)] for n in sizes for chosen in itertools.combinations(range(count), n)]
    return np.array(rows, bool).reshape(-1, count)


def _equal_shares(allowed: Bool[Array, " S"], observed: Bool[Array, " M"]) -> Float[Array, " S"]:
    """Logits that share out the weight among the allowed; among all (priors) where nothing is observed."""
    return jnp.where(allowed | ~jnp.any(observed), 0.0, _NEVER)
