"""Latents of which there are few: their posterior by Bayes' rule, summed over all of them."""

from typing import Any

import jax
import jax.numpy as jnp

from latens.distributions import Categorical
from latens.models.base import AbstractLatentModel, AbstractModelEncoder
from latens.models.flat import LatentModel
from latens.typing import Array, Cond, Int, Key


class ExactChoices(AbstractModelEncoder):
    r"""The exact posterior of one choice among K: the model of a mixture.

    $p(z \mid x) \propto p(z)\,p(x \mid z)$, so that every importance weight is $p(x) = \sum_z p(z)\,p(x \mid z)$
    itself. Missing cells are left out of $p(x \mid z)$.
    """

    def __call__(
        self, model: AbstractLatentModel, x: Any, *, cond: Cond = None, mask: Any = None, key: Key | None = None
    ) -> Categorical:
        """The responsibilities of the choices for one row."""
        every = _choices(model, cond)
        log_prior, log_likelihood = jax.vmap(lambda z: model.log_joint(z, x, cond=cond, mask=mask))(every)
        return Categorical((log_prior + log_likelihood)[None])


def _choices(model: AbstractLatentModel, cond: Cond = None) -> Int[Array, "K 1"]:
    prior: Any = model.prior(cond=cond)
    return jnp.arange(prior.logits.shape[-1], dtype=jnp.int32)[:, None]


def every_latent(model: Any) -> Int[Array, "K 1"] | None:
    """All latents of a model whose posterior is summed exactly.

    Args:
        model: Any model.

    Returns:
        The K latents; None of a model that has more than can be counted.
    """
    exact = isinstance(model, LatentModel) and isinstance(model.encoder, ExactChoices)
    return _choices(model) if exact else None
