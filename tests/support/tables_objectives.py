"""Rows of `OBJECTIVES` beyond the ELBO, and what of the generic checks they need told."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from latens import objectives as o
from latens.networks import Dense


class QuadraticCritic(eqx.Module):
    """The logit $a + b s + c t + d s^2$ with s the sum and t the sum of squares: exact for the Normals of the tests."""

    weight: jax.Array

    def __call__(self, v: jax.Array) -> jax.Array:
        s, t = jnp.sum(v), jnp.sum(v**2)
        return jnp.dot(self.weight, jnp.stack([jnp.ones_like(s), s, t, s**2]))


def critic() -> QuadraticCritic:
    return QuadraticCritic(jnp.asarray([0.1, -0.4, 0.2, -0.05]))


MORE_OBJECTIVES: dict[str, Callable[[], o.AbstractObjective]] = {
    "ELBO, capacity": lambda: o.ELBO(beta=30.0, capacity=0.8),
    "IWAE": lambda: o.IWAE(5),
    "IWAE, doubly reparameterised": lambda: o.IWAE(5, "dreg"),
    "MIWAE": lambda: o.MIWAE(3, 2),
    "PIWAE": lambda: o.PIWAE(3, 2),
    "CIWAE": lambda: o.CIWAE(4, 0.3),
    "Renyi": lambda: o.Renyi(0.5, 4),
    "ScoreFunction": lambda: o.ScoreFunction(3),
    "BetaTC": o.BetaTC,
    "DIP": o.DIP,
    "DIP, variant 2": lambda: o.DIP(2, 1.0, 2.0, kl="sampled"),
    "InfoVAE": lambda: o.InfoVAE(0.3, 5.0),
    "WAE": o.WAE,
    "RegularisedAutoencoder": lambda: o.RegularisedAutoencoder(0.1, 0.2, 0.05),
    "RegularisedAutoencoder, exact": lambda: o.RegularisedAutoencoder(0.1, 0.2, num_probes=0),
    "PerceptualSimilarity": lambda: o.PerceptualSimilarity(20.0),
    "FactorVAE": lambda: o.FactorVAE(critic()),
    "AAE": lambda: o.AAE(critic()),
    "GAN": lambda: o.GAN(Dense([6, 4, 3, 1], activation="elu", key=jax.random.key(9))),
    "SemiSupervisedELBO": lambda: o.SemiSupervisedELBO(alpha=0.7),
    "SemiSupervisedELBO, sampled KL": lambda: o.SemiSupervisedELBO(kl="sampled", num_samples=2),
    "Quantised": lambda: o.Quantised(0.7, 0.3),
    "Quantised, vectors": lambda: o.Quantised(0.7, 0.3),
    "StratifiedELBO": lambda: o.StratifiedELBO(num_samples=2),
    "StratifiedELBO, components": lambda: o.StratifiedELBO("components", beta=0.5),
    "StratifiedELBO, importance weighted": lambda: o.StratifiedELBO("iwae", 3),
    "SubsetELBO": lambda: o.SubsetELBO(2),
}

NEED_CODES = {"Quantised", "Quantised, vectors"}
"""Objectives for a quantised posterior, here of levels or of two codebooks."""

SURROGATES = {"IWAE, doubly reparameterised", "PIWAE", "ScoreFunction", "GAN", *NEED_CODES}
"""Objectives whose gradient is by intent not that of the number they report: the tests of each say what it equals."""

NEED_MODALITIES = {name for name in MORE_OBJECTIVES if name.startswith(("Stratified", "Subset"))}
"""Objectives for a model with an encoder for each of several modalities, here three."""
