"""What is called while a model trains: progress, snapshots, pictures, and loggers for programs of your own."""

from .loggers import MlflowLogger as MlflowLogger
from .loggers import TensorBoardLogger as TensorBoardLogger
from .loggers import WandbLogger as WandbLogger
from .loggers import numbers as numbers

__all__ = ["MlflowLogger", "TensorBoardLogger", "WandbLogger", "numbers"]
