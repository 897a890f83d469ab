"""What the latents say: codes, numbers of them, priors fitted to them."""

from .codes import active_units as active_units
from .codes import decode as decode
from .codes import encode as encode
from .codes import reconstruct as reconstruct
from .codes import sample_prior as sample_prior
from .codes import translate as translate
from .decomposition import kl_split as kl_split
from .decomposition import level_kl as level_kl
from .disentanglement import cluster_probabilities as cluster_probabilities
from .disentanglement import dci as dci
from .disentanglement import label_probabilities as label_probabilities
from .disentanglement import matched as matched
from .disentanglement import mig as mig
