"""Training: a pure step, compiled in chunks, and the loop around it."""

from .loop import fit as fit
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import Optimizer as Optimizer
from .optimizers import beside_model as beside_model
from .optimizers import by_group as by_group
from .optimizers import from_optax as from_optax
from .optimizers import make_optimizer as make_optimizer
from .optimizers import resting as resting
from .stages import Budget as Budget
from .stages import Callback as Callback
from .stages import Event as Event
from .stages import FitResult as FitResult
from .stages import Interrupted as Interrupted
from .stages import LoopState as LoopState
from .stages import Pause as Pause
from .stages import Resume as Resume
from .stages import Settings as Settings
from .stages import Snapshot as Snapshot
from .stages import Stage as Stage
from .stages import patience_of as patience_of
from .step import TrainState as TrainState
