"""Models: a prior, a posterior and a likelihood."""

from .base import AbstractLatentModel as AbstractLatentModel
from .bayes import BayesClassifier as BayesClassifier
from .conditional import Conditional as Conditional
from .conditional import Standardise as Standardise
from .conditional import widths_between as widths_between
from .flat import LatentModel as LatentModel
from .heads import AbstractHead as AbstractHead
from .heads import AffineHead as AffineHead
from .heads import BernoulliHead as BernoulliHead
from .heads import CategoricalHead as CategoricalHead
from .heads import ContinuousBernoulliHead as ContinuousBernoulliHead
from .heads import DeterministicHead as DeterministicHead
from .heads import NormalHead as NormalHead
from .heads import SharedScaleNormalHead as SharedScaleNormalHead
