"""The tables of heads: of likelihoods for counts, positive numbers, fractions and pixels, and of posteriors."""

from collections.abc import Callable

import jax.numpy as jnp

from latens.models import (
    AbstractHead,
    BetaHead,
    ConcreteHead,
    DirichletHead,
    DiscretisedLogisticHead,
    FullNormalHead,
    GammaHead,
    HyperbolicSecantHead,
    JointHead,
    LaplaceHead,
    LogisticHead,
    LogNormalHead,
    LowRankNormalHead,
    NegativeBinomialHead,
    NormalHead,
    PoissonHead,
    PositiveHead,
    PowerSphericalHead,
    RelaxedBernoulliHead,
    StraightThroughHead,
    StudentTHead,
    VonMisesFisherHead,
    WrappedNormalHead,
    ZeroInflatedHead,
)
from latens.trees import Frozen

LIKELIHOOD_HEADS: dict[str, Callable[[], AbstractHead]] = {
    "LaplaceHead": lambda: LaplaceHead((3,)),
    "LaplaceHead, log-variance": lambda: LaplaceHead((3,), "log-variance"),
    "LaplaceHead, softplus": lambda: LaplaceHead((3,), "softplus"),
    "LogisticHead": lambda: LogisticHead((3,)),
    "HyperbolicSecantHead": lambda: HyperbolicSecantHead((3,)),
    "StudentTHead": lambda: StudentTHead((3,), jnp.zeros(())),
    "StudentTHead, fixed": lambda: StudentTHead((3,), Frozen(jnp.asarray(-100.0))),
    "LogNormalHead": lambda: LogNormalHead((3,)),
    "LogNormalHead, softplus": lambda: LogNormalHead((3,), "softplus"),
    "GammaHead": lambda: GammaHead((3,)),
    "BetaHead": lambda: BetaHead((3,)),
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
    "DirichletHead": lambda: DirichletHead((3,)),
    "FullNormalHead": lambda: FullNormalHead(NormalHead((3,), "softplus")),
    "JointHead": lambda: JointHead({"choice": ConcreteHead((1, 3), 0.6), "real": NormalHead((2,))}),
    "LowRankNormalHead": lambda: LowRankNormalHead(NormalHead((3,)), 2),
    "PositiveHead": lambda: PositiveHead((3,)),
    "PowerSphericalHead": lambda: PowerSphericalHead((3,)),
    "RelaxedBernoulliHead": lambda: RelaxedBernoulliHead((3,), 0.5),
    "StraightThroughHead": lambda: StraightThroughHead((2, 3), 0.6),
    "VonMisesFisherHead": lambda: VonMisesFisherHead((3,)),
    "WrappedNormalHead": lambda: WrappedNormalHead(NormalHead((2,))),
}
