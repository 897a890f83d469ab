"""The scikit-learn face: estimators on the same machinery as the command."""

from .autoencoder import Autoencoder as Autoencoder
from .classifier import GenerativeClassifier as GenerativeClassifier
from .detector import VAEDetector as VAEDetector
from .forecaster import VAEForecaster as VAEForecaster
from .imputer import VAEImputer as VAEImputer
from .vae import VAE as VAE
