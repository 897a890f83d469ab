"""A model of three modalities, the columns of 2 x 3 binary pixels, for the generic checks of objectives."""

import jax
from tables import dense

from latens.distributions import Blocks, StandardNormal
from latens.models import BernoulliHead, ByModality, Conditional, Experts, LatentModel, NormalHead

COLUMNS = Blocks(("a", "b", "c"), ((0,), (1,), (2,)), axis=1)


def with_modalities(name: str) -> LatentModel:
    """With the rule that an objective is made for."""
    rule = "product"
    if name.startswith("Stratified"):
        rule = "mixture-of-products" if name.endswith("components") else "mixture"
    encoders, decoders = {}, {}
    for i, part in enumerate(COLUMNS.names):
        up, down = jax.random.split(jax.random.key(40 + i))
        encoders[part] = Conditional(dense([2, 5, 4], up), NormalHead((2,)))
        decoders[part] = Conditional(dense([2, 5, 2], down), BernoulliHead((2, 1)))
    return LatentModel(StandardNormal((2,)), Experts(encoders, rule, COLUMNS), ByModality(decoders, COLUMNS))
