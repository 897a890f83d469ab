"""log p(x) with its error, and rivals without latents."""

from .annealing import annealed_importance_sampling as annealed_importance_sampling
from .annealing import particle_filter as particle_filter
from .baseline import independent_baseline as independent_baseline
from .batched import ModelRows as ModelRows
from .estimate import Estimate as Estimate
from .estimate import finite as finite
from .importance import LogMarginals as LogMarginals
from .importance import effective_sample_size as effective_sample_size
from .importance import elbo_parts as elbo_parts
from .importance import importance_sampling as importance_sampling
from .importance import log_marginal as log_marginal
from .importance import pareto_k as pareto_k
from .inference_gaps import Refined as Refined
from .inference_gaps import inference_gaps as inference_gaps
from .inference_gaps import refine as refine
