"""The ELBO of a quantised latent, with what keeps codes and encoder together."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from latens.data.dataset import Batch
from latens.distributions import AbstractDistribution
from latens.errors import ConfigError
from latens.models import AbstractLatentModel
from latens.models.quantised import CodePosterior
from latens.objectives.base import AbstractObjective, Loss, Metrics, draw, mean, sampled_metrics, weighted
from latens.typing import Array, Float, Int, Key, Nats, PyTree, Step, Weight


class Quantised(AbstractObjective):
    r"""The ELBO of a quantised latent, with the terms that keep codebook and encoder together.

    The objective is $-\log p(x \mid z_q) + n S \log K + a \|\mathrm{sg}[z] - e\|^2 + b \|z - \mathrm{sg}[e]\|^2$,
    summed over groups and stages. The first two are the negative ELBO of a point mass under a uniform prior over codes,
    a valid bound; under a trained prior $-\log p(z_q)$ is in the place of $n S \log K$. Codes that are averages move in
    `after_update`.

    Reports `elbo`, `log_likelihood` and `kl` ($-\log p(z_q)$) in nats; `quantisation_error`
    $\|z - z_q\|^2$; of the batch, averaged over stages, `code_usage` (the share of codes in use) and `perplexity`
    ($e^H$ of their use: at most K, and at most the groups of the batch).

    Args:
        codebook: a, 0 or more; it counts where codes are trained by gradient.
        commitment: b, 0 or more.

    Raises:
        ConfigError: For an option below 0, or a model whose posterior is not quantised.

    Source: van den Oord et al. (2017), equation 3.
    """

    monitor: ClassVar[str] = "elbo"
    of_codes: ClassVar[bool] = True

    codebook: Weight = eqx.field(static=True, default=1.0)
    commitment: Weight = eqx.field(static=True, default=0.25)

    def couples_rows(self) -> str:
        """Codes are counted, and move, by all rows."""
        return "the use of codes is counted over a whole batch"

    def __call__(self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step) -> Loss:
        return self.with_aux(model, batch, key=key, step=step)[:2]

    def with_aux(
        self, model: AbstractLatentModel, batch: Batch, *, key: Key, step: Step
    ) -> tuple[Nats, Metrics, PyTree]:
        quantiser: list[Any] = []

        def assigned(q: AbstractDistribution, p: AbstractDistribution, z: PyTree, x: PyTree) -> dict[str, Array]:
            if not isinstance(q, CodePosterior):
                what = f"the posterior is a {type(q).__name__}, which has no codes."
                raise ConfigError(what, where="objective.name", fix="Use a quantised posterior: --set posterior=vq.")
            quantiser.append(q.quantiser)
            return {"inputs": q.assignment.inputs, "chosen": q.assignment.chosen, "codes": q.assignment.codes}

        draws = draw(model, batch, num_samples=1, key=key, statistics={"codes": assigned})
        of, kind = draws.statistics["codes"], quantiser[0]
        inputs, chosen = of["inputs"], of["chosen"]
        use = jax.vmap(lambda codes: code_use(codes, batch.weights, kind.num_codes), in_axes=2)(of["codes"])
        metrics = {
            **sampled_metrics(draws, batch),
            "quantisation_error": weighted(_squares((inputs - chosen)[:, :, -1:]), batch),
            "code_usage": weighted(jnp.mean(use > 0.0) * jnp.ones_like(batch.weights), batch),
            "perplexity": weighted(jnp.mean(perplexity(use)) * jnp.ones_like(batch.weights), batch),
        }
        loss = -mean(metrics["elbo"])
        held = jax.lax.stop_gradient
        if self.codebook > 0.0 and kind.trained:
            loss = loss + self.codebook * mean(weighted(_squares(held(inputs) - chosen), batch))
        if self.commitment > 0.0:
            loss = loss + self.commitment * mean(weighted(_squares(inputs - held(chosen)), batch))
        aux = (held(inputs), of["codes"], batch.weights) if kind.moves else None
        return loss, metrics, aux

    def after_update(
        self, model: AbstractLatentModel, aux: PyTree, *, key: Key, step: Step
    ) -> tuple[AbstractLatentModel, "Quantised"]:
        if aux is None:
            return model, self
        inputs, codes, weights = aux
        by_group = jnp.repeat(weights, codes.shape[1])
        flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
        where = lambda m: m.encoder.head.quantiser  # noqa: E731
        return eqx.tree_at(where, model, where(model).moved(flat(inputs), flat(codes), by_group, key=key)), self


def code_use(codes: Int[Array, "B n"], weights: Float[Array, " B"], num_codes: int) -> Float[Array, " K"]:
    """Count how often each code is in use, by the weight of the rows."""
    each = jnp.broadcast_to(weights[:, None], codes.shape)
    return jnp.zeros(num_codes, weights.dtype).at[codes.reshape(-1)].add(each.reshape(-1))


def perplexity(use: Float[Array, "... K"]) -> Float[Array, "..."]:
    r"""The perplexity of the use of codes: K where all are used alike, 1 where one is.

    $\exp(-\sum_k p_k \log p_k)$ of the shares of use.

    Args:
        use: How often each code is in use, shape (..., K).

    Returns:
        The perplexity, shape (...), from 1 to K.

    Examples:
        >>> round(float(perplexity(jnp.array([2.0, 2.0, 0.0]))), 6)
        2.0
    """
    total = jnp.sum(use, axis=-1, keepdims=True)
    return jnp.exp(jnp.sum(entr(use / jnp.where(total > 0.0, total, 1.0)), axis=-1))


def _squares(difference: Float[Array, "B n S d"]) -> Float[Array, " B"]:
    return jnp.sum(difference**2, axis=(1, 2, 3))
