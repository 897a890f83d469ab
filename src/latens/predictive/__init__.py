"""The posterior predictive distribution: missing cells, conditions, forecasts, classes, what columns say of others."""

from .classes import ClassSamples as ClassSamples
from .classes import accuracy as accuracy
from .forecasting import QUANTILES as QUANTILES
from .forecasting import forecast as forecast
from .missing_cells import Imputed as Imputed
from .missing_cells import impute as impute
from .sample_quality import PrincipalFeatures as PrincipalFeatures
from .sample_quality import classifier_two_sample_test as classifier_two_sample_test
from .sample_quality import frechet_distance as frechet_distance
from .sample_quality import precision_recall_density_coverage as precision_recall_density_coverage
from .sample_quality import principal_features as principal_features
