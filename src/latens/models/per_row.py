"""A posterior for each training row, without an encoder."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from latens.distributions import DiagonalNormal
from latens.errors import ConfigError
from latens.typing import Array, Float, Key


class PerRow(eqx.Module):
    r"""$q_i(z) = N(\mu_i, \sigma_i^2)$: one mean and scale for each training row, trained like weights.

    It stands where an encoder would, in `LatentModel(prior, PerRow.create(n, latent), decoder)`; each row brings its
    position as the condition "row". There is no posterior for rows that were not trained on: see
    `latens.evaluation.evidence.refine`. Hoffman, Blei, Wang & Paisley (2013), arXiv 1206.7051, without the conjugacy.

    **Arguments:** `loc` and `log_scale` of shape (N, *z).
    **Raises:** ConfigError where a row has no position.
    """

    loc: Float[Array, "N *z"]
    log_scale: Float[Array, "N *z"]

    @classmethod
    def create(cls, rows: int, latent: tuple[int, ...]) -> "PerRow":
        """Every row at N(0, 1)."""
        return cls(jnp.zeros((rows, *latent)), jnp.zeros((rows, *latent)))

    def __call__(
        self, x: Any, *, cond: dict[str, Any] | None = None, mask: Any = None, key: Key | None = None
    ) -> DiagonalNormal:
        if cond is None or "row" not in cond:
            raise ConfigError(
                "a posterior for each row needs the row's position.",
                where="cond",
                fix='Give the data a condition: cond={"row": np.arange(n)}.',
            )
        return DiagonalNormal(self.loc[cond["row"]], self.log_scale[cond["row"]])
