"""Figures: arrays in, matplotlib Axes out.

A figure of numbers has a companion `..._table` that returns them; `save` writes both.
"""

from .curves import best_row as best_row
from .curves import training_curves as training_curves
from .curves import training_curves_table as training_curves_table
from .images import image_grid as image_grid
from .images import linear_grid as linear_grid
from .images import manifold as manifold
from .images import percentile_grid as percentile_grid
from .images import reconstructions as reconstructions
from .latent import latent_scatter as latent_scatter
from .latent import latent_scatter_table as latent_scatter_table
from .latent import unit_kl_bars as unit_kl_bars
from .latent import unit_kl_table as unit_kl_table
from .style import save as save
from .tables import MOST_NAMES as MOST_NAMES
from .tables import marginals as marginals
from .tables import marginals_table as marginals_table
from .tables import name_values as name_values
from .tables import show_tail as show_tail
