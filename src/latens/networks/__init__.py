"""Networks for one example: arrays in, arrays out.

Any function or equinox module does as well.
"""

from .convolutional import ConvDecoder as ConvDecoder
from .convolutional import ConvEncoder as ConvEncoder
from .dense import ACTIVATIONS as ACTIVATIONS
from .dense import INITIALIZERS as INITIALIZERS
from .dense import Dense as Dense
from .dense import Linear as Linear
from .dense import LinearPath as LinearPath
from .factory import Network as Network
from .factory import NetworkKind as NetworkKind
from .factory import decoder_network as decoder_network
from .factory import default_hidden as default_hidden
from .factory import encoder_network as encoder_network
