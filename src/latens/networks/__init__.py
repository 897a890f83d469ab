"""Arrays in, arrays out: networks for one example. Any function or equinox module does as well."""

from .dense import ACTIVATIONS as ACTIVATIONS
from .dense import INITIALIZERS as INITIALIZERS
from .dense import Dense as Dense
from .dense import Linear as Linear
