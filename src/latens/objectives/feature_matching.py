"""A decoder that learns from a critic: rows are compared by the critic's own features, and are to pass for data."""

from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from latens.data.batches import Batch
from latens.distributions import AbstractFactorised
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.networks import ACTIVATIONS, Dense
from latens.objectives.base import AbstractObjective, Loss, by_row, mean, value_with_gradient, weighted
from latens.objectives.roles import (
    KL,
    Evidence,
    evidence,
    flat_codes,
    prior_samples,
    require_kl,
    require_weight,
    stopped,
)
from latens.typing import AnyArray, Array, Float, Key, PyTree, Step


class FeatureCritic(eqx.Module):
    """A dense network from a flat row to one logit; its features are the input of its last layer.

    Args:
        network: The network.
    """

    network: Dense

    @classmethod
    def of(cls, network: "Dense | FeatureCritic") -> "FeatureCritic":
        """Make a critic of a network, or return the critic that is given.

        Args:
            network: A dense network from a flat row to one logit, or a critic.

        Returns:
            The critic.
        """
        return network if isinstance(network, FeatureCritic) else cls(network)

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        return self.logit(self.features(x))

    def features(self, x: Float[Array, " n"]) -> Float[Array, " m"]:
        """Evaluate the last hidden layer.

        Args:
            x: A flat row, shape (n,).

        Returns:
            The features, shape (m,).
        """
        for layer in self.network.layers[:-1]:
            x = ACTIVATIONS[self.network.activation](layer(x))
        return x

    def logit(self, features: Float[Array, " m"]) -> Float[Array, ""]:
        """Evaluate the critic's answer from its features: above 0 for data.

        Args:
            features: The values of the last hidden layer, shape (m,).

        Returns:
            The logit, shape ().
        """
        return self.network.layers[-1](features).reshape(())


class _Players(NamedTuple):
    """The loss of each player, by row."""

    encoder: Float[Array, " B"]
    decoder: Float[Array, " B"]
    critic: Float[Array, " B"]


class VAEGAN(AbstractObjective):
    r"""A VAE trained with a GAN's critic: rows are compared by the critic's features, not by their likelihood.

    Three players have a loss each. With the features $\phi$, $\tilde x$ the decoder's mean at $z \sim q(z \mid x)$,
    $\hat x$ the same at a sample of the prior, and l the critic's logit:
    encoder $\mathrm{KL} + \frac12\|\phi(x) - \phi(\tilde x)\|^2$;
    decoder $\gamma\,\frac12\|\phi(x) - \phi(\tilde x)\|^2 - \frac12[\log\sigma(l(\tilde x)) + \log\sigma(l(\hat x))]$;
    critic $-\log\sigma(l(x)) - \frac12[\log(1 - \sigma(l(\tilde x))) + \log(1 - \sigma(l(\hat x)))]$.

    The decoder's adversarial term has the form that does not saturate. None of the three is a bound of log p(x). The
    metrics are `feature_distance` in the critic's own units, which move as it learns, `critic_loss` in nats and
    `critic_accuracy` (one half if it cannot distinguish decoded rows from data); `elbo`, `log_likelihood` and `kl` are
    those of the model with its own likelihood, which is not what was trained.

    Args:
        critic: A network (or `FeatureCritic`) on the flat row, trained with the model.
        weight: $\gamma$ of the features beside the adversarial term, 0 or more.
        kl: "analytic" (exact), "sampled", or "auto" (exact if available, else sampled).

    Raises:
        ConfigError: An option is out of range, or the likelihood has no mean for each variable.

    Source: Larsen, Sonderby, Larochelle & Winther (2016), arXiv 1512.09300.
    """

    monitor: ClassVar[str] = "elbo"
    critic_sees: ClassVar[tuple[Literal["codes", "row"], ...]] = ("row",)
    couples_rows = by_row

    critic: FeatureCritic = eqx.field(converter=FeatureCritic.of)
    weight: float = eqx.field(static=True, default=1.0)
    kl: KL = eqx.field(static=True, default="auto")

    def __check_init__(self) -> None:
        require_weight(self.weight)
        require_kl(self.kl)

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        parts = evidence(model, batch, key=key, kl=self.kl)
        players, metrics = self._players(model, parts, batch, key)
        metrics = {**parts.metrics, **{name: weighted(rows, batch) for name, rows in metrics.items()}}
        losses = _Players(*(mean(weighted(rows, batch)) for rows in players))
        return value_with_gradient(losses.encoder + losses.decoder, sum(losses, jnp.zeros(()))), metrics

    def _players(
        self, model: AbstractLatentModel, parts: Evidence, batch: Batch, key: Key
    ) -> tuple[_Players, dict[str, Float[Array, " B"]]]:
        z = jax.tree.map(lambda leaf: leaf[0], parts.draws.z)
        still, still_critic = stopped(model), stopped(self.critic)
        data = flat_rows(batch.x, batch.mask, parts.kl.dtype)
        seen = jax.vmap(still_critic.features)(data)
        # The encoder's gradient comes through z, the decoder's through its weights: the same rows twice.
        by_encoder = decoded(still, z, batch)
        by_decoder = decoded(model, stopped(z), batch)
        dreamt = decoded(model, stopped(prior_samples(still, batch, key=key)), batch)
        distance = lambda rows: 0.5 * jnp.sum((jax.vmap(still_critic.features)(rows) - seen) ** 2, axis=1)  # noqa: E731
        passes = lambda rows: jax.nn.softplus(-jax.vmap(still_critic)(rows))  # noqa: E731
        made = [jax.vmap(self.critic)(jax.lax.stop_gradient(rows)) for rows in (by_decoder, dreamt)]
        real = jax.vmap(self.critic)(data)
        players = _Players(
            parts.kl + distance(by_encoder),
            self.weight * distance(by_decoder) + 0.5 * (passes(by_decoder) + passes(dreamt)),
            jax.nn.softplus(-real) + 0.5 * (jax.nn.softplus(made[0]) + jax.nn.softplus(made[1])),
        )
        right = [(real > 0.0).astype(real.dtype), *((logit < 0.0).astype(real.dtype) for logit in made)]
        metrics = {
            "feature_distance": distance(jax.lax.stop_gradient(by_encoder)),
            "critic_loss": players.critic,
            "critic_accuracy": 0.5 * right[0] + 0.25 * (right[1] + right[2]),
        }
        return players, metrics


def decoded(model: AbstractLatentModel, z: PyTree, batch: Batch) -> Float[Array, "B n"]:
    """Compute the decoder's mean of each row, flat, with zeros where x is missing."""

    def one_row(z: Any, cond: Any) -> AnyArray:
        likelihood = model.likelihood(z, cond=cond)
        if not isinstance(likelihood, AbstractFactorised):
            raise ConfigError(
                f"a {type(likelihood).__name__} likelihood has no mean by variable to compare.",
                where="likelihood.family",
                fix="Use --set likelihood.family=normal.",
            )
        return likelihood.mean()

    rows = jax.vmap(one_row)(z, batch.cond)
    return flat_rows(rows, batch.mask, rows.dtype)


def flat_rows(x: PyTree, mask: PyTree | None, dtype: Any) -> Float[Array, "B n"]:
    """Lay rows out as a critic sees them, with zeros where they are missing."""
    # mask: true where a row is observed, as a row is; None for everywhere.
    x = x if mask is None else jax.tree.map(lambda leaf, m: jnp.where(m, leaf, jnp.zeros_like(leaf)), x, mask)
    return flat_codes(x).astype(dtype)
