"""Training: a pure step, compiled in chunks, and the loop around it."""

from .fit import Budget as Budget
from .fit import Callback as Callback
from .fit import Event as Event
from .fit import FitResult as FitResult
from .fit import Interrupted as Interrupted
from .fit import LoopState as LoopState
from .fit import Settings as Settings
from .fit import Snapshot as Snapshot
from .fit import Stage as Stage
from .fit import fit as fit
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import Optimizer as Optimizer
from .optimizers import make_optimizer as make_optimizer
from .step import TrainState as TrainState
