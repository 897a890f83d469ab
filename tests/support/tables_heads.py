"""The tables of heads: of likelihoods for counts, positive numbers, fractions and pixels, and of posteriors."""

from collections.abc import Callable

import jax.numpy as jnp

from latens.models import (
    AbstractHead,
    ConcreteHead,
    DiscretisedLogisticHead,
    FullNormalHead,
    LaplaceHead,
    NegativeBinomialHead,
    NormalHead,
    PoissonHead,
    StudentTHead,
    VonMisesFisherHead,
    ZeroInflatedHead,
)
from latens.trainable import Frozen

LIKELIHOOD_HEADS: dict[str, Callable[[], AbstractHead]] = {
    "LaplaceHead": lambda: LaplaceHead((3,)),
    "LaplaceHead, log-variance": lambda: LaplaceHead((3,), "log-variance"),
    "LaplaceHead, softplus": lambda: LaplaceHead((3,), "softplus"),
    "StudentTHead": lambda: StudentTHead((3,), jnp.zeros(())),
    "StudentTHead, fixed": lambda: StudentTHead((3,), Frozen(jnp.asarray(-100.0))),
    "DiscretisedLogisticHead": lambda: DiscretisedLogisticHead((3,), 16),
    "DiscretisedLogisticHead, softplus": lambda: DiscretisedLogisticHead((3,), 16, "softplus"),
    "PoissonHead": lambda: PoissonHead((3,)),
    "NegativeBinomialHead": lambda: NegativeBinomialHead((3,), jnp.zeros(3)),
    "NegativeBinomialHead, from the network": lambda: NegativeBinomialHead((3,)),
    "NegativeBinomialHead, fixed": lambda: NegativeBinomialHead((3,), Frozen(jnp.ones(()))),
    "ZeroInflatedHead of a PoissonHead": lambda: ZeroInflatedHead(PoissonHead((3,))),
    "ZeroInflatedHead of a NegativeBinomialHead": lambda: ZeroInflatedHead(NegativeBinomialHead((3,))),
}

POSTERIOR_HEADS: dict[str, Callable[[], AbstractHead]] = {
    "ConcreteHead": lambda: ConcreteHead((2, 3), 0.6),
    "FullNormalHead": lambda: FullNormalHead(NormalHead((3,), "softplus")),
    "VonMisesFisherHead": lambda: VonMisesFisherHead((3,)),
}
