"""Training: a pure step, compiled in chunks, and the loop around it."""

from .fit import fit as fit
from .optimizer import Optimizer as Optimizer
from .optimizer import beside_model as beside_model
from .optimizer import by_group as by_group
from .optimizer import from_optax as from_optax
from .optimizer import resting as resting
from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import make_optimizer as make_optimizer
from .plan import Budget as Budget
from .plan import Callback as Callback
from .plan import Event as Event
from .plan import FitResult as FitResult
from .plan import Interrupted as Interrupted
from .plan import LoopState as LoopState
from .plan import Pause as Pause
from .plan import Resume as Resume
from .plan import Settings as Settings
from .plan import Snapshot as Snapshot
from .plan import Stage as Stage
from .step import TrainState as TrainState
