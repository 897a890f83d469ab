"""The posterior predictive distribution: missing cells, conditions, forecasts, classes, what columns say of others."""

from .classes import ClassSamples as ClassSamples
from .classes import accuracy as accuracy
from .forecasting import QUANTILES as QUANTILES
from .forecasting import forecast as forecast
from .missing_cells import Imputed as Imputed
from .missing_cells import impute as impute
