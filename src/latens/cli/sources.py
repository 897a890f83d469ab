"""What RUN and DATA on the command line stand for."""

from typing import Any

from latens.cli.context import Context
from latens.cli.verb import reading_as_typed
from latens.data import Dataset
from latens.verbs._sources import load_new as load_new
from latens.verbs._sources import open_model as open_model
from latens.verbs._sources import original_source as original_source
from latens.verbs.kernel import At as Opened


def load_for(opened: Opened, context: Context, *, every: bool = False, **how: Any) -> Dataset:
    """Load the rows that DATA names, in the form that the model was trained on; without DATA, its own data."""
    return reading_as_typed(opened, context).load(every=every, **how)


def read_for(opened: Opened, context: Context, **how: Any) -> tuple[Dataset, str, dict[str, Any]]:
    """Load data as `load_for` does, and tell how."""
    data = load_for(opened, context, **how)
    return data, context.args.data, opened.options


def load_partial(opened: Opened, spec: str) -> Dataset:
    """Load rows of which whole columns may be missing."""
    return opened.load_of(spec, partial=True, every=False)


def open_vae(spec: str, verb: str) -> Opened:
    """Open a model."""
    return open_model(spec)
