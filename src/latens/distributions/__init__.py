"""Densities over one event, in nats, with every constant."""

from .base import AbstractDistribution as AbstractDistribution
from .base import AbstractFactorised as AbstractFactorised
from .base import AbstractReparameterised as AbstractReparameterised
from .base import log_prob as log_prob
from .continuous import Affine as Affine
from .continuous import Deterministic as Deterministic
from .continuous import DiagonalNormal as DiagonalNormal
from .continuous import StandardNormal as StandardNormal
from .discrete import Bernoulli as Bernoulli
from .discrete import Categorical as Categorical
from .discrete import ContinuousBernoulli as ContinuousBernoulli
from .divergence import has_closed_form as has_closed_form
from .divergence import kl as kl
from .divergence import kl_terms as kl_terms
