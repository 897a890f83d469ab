"""Rows of `OBJECTIVES` beyond the ELBO, and what of the generic checks they need told."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from latens import objectives as o


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
    "ChiUpperBound": lambda: o.ChiUpperBound(2.0, 4),
    "ScoreFunction": lambda: o.ScoreFunction(3),
    "ScoreFunction, learned baseline": lambda: o.ScoreFunction(2, "learned", o.Level(), kl="analytic"),
    "VIMCO": lambda: o.VIMCO(3),
    "WakeSleep": lambda: o.WakeSleep(2),
    "ReweightedWakeSleep": lambda: o.ReweightedWakeSleep(3),
    "ReweightedWakeSleep, both": lambda: o.ReweightedWakeSleep(3, 0.5, 0.5),
    "BetaTC": o.BetaTC,
    "BetaTC, stratified": lambda: o.BetaTC(0.5, 2.0, 3.0, "stratified", 10),
    "DIP": o.DIP,
    "DIP, variant 2": lambda: o.DIP(2, 1.0, 2.0, kl="sampled"),
    "InfoVAE": lambda: o.InfoVAE(0.3, 5.0),
    "WAE": o.WAE,
    "SlicedWasserstein": lambda: o.SlicedWasserstein(3.0, 7),
    "FactorVAE": lambda: o.FactorVAE(critic()),
    "AAE": lambda: o.AAE(critic()),
    "AdversarialBayes": lambda: o.AdversarialBayes(critic()),
    "GECO": lambda: o.GECO(3.0),
    "SigmaVAE": o.SigmaVAE,
}

SURROGATES = {
    "IWAE, doubly reparameterised",
    "PIWAE",
    "ChiUpperBound",
    *(name for name in MORE_OBJECTIVES if name.startswith(("ScoreFunction", "VIMCO", "WakeSleep", "Reweighted"))),
    "SigmaVAE",
}
"""Objectives whose gradient is by intent not that of the number they report: the tests of each say what it equals."""

NEED_NORMAL = {"SigmaVAE"}
"""Objectives for a Normal likelihood with one learned scale."""
