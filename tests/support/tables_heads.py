"""The tables of heads: of likelihoods for counts, positive numbers, fractions and pixels, and of posteriors."""

from collections.abc import Callable

import jax.numpy as jnp

import latens.models as lm
from latens.trainable import Frozen

LIKELIHOOD_HEADS: dict[str, Callable[[], lm.AbstractHead]] = {
    "LaplaceHead": lambda: lm.LaplaceHead((3,)),
    "LaplaceHead, log-variance": lambda: lm.LaplaceHead((3,), "log-variance"),
    "LaplaceHead, softplus": lambda: lm.LaplaceHead((3,), "softplus"),
    "StudentTHead": lambda: lm.StudentTHead((3,), jnp.zeros(())),
    "StudentTHead, fixed": lambda: lm.StudentTHead((3,), Frozen(jnp.asarray(-100.0))),
    "DiscretisedLogisticHead": lambda: lm.DiscretisedLogisticHead((3,), 16),
    "DiscretisedLogisticHead, softplus": lambda: lm.DiscretisedLogisticHead((3,), 16, "softplus"),
    "PoissonHead": lambda: lm.PoissonHead((3,)),
    "NegativeBinomialHead": lambda: lm.NegativeBinomialHead((3,), jnp.zeros(3)),
    "NegativeBinomialHead, from the network": lambda: lm.NegativeBinomialHead((3,)),
    "NegativeBinomialHead, fixed": lambda: lm.NegativeBinomialHead((3,), Frozen(jnp.ones(()))),
    "ZeroInflatedHead of a PoissonHead": lambda: lm.ZeroInflatedHead(lm.PoissonHead((3,))),
    "ZeroInflatedHead of a NegativeBinomialHead": lambda: lm.ZeroInflatedHead(lm.NegativeBinomialHead((3,))),
}

POSTERIOR_HEADS: dict[str, Callable[[], lm.AbstractHead]] = {
    "ConcreteHead": lambda: lm.ConcreteHead((2, 3), 0.6),
    "FullNormalHead": lambda: lm.FullNormalHead(lm.NormalHead((3,), "softplus")),
    "VonMisesFisherHead": lambda: lm.VonMisesFisherHead((3,)),
}
