"""What is minimised, and the honest numbers reported beside it."""

from .base import AbstractObjective as AbstractObjective
from .base import Metrics as Metrics
from .base import value_with_gradient as value_with_gradient
from .base import weighted as weighted
from .draws import Draws as Draws
from .draws import draw as draw
from .elbo import ELBO as ELBO
from .reconstruction import Reconstruction as Reconstruction
