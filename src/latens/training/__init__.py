"""Training: a pure step, compiled in chunks, and the loop around it."""

from .fit import fit as fit
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import Optimizer as Optimizer
from .optimizers import beside_model as beside_model
from .optimizers import by_group as by_group
from .optimizers import make_optimizer as make_optimizer
from .optimizers import resting as resting
from .plan import Budget as Budget
from .plan import Callback as Callback
from .plan import Event as Event
from .plan import FitResult as FitResult
from .plan import Interrupted as Interrupted
from .plan import LoopState as LoopState
from .plan import Resume as Resume
from .plan import Settings as Settings
from .plan import Snapshot as Snapshot
from .plan import Stage as Stage
from .step import TrainState as TrainState
