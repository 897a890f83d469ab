"""A posterior for each training row, without an encoder."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from latens.distributions import DiagonalNormal
from latens.errors import ConfigError
from latens.typing import Array, Cond, Float, Key


class PerRow(eqx.Module):
    r"""A Normal posterior for each training row: one mean and scale, trained like weights.

    $q_i(z) = N(\mu_i, \sigma_i^2)$. It stands where an encoder would, in `LatentModel(prior, PerRow.create(n, latent),
    decoder)`; each row brings its position as the condition "row". There is no posterior for rows that were not trained
    on (NaN beyond the rows): see `latens.evaluation.evidence.refine`.

    Args:
        loc: The means, of shape (N, *z).
        log_scale: The logarithms of the standard deviations, of shape (N, *z).

    Raises:
        ConfigError: A row has no position.

    Source: Hoffman, Blei, Wang & Paisley (2013), arXiv 1206.7051, without the conjugacy.
    """

    loc: Float[Array, "N *z"]
    log_scale: Float[Array, "N *z"]

    @classmethod
    def create(cls, rows: int, latent: tuple[int, ...]) -> "PerRow":
        """Start every row at N(0, 1).

        Args:
            rows: The number N of training rows.
            latent: The shape of one latent.

        Returns:
            The posteriors.
        """
        return cls(jnp.zeros((rows, *latent)), jnp.zeros((rows, *latent)))

    def __call__(self, x: Any, *, cond: Cond = None, mask: Any = None, key: Key | None = None) -> DiagonalNormal:
        """The posterior of the row at the position that the condition "row" says."""
        if cond is None or "row" not in cond:
            raise ConfigError(
                "a posterior for each row needs the row's position.",
                where="cond",
                fix='Give the data a condition: latens.read(X, cond={"row": np.arange(len(X))}).',
            )
        # NaN beyond the rows: a clamped position would be the posterior of another row, without a word.
        row = jnp.where(cond["row"] < 0, len(self.loc), cond["row"])
        loc, log_scale = (of.at[row].get(mode="fill", fill_value=jnp.nan) for of in (self.loc, self.log_scale))
        return DiagonalNormal(loc, log_scale)
