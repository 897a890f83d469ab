"""Numbers with their standard error."""

from .classes import ClassSamples as ClassSamples
from .classes import accuracy as accuracy
from .classes import class_log_joint as class_log_joint
from .classes import class_probabilities as class_probabilities
from .classes import class_responsibilities as class_responsibilities
from .classes import sample_classes as sample_classes
from .estimate import Estimate as Estimate
from .evidence import elbo_parts as elbo_parts
from .evidence import independent_baseline as independent_baseline
from .evidence import log_marginal as log_marginal
from .evidence import log_marginal_rows as log_marginal_rows
from .evidence import paired as paired
from .latents import active_units as active_units
from .latents import decode as decode
from .latents import encode as encode
from .latents import reconstruct as reconstruct
from .latents import sample_prior as sample_prior
