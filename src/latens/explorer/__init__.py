"""The explorer: a page that shows a trained model, its data and its latent space, and the files it is made of."""

from .page_files import static_files as static_files
from .payload import payload as payload
